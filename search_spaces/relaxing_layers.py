"""What a relaxed network of the space `gnn` is made of, and its layers.

A layer computes, for each of its widths, the sum over operators and their options, then over
normalizations, then over activations; then outputs of all widths are added, and what connects
layers.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import torch
from torch import Tensor

from search_spaces.decision import Choice, Decision
from search_spaces.elastic import (
    AROUND,
    Channels,
    Place,
    joining_map,
    layer_operator,
    normalization_module,
)
from search_spaces.extension import Shares
from search_spaces.frozen import FrozenMapping
from search_spaces.modules import Modules
from search_spaces.relaxation import Align, Drop, Mixture, align, dense, fit, sum_of
from search_spaces.slices import Weights
from search_spaces.space import SearchSpace
from search_spaces.task import Task

# The weights that map features to the width of the layers, where layers read parts of channels.
STEM = "stem.weight"


@dataclass(frozen=True, eq=False)
class Network:
    """A relaxed network, but for its weights.

    Attributes:
        parts: one of so many parts of the channels goes through what is mixed in a layer.
        whole, layers: the modules as wide as they are, and those of layers; with one part, the
            same.
    """

    space: SearchSpace
    task: Task
    parts: int
    whole: Modules
    layers: Modules

    @cached_property
    def groups(self) -> int:
        """Of channels: as many as the most heads are."""
        heads = [d.choices for d in self.space.decisions if d.name.endswith(".heads")]
        return math.lcm(*(int(choice) for choices in heads for choice in choices))

    def widest(self, source: str) -> int:
        return max(int(choice) for choice in self.space.by_name[f"{source}.width"].choices)


@dataclass(frozen=True, eq=False)
class Source:
    """What can be read.

    Attributes:
        channels: as wide as the widest that counts.
        value: [rows, width].
        widths: how much each width counts.
        share: [] how much it counts beside what else may be read in its place.
    """

    channels: Channels
    value: Tensor
    widths: Mapping[int, Tensor]
    share: Tensor

    def times(self, share: Tensor) -> "Source":
        """The same, counting less."""
        return replace(self, share=self.share * share)

    @property
    def weighed(self) -> Tensor:
        """[rows, width], by its share; what counts 1 alone stays sparse where it is."""
        whole = not self.share.requires_grad and self.share.item() == 1
        return self.value if whole else self.share * dense(self.value)


@dataclass(frozen=True, eq=False)
class Context:
    """One call of a relaxed network."""

    network: Network
    weights: Weights
    mixture: Mixture
    edges: Tensor
    drop: Drop
    align: Align

    @cached_property
    def one(self) -> Tensor:
        return torch.ones((), dtype=next(iter(self.weights.values())).dtype)

    def shares(self, name: str) -> Shares:
        """Of the choices of a decision that count; none where it is not asked."""
        decision = self.network.space.by_name.get(name)
        if decision is None:
            return {}
        if name not in self.mixture:
            return {decision.choices[0]: self.one} if len(decision.choices) == 1 else {}
        return {decision.choices[index]: share for index, share in self.mixture[name].items()}

    @cached_property
    def of_extensions(self) -> Mapping[str, Shares]:
        """The shares of their decisions."""
        extensions = self.network.space.extensions
        return {d.name: self.shares(d.name) for e in extensions for d in e.decisions}

    def run(self, modules: Modules, place: Place, *inputs: Tensor) -> Tensor:
        """The output of the module at a place."""
        return modules.run(self.weights, place, self.of_extensions, *inputs)

    def activated(self, bank: str, name: str, x: Tensor) -> Tensor:
        """x by an activation function of a bank."""
        return self.network.whole.activated(bank, name, self.of_extensions, x)

    def read(self, sources: Sequence[Source]) -> tuple[tuple[Channels, ...], Tensor]:
        """Sources side by side, some of it dropped."""
        values = [replace(s, value=self.drop(s.value)).weighed for s in sources]
        channels = tuple(s.channels for s in sources)
        if len(values) == 1 and values[0].layout == torch.sparse_csr:
            return channels, values[0]
        # Part of the channels is copied: as a view it would keep all of them for the way back.
        return channels, torch.cat([dense(v) for v in values], dim=1)


def run_layer(
    at: Context, number: int, reads: Sequence[Source], before: Sequence[Source]
) -> Source:
    """One layer.

    Args:
        at: of the call.
        number: from 0.
        reads: what its operator reads.
        before: what is added to its output, where that is so.
    """
    network, layer, outputs = at.network, f"layer{number}", list[tuple[Tensor, Tensor]]()
    shares = {int(width) // network.parts: p for width, p in at.shares(f"{layer}.width").items()}
    widest = network.widest(layer) // network.parts
    x = at.read(reads)
    for width, share in shares.items():
        writes = Channels(layer, width, widest, network.groups, sliced=True)
        outputs.append((share, _activated(at, layer, _operated(at, layer, x, writes), writes)))
    value = align(outputs, network.groups, at.align)
    channels = Channels(layer, value.shape[1], widest, network.groups, sliced=True)
    residual = at.shares("connectivity").get("residual")
    if residual is not None:
        # One layer alone is connected to nothing.
        residual = residual if number else residual * deeper(at, 1)
        for source in before:
            added = joined(at, network.layers, f"{layer}.shortcut", source, channels, shares)
            value = value + residual * added
    return Source(channels, value, shares, at.one)


def deeper(at: Context, depth: int) -> Tensor:
    """How much networks count that are deeper than that."""
    shares = [share for d, share in at.shares("depth").items() if int(d) > depth]
    return torch.stack(shares).sum() if shares else 0 * at.one


def _operated(
    at: Context, layer: str, x: tuple[tuple[Channels, ...], Tensor], writes: Channels
) -> Tensor:
    reads, value = x
    terms = []
    for operator, share in at.shares(f"{layer}.operator").items():
        for options, weight in _options(at, layer, operator):
            arguments = (str(operator), FrozenMapping(options))
            place = Place("m", f"{layer}.{operator}", reads, writes, layer_operator, arguments)
            output = at.run(at.network.layers, place, value, at.edges)
            terms.append((share if weight is None else share * weight, output))
    return sum_of(terms)


def _options(
    at: Context, layer: str, operator: Choice
) -> Iterator[tuple[dict[str, Choice], Tensor | None]]:
    """The options of an operator, in every combination, with how much it counts."""
    named = [d.name for d in _own(at.network.space.decisions, layer, operator)]
    for chosen in product(*(at.shares(name).items() for name in named)):
        weight: Tensor | None = None
        for _, share in chosen:
            weight = share if weight is None else weight * share
        choices = [choice for choice, _ in chosen]
        short = [name.rpartition(".")[2] for name in named]
        yield dict(zip(short, choices, strict=True)), weight


def _own(decisions: Sequence[Decision], layer: str, operator: Choice) -> list[Decision]:
    """The decisions about an operator's options in a layer."""
    around = {f"{layer}.{name}" for name in AROUND}
    return [
        d
        for d in decisions
        if d.name.startswith(f"{layer}.")
        and d.name not in around
        and operator in d.needs.get(f"{layer}.operator", ())
    ]


