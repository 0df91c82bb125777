"""Units, heads and layers that go as a whole: a smaller network with what is left of the larger.

How large it is follows from the architecture; which units are left, from scores of its weights. A
unit's score is the sum of those of the weights that write it. Where outputs of layers are added or
compared channel by channel (residual, jumping knowledge by the maximum) those of equal width keep
the same units. What reads a unit that has gone does not read it any more. Of the space `gnn` alone,
whose elastic places say who reads whom.

Layers go only where the network around them stays as it is: residual ones whose input is as wide as
their output.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces import axes
from search_spaces.architecture import Architecture
from search_spaces.decision import Choice
from search_spaces.elastic import Channels, Place
from search_spaces.message_passing import SKIP, Matching
from search_spaces.space import SearchSpace
from search_spaces.sparsity.groups import Scores
from search_spaces.task import Task

_LAYER = re.compile(r"(^|\.)layer(\d+)\.")
# Where a network has something of each layer.
_OF_LAYERS = (["body", "layers"], ["body", "shortcuts"])
# What is read as it is: of each source which of its channels are left, all of those not named.
Kept = Mapping[str, Tensor]
# The buffer that says which layers are left.
LAYERS = "layers"


@dataclass(frozen=True)
class Source:
    """What a network was built from.

    Attributes:
        space: with what was decided about its modules besides.
        architecture: of the network, without layers left out (see `without_skips`).
        task: of the network.
        density: of units, heads or layers.
        structure: which of these.
    """

    space: SearchSpace
    architecture: Architecture
    task: Task
    density: float
    structure: str

    def __deepcopy__(self, memo: dict[int, Any]) -> "Source":
        # A value, and a large one.
        return self

    # How large it will be.

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Of the whole network."""
        if self.space.elastic is None:
            raise TypeError(f"the space {self.space.name} does not say where its modules stand")
        return self.space.elastic(self.space, self.architecture, self.task)

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """How many channels of each source are left, or how many layers."""
        if self.structure == "layers":
            return {LAYERS: len(self._layers) - self._removed}
        return {
            source: self._chunk(source) * self._chunks(source)[1]
            for source in self._sources
            if self._chunks(source)[0] != self._chunks(source)[1]
        }

    @property
    def is_whole(self) -> bool:
        """Whether nothing goes: no layer may, or so few are there that all of them stay."""
        return not self._removed if self.structure == "layers" else not self.sizes

    def smaller(self, layers: Sequence[int] | None = None) -> Architecture:
        """The choices of what is left, which need be none of the space's.

        Args:
            layers: that are left, where layers go; without it the first ones that may be.
        """
        choices = dict(self.architecture.choices)
        if self.structure == "layers":
            left = layers if layers is not None else self._stand_in
            return Architecture(self.architecture.space, _renumbered(choices, left))
        for source, size in self.sizes.items():
            if self.structure == "heads" and self._heads(source) > 1:
                choices[f"{source}.heads"] = self._chunks(source)[1]
            choices[f"{source}.width"] = size
        return Architecture(self.architecture.space, choices)

    def built(self, architecture: Architecture) -> nn.Module:
        """A network of these choices, with its other extensions."""
        network = self.space.build(architecture, self.task)
        if self.structure != "layers":
            self._keep_maps(network)
        for extension in self.space.extensions:
            network = extension.transform(network, architecture, self.task)
        return network

    def _keep_maps(self, network: nn.Module) -> None:
        """Maps between layers stay where widths that differed do not any more."""
        for place in self.places:
            is_joining = place.path.startswith(("body.shortcuts.", "body.maps."))
            if is_joining and isinstance(network.get_submodule(place.path), nn.Identity):
                reads = sum(self.sizes.get(read.source, read.width) for read in place.reads)
                writes = self.sizes.get(place.writes.source, place.writes.width)
                network.set_submodule(place.path, Matching(reads, writes, bias=False))

    # What is left.

    def chosen(self, weights: Mapping[str, Tensor], scores: Scores) -> dict[str, Tensor]:
        """Of each source the channels that are left, ascending; or the layers.

        Args:
            weights: of the whole network, by name.
            scores: of each of their entries.
        """
        if self.structure == "layers":
            return {LAYERS: self._chosen_layers(scores)}
        sums = self._unit_scores(weights, scores)
        joint: dict[str, Tensor] = {}
        for source, row in sums.items():
            leader = self._together(source)
            joint[leader] = joint[leader] + row if leader in joint else row
        return {source: self._top(source, joint[self._together(source)]) for source in self.sizes}

    def selected(self, state: Mapping[str, Tensor], small: nn.Module, kept: Kept) -> None:
        """Fill a smaller network with what is left of the state of the whole."""
        own = small.state_dict()
        if self.structure == "layers":
            names = {self.renamed(name, kept[LAYERS].tolist()): name for name in state}
            found = {new: state[old] for new, old in names.items() if new in own}
        else:
            found = {name: tensor for name, tensor in state.items() if name in own}
            for place in self.places:
                if place.path:
                    found |= self._of_place(place, state, own, kept)
        small.load_state_dict({n: t.detach().clone() for n, t in found.items()}, strict=False)

    # Units and heads.

    @cached_property
    def _sources(self) -> dict[str, Channels]:
        """All that may be narrowed."""
        channels = [c for place in self.places for c in (*place.reads, place.writes)]
        found = {c.source: c for c in channels if c.sliced}
        fixed = self._fixed
        return {name: c for name, c in found.items() if self._together(name) not in fixed}

    @cached_property
    def _fixed(self) -> set[str]:
        """Those that the features are added to as they are."""
        choices = self.architecture.choices
        if choices.get("connectivity") != "residual" or choices["pre.layers"]:
            return set()
        features = self.task.n_features
        return {self._name(features)}

    @staticmethod
    def _name(width: int) -> str:
        return f"layers of {width}"

    def _together(self, source: str) -> str:
        """Who keeps the same channels."""
        choices = self.architecture.choices
        aligned = choices.get("connectivity") == "residual" or choices.get("jk.mode") == "max"
        if not aligned or source == "post":
            return source
        return self._name(int(choices[f"{source}.width"]))

    def _heads(self, source: str) -> int:
        return int(self.architecture.choices.get(f"{source}.heads", 1))

    def _chunk(self, source: str) -> int:
        """How many channels stay or go together, of each of `_chunks`."""
        width = int(self.architecture.choices[f"{source}.width"])
        return (
            width // self._chunks(source)[0] if self.structure == "heads" else self._groups(source)
        )

    def _groups(self, source: str) -> int:
        """Each of so many parts of the channels keeps as many: the heads of who is aligned."""
        together = self._together(source)
        others = [name for name in self._all_sources if self._together(name) == together]
        return math.lcm(*(self._heads(name) for name in others))

    def _chunks(self, source: str) -> tuple[int, int]:
        """How many there are to choose from, and how many are left."""
        if self.structure == "heads":
            # Where one has no heads, or one, the channels go that are added to those of others.
            together = self._together(source)
            many = {self._heads(n) for n in self._all_sources if self._together(n) == together}
            many -= {1}
            count = many.pop() if len(many) == 1 else 1
        else:
            width = int(self.architecture.choices[f"{source}.width"])
            count = width // self._groups(source)
        return count, max(1, round(self.density * count))

    @cached_property
    def _all_sources(self) -> list[str]:
        return [n.removesuffix(".width") for n in self.architecture.choices if n.endswith(".width")]

    def _unit_scores(self, weights: Mapping[str, Tensor], scores: Scores) -> dict[str, Tensor]:
        found = {n: torch.zeros(c.width, dtype=torch.float64) for n, c in self._sources.items()}
        for place in self.places:
            source = place.writes.source
            if not place.path or source not in found:
                continue
            for name, shape in _axes(place).items():
                full = f"{place.path}.{name}"
                if full not in weights:
                    continue
                flat = (
                    scores[full]
                    .detach()
                    .double()
                    .reshape(tuple(axes.flat(weights[full].shape, shape)))
                )
                for dim, axis in enumerate(shape.axes):
                    if axis.kind == "writes":
                        found[source] += (
                            flat.movedim(dim, 0).flatten(1).sum(1) if flat.dim() > 1 else flat
                        )
        return found

    def _top(self, source: str, scores: Tensor) -> Tensor:
        """[q] channels, ascending."""
        width = scores.numel()
        count, left = self._chunks(source)
        if self.structure == "heads":
            sums = scores.view(count, width // count).sum(1)
            heads = torch.sort(sums, descending=True, stable=True).indices[:left].sort().values
            each = torch.arange(width // count)
            return (heads[:, None] * (width // count) + each).flatten()
        groups = self._groups(source)
        order = torch.sort(scores.view(groups, count), dim=1, descending=True, stable=True).indices
        best = order[:, :left].sort(dim=1).values
        return (best + torch.arange(groups)[:, None] * count).flatten()

    def _of_place(
        self, place: Place, state: Mapping[str, Tensor], own: Mapping[str, Tensor], kept: Kept
    ) -> dict[str, Tensor]:
        reads = _beside(place.reads, kept)
        writes = kept.get(place.writes.source)
        found = {}
        for name, shape in _axes(place).items():
            full = f"{place.path}.{name}"
            if full not in state or full not in own:
                continue
            flat = state[full].reshape(tuple(axes.flat(state[full].shape, shape)))
            for dim, axis in enumerate(shape.axes):
                index = {"reads": reads, "writes": writes}.get(axis.kind)
                if index is not None:
                    flat = flat.index_select(dim, index)
            found[full] = flat.reshape(own[full].shape)
            # A learned scale has a row for each output.
            scale = f"{full}_quantizer.scale"
            if scale in state and writes is not None and state[scale].dim():
                found[scale] = state[scale].index_select(0, writes)
        return found

    # Layers.

    @cached_property
    def _layers(self) -> range:
        return range(int(self.architecture.choices["depth"]))

    @cached_property
    def _removable(self) -> list[int]:
        """Places in the network of those that may go."""
        if self.architecture.choices.get("connectivity") != "residual":
            return []
        mapped = {place.path for place in self.places}
        shortcuts = [f"body.shortcuts.{i}" for i in range(len(self._layers))]
        return [i for i, shortcut in enumerate(shortcuts) if shortcut not in mapped]

    @cached_property
    def _removed(self) -> int:
        wanted = len(self._layers) - max(1, round(self.density * len(self._layers)))
        return min(wanted, len(self._removable))

    @cached_property
    def _stand_in(self) -> list[int]:
        """Some that may be left, before it is known which."""
        gone = self._removable[len(self._removable) - self._removed :]
        return [i for i in range(len(self._layers)) if i not in gone]

    def _chosen_layers(self, scores: Scores) -> Tensor:
        sums = [
            sum(float(s.sum()) for n, s in scores.items() if n.startswith(f"body.layers.{i}."))
            for i in self._removable
        ]
        order = sorted(range(len(sums)), key=lambda i: (sums[i], i))[: self._removed]
        gone = {self._removable[i] for i in order}
        return torch.tensor([i for i in range(len(self._layers)) if i not in gone])

    @staticmethod
    def renamed(name: str, left: Sequence[int] | None) -> str:
        """The name of something in the smaller network, "" where it has gone.

        Args:
            left: the layers that are; None where none goes.
        """
        parts = name.split(".")
        if left is None or len(parts) < 3 or parts[:2] not in _OF_LAYERS:
            return name
        if int(parts[2]) not in left:
            return ""
        return ".".join([*parts[:2], str(left.index(int(parts[2]))), *parts[3:]])


def without_skips(choices: Mapping[str, Choice]) -> dict[str, Choice]:
    """The choices of the same network of the space `gnn` that has no layers left out."""
    depth = int(choices["depth"])
    layers = [i for i in range(depth) if choices[f"layer{i}.operator"] != SKIP]
    found = _renumbered(choices, layers)
    if not layers:
        # Nothing is connected.
        return {n: c for n, c in found.items() if n not in ("connectivity", "jk.mode")}
    return found


def _renumbered(choices: Mapping[str, Choice], left: Sequence[int]) -> dict[str, Choice]:
    """With these layers alone, one after another."""
    numbers = {old: new for new, old in enumerate(left)}
    found: dict[str, Choice] = {}
    for name, choice in choices.items():
        match = _LAYER.search(name)
        if match is None:
            found[name] = choice
        elif int(match[2]) in numbers:
            at = f"{match[1]}layer{numbers[int(match[2])]}."
            found[name[: match.start()] + at + name[match.end() :]] = choice
    return found | {"depth": len(left)}


def _axes(place: Place) -> Mapping[str, axes.Tensor]:
    """Of each tensor of its state."""
    return axes.axes(place.module, place.writes.groups, place.bank, buffers=True)


def _beside(reads: Sequence[Channels], kept: Kept) -> Tensor | None:
    """Which of the channels of all sources side by side are left; None for all."""
    if all(read.source not in kept for read in reads):
        return None
    start, found = 0, []
    for read in reads:
        own = kept.get(read.source, torch.arange(read.width))
        found.append(own + start)
        start += read.width
    return torch.cat(found)
