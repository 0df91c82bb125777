"""Which module of a network that has grown comes from which of the network before it.

Limits: of the space `gnn` alone, whose elastic places it reads.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

from search_spaces import neutral, preserving
from search_spaces.architecture import Architecture
from search_spaces.copying import Rule
from search_spaces.elastic import Channels, Place
from search_spaces.errors import SpaceError
from search_spaces.neutral import Goal
from search_spaces.preserving import kind
from search_spaces.space import SearchSpace
from search_spaces.task import Task

# From a module of the parent, as a new layer does nothing, or of nothing at all.
How: TypeAlias = Literal["parent", "identity", "silence", "zeros"]
_LAYER = re.compile(r"layer(\d+)\b")


@dataclass(frozen=True)
class Move:
    """A module of the child, and what it is made from.

    Attributes:
        place: in the child.
        how: what it begins as.
        path: of the parent's module, "" where there is none with weights.
        reads: sources of the parent that are side by side in what it is made from, with widths.
        carried: of each of the child's sources that it reads, which of `reads` it is, None where
            it is not to be read.
        width: of the output of what it is made from.
        rule: by which its tensors grow.
    """

    place: Place
    how: How
    path: str
    reads: tuple[Channels, ...]
    carried: tuple[int | None, ...]
    width: int
    rule: Rule


class Matching:
    """Two networks, module by module.

    Args:
        space: of both; elastic.
        task: what both fit.
        parent, child: the child has some more layers, or none.
        added: which of the child's layers are new.

    Raises:
        SpaceError: some module would compute something else; the message says which, and why.
    """

    def __init__(
        self,
        space: SearchSpace,
        task: Task,
        parent: Architecture,
        child: Architecture,
        added: Collection[int],
    ) -> None:
        self._child, self._parent = child, parent
        self._added = frozenset(added)
        before, self._after = _places(space, parent, task), _places(space, child, task)
        self._before = {_key(place): place for place in before}
        channels = [c for place in before for c in (*place.reads, place.writes)]
        self._widths = {c.source: c.width for c in channels}
        self._old = self._sources()
        self._together: dict[str, str] = {}
        for layer in sorted(self._added):
            self._check_added(layer)
        self.moves = tuple(self._moves())

    def leader(self, source: str) -> str:
        """Sources of the child whose channels are copied alike have one leader."""
        while source in self._together:
            source = self._together[source]
        return source

    @cached_property
    def sources(self) -> Mapping[str, tuple[Channels, int]]:
        """All that has channels in the child, each with its width before."""
        channels = [c for place in self._after for c in (*place.reads, place.writes)]
        return {c.source: (c, self._widths[self._old[c.source]]) for c in channels}

    @property
    def goal(self) -> Goal:
        """What a new layer's operator is to be."""
        residual = self._child.choices.get("connectivity") == "residual"
        return "silence" if residual else "identity"

    def _sources(self) -> dict[str, str]:
        """Of each of the child's sources the parent's that has its values."""
        found = {name: name for name in ("features", "pre", "post", "classes")}
        last = "pre" if self._child.choices["pre.layers"] else "features"
        old = 0
        for layer in range(int(self._child.choices["depth"])):
            if layer not in self._added:
                last, old = f"layer{old}", old + 1
            found[f"layer{layer}"] = last
        return found

    def _check_added(self, layer: int) -> None:
        """Raises: SpaceError: values do not go through the new layer unchanged."""
        name, source = f"layer{layer}", self._old[f"layer{layer}"]
        width, before = int(self._child.choices[f"{name}.width"]), self._widths[source]
        if width < before:
            raise SpaceError(
                f"{name}.width: the new layer has {width} channels and is to pass on {before}"
            )
        activation = str(self._child.choices[f"{name}.activation"])
        if self.goal == "silence":
            if not neutral.keeps_zero(activation):
                raise SpaceError(f'{name}.activation: "{activation}" of 0 is added to what was')
            return
        values = {"features": "none", "pre": "relu"}.get(source)
        values = values or str(self._parent.choices[f"{source}.activation"])
        if not neutral.unchanged_by(activation, values):
            raise SpaceError(
                f'{name}.activation: "{activation}" changes what comes out of "{values}"'
                if source != "features"
                else f'{name}.activation: "{activation}" changes the features'
            )

    def _moves(self) -> Iterator[Move]:
        for place in self._after:
            move = self._move(place)
            if place.path:
                yield self._ruled(move)
            elif move.how == "identity":
                # The child adds, or compares, channel by channel.
                self._align(place.reads[0].source, place.writes.source)
            else:
                raise SpaceError(
                    f"{place.bank}: with equal widths there is no map, which the parent has"
                    if move.how == "parent"
                    else f"{place.bank}: what is read would be added, which the parent does not"
                )

    def _align(self, one: str, other: str) -> None:
        one, other = self.leader(one), self.leader(other)
        if one != other:
            self._together[other] = one

    def _move(self, place: Place) -> Move:
        """What a module is made from, without its rule."""
        how, origin = self._origin(place)
        if how == "parent" and origin is not None and not origin.path:
            how = "identity"
        width = self._widths[self._old[place.writes.source]]
        if how == "parent" and origin is not None:
            reads, path = origin.reads, origin.path
        else:
            olds = [self._old[place.reads[-1].source]] if place.reads else []
            reads, path = tuple(Channels(old, w := self._widths[old], w) for old in olds), ""
        return Move(place, how, path, reads, self._carried(place, reads), width, Rule())

    def _origin(self, place: Place) -> tuple[How, Place | None]:
        layer, rest = place.bank.partition(".")[::2]
        if _is_map(place):
            return self._map(layer, rest, self._old[place.reads[0].source])
        found = _LAYER.fullmatch(layer)
        if found and int(found[1]) in self._added:
            return self.goal, None
        key = (f"{self._old[layer]}.{rest}" if found else place.bank, "")
        if key not in self._before:
            raise SpaceError(f"{place.bank}: the parent has no such module")
        return "parent", self._before[key]

    def _map(self, layer: str, rest: str, read: str) -> tuple[How, Place | None]:
        """Of the linear maps where widths differ."""
        last = self._old[layer]
        if rest == "shortcut":
            if int(layer.removeprefix("layer")) in self._added:
                return "identity", None
            known = self._before.get((f"{last}.shortcut", ""))
            return ("parent", known) if known else ("zeros", None)
        if read == last:
            return "identity", None
        known = self._before.get((f"{last}.joins", read))
        if known is None:
            raise SpaceError(f"{layer}.joins: {read} is no part of the maximum yet, and would be")
        return "parent", known

    def _carried(self, place: Place, reads: tuple[Channels, ...]) -> tuple[int | None, ...]:
        """Each of what was read by one of the child's sources that have its values: its own."""
        sources = [(read.source, self._old[read.source]) for read in place.reads]
        found: dict[int, int] = {}
        for at, before in enumerate(reads):
            own = [i for i, (_, old) in enumerate(sources) if old == before.source]
            if not own:
                raise SpaceError(f"{place.bank}: {before.source} is not read any more")
            first = [i for i in own if not self._is_added(sources[i][0])]
            found[first[0] if first else own[-1]] = at
        return tuple(found.get(i) for i in range(len(sources)))

    def _is_added(self, source: str) -> bool:
        found = _LAYER.fullmatch(source)
        return found is not None and int(found[1]) in self._added

    def _ruled(self, move: Move) -> Move:
        place, of = move.place, kind(move.place)
        reads = bool(place.reads) and (
            None in move.carried
            or any(read.width != self._widths[self._old[read.source]] for read in place.reads)
        )
        writes = place.writes.width != move.width
        if writes and move.width % place.writes.groups:
            raise SpaceError(
                f"{place.writes.source}.width: {move.width} channels cannot be copied evenly "
                f"among {place.writes.groups} heads"
            )
        try:
            if move.how in ("identity", "silence") and of.on_graph:
                neutral.neutralized(of, self.goal)
            elif move.how in ("identity", "silence") and not place.reads:
                neutral.check_normalized(of, self.goal)
            rule = (
                preserving.widening(of, reads=reads, writes=writes) if reads or writes else Rule()
            )
        except SpaceError as error:
            raise SpaceError(f"{place.bank.partition('.')[0]}: {error}") from error
        return replace(move, rule=rule)


def _places(space: SearchSpace, architecture: Architecture, task: Task) -> tuple[Place, ...]:
    if space.elastic is None:
        raise SpaceError(f'the space "{space.name}" has no networks whose modules are known')
    return space.elastic(space, architecture, task)


def _key(place: Place) -> tuple[str, str]:
    """Unique in a network: several outputs may be joined to the last."""
    joins = _is_map(place) and place.bank.endswith(".joins")
    return place.bank, place.reads[0].source if joins else ""


def _is_map(place: Place) -> bool:
    """Whether it stands where widths differ; without weights where they do not."""
    return not place.path or place.path.startswith(("body.shortcuts.", "body.maps."))
