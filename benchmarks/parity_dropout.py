"""Training with dropout, which each way draws by itself: means over seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from parity_cases import Case
from parity_measure import Curve, engine, plain, recorded

from evaluators.datasets import Dataset
from evaluators.engine.graph import Graph
from nas.compare import paired_interval


def with_dropout(
    case: Case, graph: Graph, p: float, seeds: Sequence[int], epochs: int
) -> list[Curve]:
    """Of the engine, for each seed; all are offered to it together."""
    task = graph.dataset.task
    runs = [
        recorded(case.network(task, seed), graph.dataset, epochs=epochs, dropout=p, seed=seed)
        for seed in seeds
    ]
    return engine(runs, graph)


def plain_with_dropout(
    case: Case, dataset: Dataset, p: float, seeds: Sequence[int], epochs: int
) -> list[Curve]:
    """Of the plain loop, from the same weights; what it drops has nothing to do with the engine."""
    found = []
    for seed in seeds:
        network = case.network(dataset.task, seed)
        torch.manual_seed(2**32 + seed)
        found.append(plain(network, dataset, epochs, p))
    return found


# What of a curve is compared between seeds.
SUMMARIES: Mapping[str, Callable[[Curve], float]] = {
    "best val accuracy": lambda c: max(c.accuracies),
    "last val accuracy": lambda c: c.accuracies[-1],
    "train loss, last 10 epochs": lambda c: fmean(c.losses[-10:]),
}


@dataclass(frozen=True)
class Difference:
    """Of the means of two ways over seeds, each pair of which began with the same weights.

    Attributes:
        mean: the engine's less the plain loop's.
        interval: of it, 95 %.
        p: that it is 0.
        of: the plain loop's mean.
    """

    mean: float
    interval: tuple[float, float]
    p: float
    of: float


def differences(ours: Sequence[Curve], theirs: Sequence[Curve]) -> dict[str, Difference]:
    """By what is compared."""
    found = {}
    for name, summary in SUMMARIES.items():
        of = [summary(c) for c in theirs]
        pairs = [summary(a) - b for a, b in zip(ours, of, strict=True)]
        interval, p = paired_interval(pairs)
        if interval is None or p is None:
            raise ValueError(f"expected differences between seeds that vary, got {pairs}")
        found[name] = Difference(fmean(pairs), interval, p, fmean(of))
    return found
