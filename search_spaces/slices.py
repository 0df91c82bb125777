"""Parts of a supernet's tensors: views, and what networks make of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from search_spaces.elastic import Channels

# {name: tensor}, of all that a supernet shares.
Weights: TypeAlias = Mapping[str, Tensor]


@dataclass(frozen=True)
class Cut:
    """The leading channels along one dimension: so many of each of the groups."""

    dim: int
    groups: int
    each: int
    channels: Channels


@dataclass(frozen=True)
class Block:
    """What a network's tensor has of one tensor of the supernet.

    Attributes:
        name: of the supernet's tensor.
        shape: of that, with one dimension an axis.
        cuts: by ascending dimension.
        shape_read: of the network's tensor, or of its block where it has several.
    """

    name: str
    shape: tuple[int, ...]
    cuts: tuple[Cut, ...]
    shape_read: tuple[int, ...]

    def view(self, weights: Weights) -> Tensor:
        """A view, with a dimension more for each cut among groups."""
        tensor = weights[self.name]
        for cut in reversed(self.cuts):
            if cut.groups > 1:
                before, after = tensor.shape[: cut.dim], tensor.shape[cut.dim + 1 :]
                tensor = tensor.view(*before, cut.groups, -1, *after)
                tensor = tensor.narrow(cut.dim + 1, 0, cut.each)
            else:
                tensor = tensor.narrow(cut.dim, 0, cut.each)
        return tensor

    def read(self, weights: Weights) -> Tensor:
        """As the network has it."""
        return self.view(weights).reshape(self.shape_read)


@dataclass(frozen=True)
class Slice:
    """A network's tensor: blocks side by side along a dimension, mostly one."""

    blocks: tuple[Block, ...]
    dim: int

    def read(self, weights: Weights) -> Tensor:
        """As the network has it; a view where it has one block without groups."""
        if len(self.blocks) == 1:
            return self.blocks[0].read(weights)
        return torch.cat([block.read(weights) for block in self.blocks], dim=self.dim)
