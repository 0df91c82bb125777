"""Tensors of a module that is wider, whose new channels are copies of old ones (Net2Wider).

    g(j) = j of an old channel, any old one of a new channel;  c(j) = how many are copies of g(j)
    what writes channel j is that of g(j);  what reads it is that of g(j), divided by c(j)

Tianqi Chen, Ian Goodfellow, Jonathon Shlens: Net2Net: Accelerating Learning via Knowledge Transfer
(2016). Which dimensions of a tensor read and which write is found by `search_spaces.axes`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from search_spaces import axes


@dataclass(frozen=True, eq=False)
class Copies:
    """The channels of one side of a module, by the old channels that they are copies of.

    Attributes:
        index: [q], of the old channel.
        share: [q], what a reader's weights are multiplied with: 1/c, or 0 of a channel that is
            new and not to be read.
        new: [q], whether it is a copy of one that stays.
        before: how many old channels there are.
    """

    index: Tensor
    share: Tensor
    new: Tensor
    before: int

    @property
    def changes(self) -> bool:
        return bool(self.new.any() or (self.share != 1).any())


@dataclass(frozen=True)
class Rule:
    """What a module needs beside copies: dimensions that write, and read each other all the same.

    Attributes:
        divided: of which tensor which axis: hidden channels, attention vectors.
        scaled: whether these tensors are multiplied with sqrt(q / n) besides: of products that are
            divided by the root of the width.
    """

    divided: frozenset[tuple[str, int]] = frozenset()
    scaled: bool = False


def same(width: int) -> Copies:
    """As many channels as before."""
    none = torch.zeros(width, dtype=torch.bool)
    return Copies(torch.arange(width), torch.ones(width, dtype=torch.float64), none, width)


def copies(before: int, after: int, groups: int, generator: torch.Generator) -> Copies:
    """The old channels, and copies of random ones, within each of the groups."""
    if before == after:
        return same(before)
    old, each = before // groups, after // groups
    drawn = torch.randint(old, (groups, each - old), generator=generator)
    within = torch.cat([torch.arange(old).expand(groups, old), drawn], dim=1)
    index = (within + torch.arange(groups)[:, None] * old).flatten()
    share = 1 / torch.bincount(index, minlength=before)[index].double()
    new = (torch.arange(each) >= old).repeat(groups)
    return Copies(index, share, new, before)


def unread(width: int) -> Copies:
    """Channels that are not to be read."""
    zeros = torch.zeros(width)
    return Copies(zeros.long(), zeros.double(), zeros.bool(), 0)


def beside(blocks: list[tuple[int, Copies]]) -> Copies:
    """Several sources side by side, each with where it began among the old channels."""
    return Copies(
        torch.cat([start + block.index for start, block in blocks]),
        torch.cat([block.share for _, block in blocks]),
        torch.cat([block.new for _, block in blocks]),
        sum(block.before for _, block in blocks),
    )


def grown(
    state: Mapping[str, Tensor],
    shapes: Mapping[str, axes.Tensor],
    reads: Copies,
    writes: Copies,
    rule: Rule,
) -> dict[str, Tensor]:
    """The tensors of a module as wide as the copies say, from those of the module before."""
    return {
        name: _grown(name, tensor, shapes[name], reads, writes, rule)
        for name, tensor in state.items()
    }


def _grown(
    name: str, tensor: Tensor, shape: axes.Tensor, reads: Copies, writes: Copies, rule: Rule
) -> Tensor:
    made = tensor.detach().reshape(tuple(axes.flat(tensor.shape, shape))).clone()
    after: list[int] = []
    for dim, axis in enumerate(shape.axes):
        if axis.kind == "fixed":
            after += axis.sizes
            continue
        side = reads if axis.kind == "reads" else writes
        made = made.index_select(dim, side.index)
        if axis.kind == "reads" or (name, dim) in rule.divided:
            made *= _along(side.share, dim, made).to(made.dtype)
        heads = axis.sizes[:-1]
        after += [*heads, side.index.numel() // math.prod(heads)]
    if rule.scaled and name in {one for one, _ in rule.divided}:
        made *= math.sqrt(writes.index.numel() / writes.before)
    return made.reshape(after)


def disturbed(
    tensor: Tensor, shape: axes.Tensor, writes: Copies, noise: float, generator: torch.Generator
) -> Tensor:
    """With random numbers added to what new channels write, of `noise` times its deviation."""
    flat = tensor.reshape(tuple(axes.flat(tensor.shape, shape)))
    new = torch.zeros(flat.shape, dtype=torch.bool)
    for dim, axis in enumerate(shape.axes):
        if axis.kind == "writes":
            new |= _along(writes.new, dim, flat)
    draw = torch.randn(flat.shape, generator=generator, dtype=torch.float64).to(flat.dtype)
    spread = flat.std(unbiased=False) if flat.numel() else 0.0
    return (flat + new * draw * noise * spread).reshape(tensor.shape)


def _along(vector: Tensor, dim: int, tensor: Tensor) -> Tensor:
    return vector.view([-1 if i == dim else 1 for i in range(tensor.dim())])
