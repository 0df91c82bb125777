"""Intervals of means over seeds: Student's t, cut off where the metric ends."""

import math
from collections.abc import Iterable
from typing import TypeAlias

from search_spaces.task import METRICS

CONFIDENCE = 0.95
Ends: TypeAlias = tuple[float, float]
_ANY: Ends = (-math.inf, math.inf)
_ENDS = {**dict.fromkeys(METRICS, (0.0, 1.0)), "loss": (0.0, math.inf)}
_SPLITS = ("train", "val", "test")


def ends_of(metric: str, values: Iterable[float]) -> Ends:
    """What a metric lies between, by its name; infinite where that is not known.

    Args:
        values: of it. Where one is outside, as of an accuracy in percent, the name means something
            else.
    """
    split, _, name = metric.partition("_")
    low, high = _ENDS.get(name if split in _SPLITS else metric, _ANY)
    return (low, high) if all(low <= value <= high for value in values) else _ANY


def largest_difference(metric: str, values: Iterable[float]) -> float:
    """How far two values of a metric can be apart; infinite where that is not known."""
    low, high = ends_of(metric, values)
    return high - low


def interval(mean: float, stderr: float, n: int, ends: Ends = _ANY) -> Ends:
    """The 95 % interval of a mean of `n` values, 2 or more, as far as it lies between `ends`."""
    # What scipy.stats calls, without importing all of it.
    from scipy.special import stdtrit

    half = float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) * stderr
    low, high = ends
    return max(mean - half, low), min(mean + half, high)
