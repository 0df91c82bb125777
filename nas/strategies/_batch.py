"""Which of the candidates are measured next: together they should improve on what is known."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nas.strategies._inner import order

Floats: TypeAlias = NDArray[np.float64]


def improving(draws: Floats, best: float, count: int) -> list[int]:
    """Candidates that together have the largest expected improvement, chosen one by one.

    Expected improvement of a batch, on joint draws: Ginsbourger, Le Riche and Carraro, "Kriging is
    well-suited to parallelize optimization", 2010. A candidate that is good only where a chosen one
    is good too adds little, so the batch is diverse.

    Args:
        draws: [draws, candidates] losses that the candidates together may have.
        best: the lowest loss measured.
        count: how many to choose, at most all.

    Returns:
        Indices, the one chosen first first.
    """
    chosen: list[int] = []
    reached = np.full(len(draws), best)
    means = draws.mean(axis=0)
    for _ in range(min(count, draws.shape[1])):
        gains = np.maximum(reached[:, None] - draws, 0).mean(axis=0)
        gains[chosen] = -np.inf
        # Where nothing improves any more, the lowest mean.
        index = int(np.lexsort((means, -gains))[0])
        chosen.append(index)
        reached = np.minimum(reached, draws[:, index])
    return chosen


def spreading(draws: Floats, measured: Floats, count: int) -> list[int]:
    """Candidates by non-dominated sorting, each by another draw, among all measured and chosen.

    Of the first front of a draw, the one in the widest gap.

    Args:
        draws: [at least count, candidates, objectives] losses that the candidates may have.
        measured: [n, objectives] losses.
        count: how many to choose, at most all.

    Returns:
        Indices, the one chosen first first.
    """
    chosen: list[int] = []
    for draw in draws[: min(count, draws.shape[1])]:
        # Of equal points the first is not crowded: that is the measured one.
        both = np.concatenate([measured, draw])
        ranked = (order(both, np.zeros(len(both)), len(measured) + count) - len(measured)).tolist()
        taken = set(chosen)
        chosen.append(next(i for i in ranked if i >= 0 and i not in taken))
    return chosen
