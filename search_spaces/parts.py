"""The parts of a network: pieces that are built and looked at alone, whatever network they are in.

What is known of a part serves every network that has it: a space of a million networks has some
hundred parts. The law of a space's `parts`: what the network does is what its parts do, together.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

# A module, in evaluation mode, or a function of tensors.
Piece: TypeAlias = Callable[..., Tensor]


@dataclass(frozen=True)
class Part:
    """One piece of a network; equal parts do the same.

    Attributes:
        build: a module-level function or class, called with `widths`, then with `arguments`.
        widths: of its inputs, [N, width] each.
        arguments: further ones, hashable.
        rows: of what its inputs have one row: of nodes, or of graphs: then [B, width].
        structure: what it is called with behind its inputs: edges (edge_index [2, E]), or graphs
            (graph_ids [N] and graphs [B]); none where only its inputs matter.
        even: whether parts that differ in their one width do the same operations, on sizes that
            are affine in the width, so that two of them tell what all others do.
    """

    build: Callable[..., Piece]
    widths: tuple[int, ...]
    arguments: tuple[Hashable, ...] = ()
    rows: Literal["nodes", "graphs"] = "nodes"
    structure: Literal["none", "edges", "graphs"] = "none"
    even: bool = False

    def piece(self) -> Piece:
        return self.build(*self.widths, *self.arguments)


def addition(*_widths: int) -> Piece:
    """The sum of two inputs of one width."""
    return torch.add


def concatenation(*_widths: int) -> Piece:
    """Inputs side by side."""
    return lambda *inputs: torch.cat(inputs, dim=1)


def maximum(*_widths: int) -> Piece:
    """The largest of inputs of one width, number by number."""
    return lambda *inputs: torch.stack(inputs).amax(dim=0)
