"""How well one order of architectures agrees with another."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import fmean
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

Floats: TypeAlias = NDArray[np.float64]
_DRAWS = 1_000
_TAILS = (2.5, 97.5)


@dataclass(frozen=True)
class Agreement:
    """Of a cheap measure with training alone, over the same architectures.

    Attributes:
        measure: what ranks: slice, read_out, foreseen, short (few epochs alone), ceiling (another
            seed).
        kendall: tau-b, in [-1, 1] (M. G. Kendall, "The treatment of ties in ranking problems",
            1945); 0 where all are equal.
        interval: 95 % of tau over architectures drawn with replacement.
        spearman: the correlation of ranks, in [-1, 1].
    """

    measure: str
    kendall: float
    interval: tuple[float, float]
    spearman: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"interval": list(self.interval)}


def agreement(measure: str, cheap: Sequence[float], alone: Sequence[float]) -> Agreement:
    """Of values that are higher for what is better."""
    x, y = np.asarray(cheap, dtype=np.float64), np.asarray(alone, dtype=np.float64)
    rng = np.random.default_rng(0)
    drawn = [tau(x[i], y[i]) for i in rng.integers(len(x), size=(_DRAWS, len(x)))]
    low, high = np.percentile(drawn, _TAILS).tolist()
    spearman = spearmanr(x, y).statistic if np.ptp(x) and np.ptp(y) else 0.0
    return Agreement(measure, tau(x, y), (low, high), float(spearman))


def ceiling(runs: Sequence[Sequence[float]]) -> Agreement:
    """Of training alone with itself: the mean over all pairs of seeds; so are its interval's ends.

    It is of two single runs. What is judged by the mean of several runs may exceed it.

    Args:
        runs: of each seed, the values of all architectures.
    """
    pairs = [agreement("ceiling", a, b) for a, b in combinations(runs, 2)]
    low, high = (fmean(pair.interval[end] for pair in pairs) for end in (0, 1))
    return Agreement(
        "ceiling",
        fmean(pair.kendall for pair in pairs),
        (low, high),
        fmean(pair.spearman for pair in pairs),
    )


def tau(x: Floats, y: Floats) -> float:
    """Kendall's tau-b, and 0 where it is not defined."""
    found = kendalltau(x, y).statistic
    return 0.0 if np.isnan(found) else float(found)
