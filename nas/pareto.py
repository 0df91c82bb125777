"""Several objectives at once: dominance, fronts, crowding and hypervolume. Lower is better.

A point dominates another if it is nowhere worse and somewhere better; equal points do not dominate
each other. Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic
algorithm: NSGA-II", 2002, has the ranks and the crowding distance.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = Sequence[Sequence[float]] | NDArray[np.float64]
Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


def non_dominated_ranks(losses: Points) -> Ints:
    """The front that each point lies on: 0 is dominated by none, 1 only by front 0, and so on.

    Args:
        losses: [n points, m objectives], lower is better; infinite values are allowed.

    Returns:
        [n] ranks; equal points share one.

    Raises:
        ValueError: `losses` is not two-dimensional, or has a NaN.
    """
    points = _points(losses)
    if points.shape[1] == 1:  # ten times as fast as rows of one
        return np.unique(points[:, 0], return_inverse=True)[1]
    # Sorted by objective 0, then 1, ...: no point is dominated by a later one.
    unique, inverse = np.unique(points, axis=0, return_inverse=True)
    return _ranks_of_sorted(unique)[inverse.reshape(-1)]


def front(losses: Points) -> Ints:
    """The indices of the points that no other dominates, ascending; of equal points, all.

    Raises:
        ValueError: as for `non_dominated_ranks`.
    """
    points = _points(losses)
    unique, inverse = np.unique(points, axis=0, return_inverse=True)
    return np.flatnonzero(_front_of_sorted(unique)[inverse.reshape(-1)])


def crowding_distances(losses: Points) -> Floats:
    """How far apart a point of one front is from its neighbors: larger is lonelier.

    The sum over objectives of (next neighbor's value - previous neighbor's value) / (maximum -
    minimum); infinite at both ends of each objective. Of equal points the first has the distance
    and the others have 0, so that copies do not crowd out the rest.

    Args:
        losses: [n points of one front, m objectives].

    Raises:
        ValueError: as for `non_dominated_ranks`, or a value is infinite.
    """
    points = _points(losses)
    if not np.isfinite(points).all():
        raise ValueError("expected finite losses for a crowding distance, got an infinite one")
    unique, index = np.unique(points, axis=0, return_index=True)
    distances = np.zeros(len(unique))
    for column in unique.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]] if len(order) else 0.0
        if span > 0:
            distances[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
        distances[order[:1]] = distances[order[-1:]] = np.inf
    spread = np.zeros(len(points))
    spread[index] = distances
    return spread


def ranks_and_crowding(losses: Points, most: int | None = None) -> tuple[Ints, Floats]:
    """The front that each point lies on, and its crowding distance there: what NSGA-II orders by.

    With one objective there is no crowding: 0 for all.

    Args:
        losses: [n points, m objectives].
        most: crowding is of interest for the first so many points alone; fronts that lie behind
            them have 0.

    Raises:
        ValueError: as for `crowding_distances`.
    """
    points = _points(losses)
    ranks, crowding = non_dominated_ranks(points), np.zeros(len(points))
    if points.shape[1] > 1:
        sizes = np.bincount(ranks)
        before = np.cumsum(sizes) - sizes
        for rank in np.flatnonzero(before < (len(points) if most is None else most)):
            crowding[ranks == rank] = crowding_distances(points[ranks == rank])
    return ranks, crowding


def hypervolume(losses: Points, reference: Sequence[float]) -> float:
    """The volume that the points dominate, up to a reference point; exact, larger is better.

    By slicing along the last objective: While, Hingston, Barone and Huband, "A faster algorithm
    for calculating hypervolume", 2006. The time grows exponentially with the number of objectives;
    it is meant for two to four.

    Args:
        losses: [n points, m objectives]; points not better than the reference everywhere count 0.
        reference: [m], worse than what is of interest.

    Raises:
        ValueError: `losses` is not two-dimensional, has a NaN, or `reference` has another length.
    """
    points, bound = _points(losses), np.asarray(reference, dtype=np.float64)
    if not len(points):
        return 0.0
    if bound.shape != points.shape[1:]:
        raise ValueError(
            f"expected a reference point of {points.shape[1]} values, got {bound.size}"
        )
    return _volume(points[(points < bound).all(axis=1)], bound)


def _volume(points: Floats, bound: Floats) -> float:
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(bound[0] - points.min())
    points = np.unique(points, axis=0)
    points = points[_front_of_sorted(points)]
    points = points[np.argsort(points[:, -1], kind="stable")]
    depths = np.diff(np.append(points[:, -1], bound[-1]))
    return sum(
        float(depth) * _volume(points[: index + 1, :-1], bound[:-1])
        for index, depth in enumerate(depths)
        if depth > 0
    )


def _ranks_of_sorted(points: Floats) -> Ints:
    """The ranks of distinct, lexicographically sorted points."""
    ranks = np.arange(len(points), dtype=np.int64)
    if points.shape[1] == 2:
        # The last loss of each front so far, ascending: the first front that is worse takes it.
        ends: list[float] = []
        for index, last in enumerate(points[:, 1].tolist()):
            ranks[index] = rank = bisect_right(ends, last)
            ends[rank : rank + 1] = [last]
    else:
        rest, rank = ranks, 0
        ranks = np.zeros(len(points), dtype=np.int64)
        while len(rest):
            first = _front_of_sorted(points[rest])
            ranks[rest[first]] = rank
            rest = rest[~first]
            rank += 1
    return ranks


def _front_of_sorted(points: Floats) -> NDArray[np.bool_]:
    """Which of distinct, lexicographically sorted points no other dominates."""
    kept = np.zeros(len(points), dtype=np.bool_)
    rest = np.arange(len(points))
    while len(rest):
        best = rest[0]
        kept[best] = True
        rest = rest[(points[rest] < points[best]).any(axis=1)]
    return kept


def _points(losses: Points) -> Floats:
    points = np.asarray(losses, dtype=np.float64)
    if points.size == 0 and points.ndim == 1:
        return points.reshape(0, 1)
    if points.ndim != 2:
        raise ValueError(f"expected losses of shape [points, objectives], got {points.shape}")
    if np.isnan(points).any():
        raise ValueError("expected losses without NaN; leave out what was not measured")
    return points