def _activated(at: Context, layer: str, x: Tensor, writes: Channels) -> Tensor:
    """Behind an operator: normalization and activation."""
    normalized = []
    for name, share in at.shares(f"{layer}.normalization").items():
        place = Place("m", f"{layer}.{name}_norm", (), writes, normalization_module, (str(name),))
        normalized.append((share, at.run(at.network.layers, place, x)))
    x = sum_of(normalized)
    shares = at.shares(f"{layer}.activation")
    return sum_of([(share, at.activated(layer, str(name), x)) for name, share in shares.items()])


def joined(
    at: Context,
    modules: Modules,
    bank: str,
    source: Source,
    channels: Channels,
    widths: Mapping[int, Tensor],
) -> Tensor:
    """A source as what other channels are: itself where widths are equal, else by a linear map.

    Args:
        at, modules: of the call.
        bank: of the map's weights.
        source: what is mapped.
        channels: what it is mapped to.
        widths: of those, how much each counts.
    """
    same, other = list[Tensor](), list[Tensor]()
    for width, share in widths.items():
        mask = fit(torch.ones(1, width, dtype=at.one.dtype), channels.width, channels.groups)
        equal = source.widths.get(width)
        if equal is not None:
            same.append(share * equal * mask)
        if equal is None or len(source.widths) > 1:
            other.append(share * mask if equal is None else share * (1 - equal) * mask)
    value, terms = dense(source.weighed), list[Tensor]()
    if same:
        terms.append(fit(value, channels.width, channels.groups) * torch.stack(same).sum(0))
    if other:
        place = Place("m", bank, (source.channels,), channels, joining_map)
        terms.append(at.run(modules, place, value) * torch.stack(other).sum(0))
    return torch.stack(terms).sum(0)
