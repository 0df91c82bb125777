"""Sorts the channels of a supernet, so that the leading ones are those that matter most.

The importance of a channel is the sum of the absolute weights of all that read it (Han Cai et al.,
Once-for-All, 2020). Channels move within their group, so heads keep theirs; the networks of full
width compute what they did before. Where outputs of layers are added or compared channel by channel
(residual, jumping knowledge by the maximum), all of them move alike; where features are added to
them as they are, they stay.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from search_spaces.elastic import Channels
from search_spaces.slices import Weights
from search_spaces.supernet import Supernet


@dataclass(frozen=True)
class Side:
    """One dimension of one of the supernet's tensors, and whose channels it has."""

    tensor: str
    dim: int
    channels: Channels
    reads: bool


def sort(supernet: Supernet, weights: Weights) -> dict[str, Tensor]:
    """The same weights with channels in another order."""
    sides = tuple(_sides(supernet))
    orders = _orders(supernet, sides, weights)
    found = {name: tensor.detach().clone() for name, tensor in weights.items()}
    for side in sides:
        if side.channels.source in orders:
            order = orders[side.channels.source]
            found[side.tensor] = found[side.tensor].index_select(side.dim, order)
    return found


def _sides(supernet: Supernet) -> Iterator[Side]:
    """Of each tensor and dimension once."""
    seen = set()
    for place in supernet.every_place():
        for block, axes in supernet.blocks(place):
            for dim, (channels, reads) in enumerate(axes):
                if channels is not None and (block, dim) not in seen:
                    seen.add((block, dim))
                    yield Side(block, dim, channels, reads)


def _orders(supernet: Supernet, sides: tuple[Side, ...], weights: Weights) -> Mapping[str, Tensor]:
    """For each source that is sliced, its channels, those that matter most first in their group."""
    importance: dict[str, Tensor] = {}
    groups: dict[str, int] = {}
    for side in sides:
        source = side.channels.source
        if side.channels.sliced:
            groups[source] = side.channels.groups
            importance.setdefault(source, torch.zeros(side.channels.widest))
            if side.reads:
                tensor = weights[side.tensor].detach().abs().movedim(side.dim, 0)
                importance[source] += tensor.flatten(1).sum(1)
    together = _together(supernet, importance)
    joint: dict[str, Tensor] = defaultdict(lambda: torch.zeros(()))
    for source, sums in importance.items():
        joint[together[source]] = joint[together[source]] + sums
    fixed = _fixed(supernet)
    return {
        source: _order(joint[together[source]], groups[source])
        for source in importance
        if together[source] not in fixed
    }


def _fixed(supernet: Supernet) -> set[str]:
    """Orders that cannot change: of layers to which features, as many, are added as they are."""
    space, features = supernet.space, supernet.task.n_features
    if "connectivity" not in space.by_name or 0 not in space.by_name["pre.layers"].choices:
        return set()
    adds = "residual" in space.by_name["connectivity"].choices
    widest = max(int(choice) for choice in space.by_name["layer0.width"].choices)
    return {"layers"} if adds and widest == features else set()


def _together(supernet: Supernet, sources: Mapping[str, Tensor]) -> dict[str, str]:
    """Which sources have one order, by the name of it."""
    decisions = supernet.space.by_name
    aligned = any(
        wanted in decisions[name].choices
        for name, wanted in (("connectivity", "residual"), ("jk.mode", "max"))
        if name in decisions
    )
    return {s: "layers" if aligned and s != "post" else s for s in sources}


def _order(importance: Tensor, groups: int) -> Tensor:
    each = importance.numel() // groups
    order = torch.sort(importance.view(groups, each), dim=1, descending=True, stable=True).indices
    return (order + torch.arange(groups)[:, None] * each).flatten()
