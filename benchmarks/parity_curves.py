"""Curves of training without dropout: the engine's, PyG's, and what rounding makes of both."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from parity_cases import Case, permuted, renumbered
from parity_measure import EPOCHS, Curve, engine, plain, recorded

from evaluators._faults import CandidateError
from evaluators.datasets import Dataset
from evaluators.engine.graph import Graph

# By how much the engine may be farther from PyG than PyG from itself.
FACTOR = 3.0
# Two curves in float32 that differ by this do not differ: an operator without edges has the same
# sums whatever the order of the edges, while the engine's dense products may round otherwise.
FLOOR = 1e-6
# A difference is mostly of the last bit, and now and then, where a rounding error turns a ReLU or
# the sign of a tiny gradient, a hundred times as large: the largest of few may miss that.
PERMUTATIONS, LEAST = 20, 3


def curve(case: Case, graph: Graph) -> Curve:
    """Of the engine, without dropout; infinite losses where it fails."""
    dataset = graph.dataset
    network = case.network(dataset.task).to(graph.dtype)
    try:
        return engine([recorded(network, dataset)], graph)[0]
    except CandidateError:
        return Curve([math.inf] * EPOCHS, [])


@dataclass(frozen=True)
class Parity:
    """How far the engine's curve is from PyG's, and PyG's from itself.

    Attributes:
        engine: the largest difference of the training losses in any epoch.
        permuted: the same between PyG and itself, for each permutation of the edges.
    """

    engine: float
    permuted: Sequence[float]

    @property
    def bound(self) -> float:
        return FACTOR * max(*self.permuted, FLOOR)

    @property
    def holds(self) -> bool:
        return self.engine <= self.bound


def themselves(
    case: Case, dataset: Dataset, reordered: Callable[[Dataset, int], Dataset] = permuted
) -> Iterator[float]:
    """How far PyG's curve is from its own, with the edges (or the nodes too) in other orders."""
    network = case.network(dataset.task)
    one = plain(copy.deepcopy(network), dataset)
    for seed in range(PERMUTATIONS):
        yield plain(copy.deepcopy(network), reordered(dataset, seed)).distance(one)


def parity(case: Case, graphs: Sequence[Graph], least: int = LEAST) -> list[Parity]:
    """Of engines for the same dataset; all but the first may be faulty."""
    dataset = graphs[0].dataset
    theirs = plain(case.network(dataset.task), dataset)
    first, *others = (curve(case, graph).distance(theirs) for graph in graphs)
    sound = _held(case, dataset, first, least)
    return [sound, *(Parity(distance, sound.permuted) for distance in others)]


def parity_of_itself(case: Case, dataset: Dataset) -> Parity:
    """Of PyG with its nodes numbered otherwise, in place of an engine."""
    return _held(case, dataset, next(themselves(case, dataset, renumbered)), LEAST)


def _held(case: Case, dataset: Dataset, distance: float, least: int) -> Parity:
    """A distance from PyG's curve, against the bound.

    That is of `PERMUTATIONS` permutations. More than `least` are only made while the distance is
    beyond it: another one can but raise it.
    """
    own = list[float]()
    for other in themselves(case, dataset):
        own.append(other)
        if len(own) >= least and Parity(distance, own).holds:
            break
    return Parity(distance, own)


@dataclass(frozen=True)
class Rounding:
    """How far two ways in float32 are from PyG in float64, and the engine in float64 too.

    Attributes:
        engine: of the engine in float32.
        plain: of PyG in float32.
        exact: of the engine in float64.
    """

    engine: float
    plain: float
    exact: float


def rounding(case: Case, single: Graph, double: Graph) -> Rounding:
    """Of a case on one graph in both precisions."""
    dataset = single.dataset
    network = case.network(dataset.task)
    wide = replace(dataset, x=dataset.x.double())
    truth = plain(copy.deepcopy(network).double(), wide)
    theirs = plain(network, dataset)
    return Rounding(
        engine=curve(case, single).distance(truth),
        plain=theirs.distance(truth),
        exact=curve(case, double).distance(truth),
    )
