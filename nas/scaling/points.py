"""The points that rules are fitted to: trials that no other beats in accuracy and macs."""

from collections.abc import Sequence
from dataclasses import dataclass

from nas.pareto import front
from nas.record import TrialRecord
from search_spaces import Architecture

MACS = "macs"


@dataclass(frozen=True)
class Point:
    """A trial of the front.

    Attributes:
        trial: its number.
        macs: multiply-accumulates of its network.
        loss: its metric, turned so that lower is better.
        architecture: of the trial.
    """

    trial: int
    macs: float
    loss: float
    architecture: Architecture


def points_of(trials: Sequence[TrialRecord], metric: str, direction: str) -> tuple[Point, ...]:
    """The trials that have an architecture, macs and the metric."""
    sign = -1.0 if direction == "maximize" else 1.0
    return tuple(
        Point(t.number, t.metrics[MACS], sign * t.metrics[metric], t.architecture)
        for t in trials
        if t.architecture is not None and MACS in t.metrics and metric in t.metrics
    )


def frontier(points: Sequence[Point]) -> tuple[Point, ...]:
    """Those that no other beats, fewest macs first; of equal ones the first."""
    kept = [points[i] for i in front([(p.loss, p.macs) for p in points])]
    distinct = {point.macs: point for point in reversed(kept)}
    return tuple(distinct[macs] for macs in sorted(distinct))
