"""What predictors see of an architecture: counts of small parts, in groups.

Of its decisions: the choices made (to be inactive is one), how often each choice is made in the
decisions of one class (`layer0.operator` and `layer1.operator` are of the class `operator`), and
where ordered choices stand on their scale. Of its graph, where the space gives one: operators by
their distance from the input and from the output, operators along edges and along paths of three,
pairs that read the same vertex or are read by the same, ancestors with their descendants, the
subtrees of Weisfeiler and Lehman towards the input and towards the output, and the sizes.

Ru, Wan, Dong and Osborne, "Interpretable neural architecture search via Bayesian optimisation with
Weisfeiler-Lehman kernels", 2021; White, Neiswanger and Savani, "BANANAS: Bayesian optimization with
neural architectures for neural architecture search", 2021, has the paths.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import combinations, groupby
from threading import Lock
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from search_spaces import Architecture, SearchSpace
from search_spaces.graph import ArchitectureGraph

# Group, and what is counted in it.
Part: TypeAlias = tuple[str, Hashable]

OF_DECISIONS = ("choices", "classes", "scale")
OF_GRAPHS = ("position", "edges", "paths", "siblings", "ancestors", "inputs", "outputs", "size")
# Architectures whose parts are remembered.
_MOST_REMEMBERED = 50_000
# Longer names of trees are replaced by a digest: unrolled graphs can be exponentially large.
_LONGEST_TREE = 64


@dataclass(frozen=True)
class Counts:
    """The parts of one architecture: numbers that stand for them, how often they occur, groups."""

    parts: NDArray[np.int32]
    counts: NDArray[np.float32]
    groups: NDArray[np.int8]


class Features:
    """Counts the parts of a space's architectures; remembers them.

    The numbers of parts depend on the order in which architectures were seen, so nothing that is
    computed may depend on their order: every sum goes along one architecture's own parts.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.groups = OF_DECISIONS + (OF_GRAPHS if space.graph is not None else ())
        self._numbers: dict[Part, int] = {}
        self._remembered: dict[tuple[int, ...], Counts] = {}
        self._lock = Lock()

    def counts(self, architecture: Architecture) -> Counts:
        """The parts of one architecture."""
        vector = self.space.encode(architecture)
        found = self._remembered.get(vector)
        if found is None:
            with self._lock:
                found = self._counted(architecture)
                if len(self._remembered) >= _MOST_REMEMBERED:
                    self._remembered.clear()
                self._remembered[vector] = found
        return found

    def _counted(self, architecture: Architecture) -> Counts:
        parts = decision_parts(self.space, architecture)
        if self.space.graph is not None:
            for part in graph_parts(self.space.graph(architecture)):
                parts[part] = parts.get(part, 0.0) + 1.0
        order = {group: index for index, group in enumerate(self.groups)}
        return Counts(
            np.array([self._numbers.setdefault(p, len(self._numbers)) for p in parts], np.int32),
            np.array(list(parts.values()), np.float32),
            np.array([order[group] for group, _ in parts], np.int8),
        )


@lru_cache(maxsize=4)
def features_of(space: SearchSpace) -> Features:
    """One for all studies of a space in this process: parts are the same whoever counts them."""
    return Features(space)


def decision_parts(space: SearchSpace, architecture: Architecture) -> dict[Part, float]:
    """The parts that any architecture has."""
    parts: dict[Part, float] = {}
    for decision in space.decisions:
        choice = architecture.choices.get(decision.name)
        parts["choices", (decision.name, choice)] = 1.0
        if choice is None:
            continue
        pool = (decision.name.rpartition(".")[2], choice)
        parts["classes", pool] = parts.get(("classes", pool), 0.0) + 1.0
        if decision.ordered and len(decision.choices) > 1:
            position = decision.choices.index(choice) / (len(decision.choices) - 1)
            # Few binary digits: sums of products are exact in any order.
            parts["scale", decision.name] = round(position * 256) / 256
    return parts


def graph_parts(graph: ArchitectureGraph) -> Iterator[Part]:
    """The parts of a labeled graph, once for each time that they occur."""
    labels, everything = graph.labels, range(len(graph.labels))
    sources: list[list[int]] = [[] for _ in everything]
    targets: list[list[int]] = [[] for _ in everything]
    for source, target in graph.edges:
        sources[target].append(source)
        targets[source].append(target)
    down = _distances(sources, everything)
    up = _distances(targets, everything[::-1])
    yield from _sizes(down, sources, targets)
    for vertex in everything:
        label = labels[vertex]
        yield "position", (label, down[vertex], up[vertex])
        for side, beside in (("from", sources[vertex]), ("to", targets[vertex])):
            for pair in combinations(sorted(labels[v] for v in beside), 2):
                yield "siblings", (side, *pair)
        for target in targets[vertex]:
            yield "edges", (label, labels[target])
            for last in targets[target]:
                yield "paths", (label, labels[target], labels[last])
    for above, below in _reachable(targets):
        yield "ancestors", (labels[above], labels[below])
    for tree in _subtrees(labels, sources, everything):
        yield "inputs", tree
    for tree in _subtrees(labels, targets, everything[::-1]):
        yield "outputs", tree


def _distances(near: Sequence[Sequence[int]], order: Iterable[int]) -> list[int]:
    """The longest way of each vertex to an end, through vertices that come before it in order."""
    longest = [0] * len(near)
    for vertex in order:
        longest[vertex] = max((longest[v] + 1 for v in near[vertex]), default=0)
    return longest


def _sizes(
    down: Sequence[int], sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
) -> Iterator[Part]:
    yield "size", ("vertices", len(down))
    yield "size", ("depth", max(down, default=0))
    width = max((len(list(same)) for _, same in groupby(sorted(down))), default=0)
    yield "size", ("width", width)
    yield "size", ("starts", len(targets[0]) if targets else 0)
    yield "size", ("ends", len(sources[-1]) if sources else 0)


def _reachable(targets: Sequence[Sequence[int]]) -> Iterator[tuple[int, int]]:
    """Each vertex with each that it leads to."""
    beyond: list[set[int]] = [set() for _ in targets]
    for vertex in reversed(range(len(targets))):
        beyond[vertex].update(targets[vertex], *(beyond[v] for v in targets[vertex]))
        for other in sorted(beyond[vertex]):
            yield vertex, other


def _subtrees(
    labels: Sequence[str], near: Sequence[Sequence[int]], order: Iterable[int]
) -> Iterator[str]:
    """All that lies on one side of each vertex, unrolled to a tree, to any depth; sorted."""
    trees = [""] * len(labels)
    for vertex in order:
        tree = f"{labels[vertex]}({','.join(sorted(trees[v] for v in near[vertex]))})"
        if len(tree) > _LONGEST_TREE:
            tree = blake2b(tree.encode(), digest_size=8).hexdigest()
        trees[vertex] = tree
        yield tree
