"""Rungs: at which epochs a trial is measured, and whether it goes on (a fold over the record)."""

from collections.abc import Sequence

import numpy as np

from nas.pareto import crowding_distances, non_dominated_ranks


def levels(rungs: Sequence[int], epochs: int) -> tuple[int, ...]:
    """The epochs at which a trial is measured, the last of them the full `epochs`."""
    return (*(rung for rung in rungs if rung < epochs), epochs)


def goes_on(losses: Sequence[tuple[float, ...]], reduction: int) -> bool:
    """Whether the last of these trials, in the order measured at one rung, goes on to the next.

    Asynchronous successive halving (L. Li, K. Jamieson, A. Rostamizadeh, E. Gonina, M. Hardt,
    B. Recht, A. Talwalkar, "A System for Massively Parallel Hyperparameter Tuning", 2020), stopping
    variant: it goes on when it is among the best `1 / reduction` of what the rung has seen so far,
    at least one. Several objectives rank by non-domination, then by crowding. Because only earlier
    rows count, the decision is the same whenever it is asked again.

    Args:
        losses: one tuple a trial, lower is better.
        reduction: one in so many goes on.
    """
    points = np.asarray(losses, dtype=float)
    ranks = non_dominated_ranks(points)
    peers = np.flatnonzero(ranks == ranks[-1])
    crowding = crowding_distances(points[peers])
    mine = crowding[-1]
    better = int(np.sum(ranks < ranks[-1])) + int(np.sum(crowding[:-1] >= mine))
    return better < max(1, len(points) // reduction)
