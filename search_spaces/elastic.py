"""Where each module of a `gnn` network stands in a supernet: whose weights it has, and which part.

A module reads channels and writes channels, the leading ones of what its source has at its widest.
Modules of different architectures with the same bank have slices of the same tensors.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from search_spaces.architecture import Architecture
from search_spaces.choosing import Choosing
from search_spaces.decision import Choice
from search_spaces.frozen import FrozenMapping
from search_spaces.message_passing import NORMALIZATIONS, operator_module
from search_spaces.task import Task


@dataclass(frozen=True)
class Channels:
    """The leading channels of a source.

    Attributes:
        source: what has them: `features`, `pre`, `layer0`, ..., `post`, `classes`.
        width: how many.
        widest: how many there are at most.
        groups: of which each has as many of the leading ones: the heads of the layers that divide
            their width among heads, so that each of them narrows. 1 for what is never sliced.
    """

    source: str
    width: int
    widest: int
    groups: int = 1
    sliced: bool = False


@dataclass(frozen=True)
class Place:
    """A module of a network, in the supernet.

    Attributes:
        path: in the network; "" for what other widths have, and this network has not.
        bank: whose weights it has.
        build, arguments: makes the module alone, from the widths of its input and its output.
        reads: what is side by side in its input.
        writes: its output.
    """

    path: str
    bank: str
    reads: tuple[Channels, ...]
    writes: Channels
    build: Callable[..., nn.Module]
    arguments: tuple[Hashable, ...] = ()

    def module(self, reads: int, writes: int) -> nn.Module:
        """It alone, as wide as said."""
        return self.build(reads, writes, *self.arguments)


def places(space: Choosing, architecture: Architecture, task: Task) -> tuple[Place, ...]:
    """Of each module with weights, of a network of the space `gnn`, without layers left out."""
    return tuple(_Places(space, architecture.structure, task).all())


def group_of(bank: str) -> str:
    """What the modules of a bank are part of: `pre`, `layer0`, ..., `post`, `output`."""
    first = bank.partition(".")[0]
    return first if first.startswith("layer") else first.rstrip("0123456789")


def linear_map(in_features: int, out_features: int) -> nn.Module:
    return nn.Linear(in_features, out_features)


def joining_map(in_features: int, out_features: int) -> nn.Module:
    return nn.Linear(in_features, out_features, bias=False)


def normalization_module(_in_features: int, out_features: int, name: str) -> nn.Module:
    return NORMALIZATIONS[name](out_features)


def layer_operator(
    in_features: int, out_features: int, name: str, options: Mapping[str, Choice]
) -> nn.Module:
    return operator_module(in_features, name, out_features, options)


def _matching(path: str, bank: str, reads: Channels, writes: Channels) -> Place:
    """A linear map where widths differ."""
    return Place(path if reads.width != writes.width else "", bank, (reads,), writes, joining_map)


class _Places:
    """Follows one network from its features to its classes."""

    def __init__(self, space: Choosing, choices: Mapping[str, Choice], task: Task) -> None:
        self._space, self._choices, self._task = space, choices, task
        heads = [d.choices for d in space.decisions if d.name.endswith(".heads")]
        self._groups = math.lcm(*(int(choice) for choices in heads for choice in choices))

    def all(self) -> Iterator[Place]:
        features = self._task.n_features
        x = Channels("features", features, features)
        for place in self._perceptron("pre", x):
            yield place
            x = place.writes
        read: tuple[Channels, ...] = (x,)
        for place in self._layers(x):
            yield place
        if layers := self._written:
            read = tuple(layers) if self._choices.get("jk.mode") == "cat" else (layers[-1],)
        for place in self._perceptron("post", *read):
            yield place
            read = (place.writes,)
        yield self._output(read)

    def _channels(self, source: str) -> Channels:
        widest = max(int(c) for c in self._space.by_name[f"{source}.width"].choices)
        width = int(self._choices[f"{source}.width"])
        return Channels(source, width, widest, self._groups, sliced=True)

    def _perceptron(self, name: str, *reads: Channels) -> Iterator[Place]:
        for i in range(int(self._choices[f"{name}.layers"])):
            writes = self._channels(name)
            yield Place(f"{name}.parts.{3 * i + 1}", f"{name}{i}", reads, writes, linear_map)
            reads = (writes,)

    def _layers(self, x: Channels) -> Iterator[Place]:
        connectivity = self._choices.get("connectivity", "plain")
        self._written: list[Channels] = []
        seen = [x]
        for i in range(int(self._choices["depth"])):
            writes = self._channels(f"layer{i}")
            reads = tuple(seen) if connectivity == "dense" else (seen[-1],)
            yield from self._layer(f"body.layers.{i}", f"layer{i}", reads, writes)
            if connectivity == "residual":
                path = f"body.shortcuts.{i}"
                yield _matching(path, f"layer{i}.shortcut", seen[-1], writes)
            seen.append(writes)
            self._written.append(writes)
        if self._choices.get("jk.mode") == "max":
            last = self._written[-1]
            for place, written in enumerate(self._written[:-1]):
                yield _matching(f"body.maps.{place}", f"{last.source}.joins", written, last)

    def _layer(
        self, path: str, layer: str, reads: tuple[Channels, ...], writes: Channels
    ) -> Iterator[Place]:
        taken = {f"{layer}.{name}" for name in AROUND}
        options = {
            name.removeprefix(f"{layer}."): choice
            for name, choice in self._choices.items()
            if name.startswith(f"{layer}.") and name not in taken
        }
        operator = str(self._choices[f"{layer}.operator"])
        made_of = (operator, FrozenMapping(options))
        yield Place(
            f"{path}.operator", f"{layer}.{operator}", reads, writes, layer_operator, made_of
        )
        name = str(self._choices[f"{layer}.normalization"])
        bank = f"{layer}.{name}_norm"
        yield Place(f"{path}.normalization", bank, (), writes, normalization_module, (name,))

    def _output(self, reads: Sequence[Channels]) -> Place:
        classes = self._task.n_classes
        writes = Channels("classes", classes, classes)
        if self._task.is_graph_task:
            return Place("output.1", "output", tuple(reads), writes, linear_map)
        operator = str(self._choices["output.operator"])
        nothing: FrozenMapping[Choice] = FrozenMapping()
        bank = f"output.{operator}"
        return Place(
            "output.operator", bank, tuple(reads), writes, layer_operator, (operator, nothing)
        )


AROUND = ("operator", "width", "normalization", "activation")
