"""A rule: how large something is at a share of the base's multiply-accumulates.

A Gaussian process over the logarithm of the share, whose mean is made monotone by isotonic
projection. Beyond the points the mean stays where it was, and the uncertainty grows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve

from evaluators.latency.costs import Floats
from evaluators.latency.gaussian_process import Likely, kernel, likeliest, lower

_GRID = 200
# Whole numbers tell no more than this, though all of them be equal.
_LEAST_SD = 0.5


@dataclass(frozen=True)
class Rule:
    """What was fitted; make one with `fit`.

    Attributes:
        x: [n] logarithms of shares, ascending; `y`: [n] what was seen there.
    """

    x: Floats
    y: Floats
    _likely: Likely
    _factor: Floats
    _weights: Floats
    _grid: Floats
    _monotone: Floats

    @classmethod
    def fit(cls, ratios: Sequence[float], values: Sequence[float]) -> "Rule":
        """The rule of some points, at least two of them at different ratios."""
        order = np.argsort(ratios, kind="stable")
        x, y = np.log(np.asarray(ratios, float)[order]), np.asarray(values, float)[order]
        points, residuals = _scaled(x, x), y - y.mean()
        likely = likeliest(points, residuals, np.ones(len(x)))
        amplitude, noise = max(likely.amplitude, _LEAST_SD), max(likely.noise, _LEAST_SD / 2)
        likely = Likely(likely.loss, likely.stretch, amplitude, noise, likely.weights)
        covered = amplitude**2 * kernel(points, points, likely.stretch)
        factor = lower(covered + noise**2 * np.eye(len(x)))
        weights = cho_solve((factor, True), residuals)
        grid = np.linspace(x[0], x[-1], _GRID)
        raw = cls(x, y, likely, factor, weights, grid, grid)
        monotone = np.clip(isotonic(raw._raw_mean(grid)), y.min(), y.max())
        return cls(x, y, likely, factor, weights, grid, monotone)

    def mean(self, ratio: float) -> float:
        """The posterior mean, monotone in the ratio; beyond the points as at the last of them."""
        return float(np.interp(np.log(ratio), self._grid, self._monotone))

    def sd(self, ratio: float) -> float:
        """The posterior standard deviation."""
        at = _scaled(self.x, np.array([np.log(ratio)]))
        amplitude, stretch = self._likely.amplitude, self._likely.stretch
        across = amplitude**2 * kernel(at, _scaled(self.x, self.x), stretch)[0]
        own = amplitude**2 * float(kernel(at, at, stretch)[0, 0])
        known = float(across @ cho_solve((self._factor, True), across))
        return float(np.sqrt(max(own - known, 0.0)))

    def covers(self, ratio: float) -> bool:
        """Whether a ratio lies among the points."""
        return bool(self.x[0] <= np.log(ratio) <= self.x[-1])

    def _raw_mean(self, x: Floats) -> Floats:
        amplitude, stretch = self._likely.amplitude, self._likely.stretch
        across = amplitude**2 * kernel(_scaled(self.x, x), _scaled(self.x, self.x), stretch)
        mean: Floats = self.y.mean() + across @ self._weights
        return mean


def isotonic(values: Floats) -> Floats:
    """The nearest ascending values, by squares: the largest over starts of the least mean on."""
    n = len(values)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    starts, ends = np.arange(n)[:, None], np.arange(n)[None]
    means = (sums[1:][None] - sums[:-1][:, None]) / np.maximum(ends - starts + 1, 1)
    means[ends < starts] = np.inf
    least = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
    least[ends < starts] = -np.inf
    ascending: Floats = least.max(axis=0)
    return ascending


def _scaled(seen: Floats, x: Floats) -> Floats:
    """[n, 1] in standard deviations of what was seen, as the kernel's stretches expect."""
    scaled: Floats = (x - seen.mean()) / max(float(seen.std()), 1e-9)
    return scaled[:, None]
