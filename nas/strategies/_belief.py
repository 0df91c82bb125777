"""What loss is expected of an architecture: by what was learned beforehand, and by trials since.

A Gaussian process of the standardized losses of trials. Its mean rises with how much less probable
an architecture's choices are than the most probable ones, by a slope that trials may change. Its
kernel falls with the share of decisions that differ: choices that were learned one by one may do
badly together, and what is near a trial does about as well. Rasmussen and Williams, "Gaussian
processes for machine learning", 2006, section 2.7 has the slope with a prior of its own.
"""

import math
from collections.abc import Sequence

import numpy as np

from nas.strategies._learned import Distribution
from nas.strategies._process import Floats
from search_spaces import Architecture, SearchSpace

# Standard deviations of a loss that a nat of improbability is worth beforehand.
_SLOPE = 0.3
_MOST_LOST = 100.0
# Variances: of the mean of all, of what a seed makes of a loss.
_LEVEL, _NOISE = 4.0, 0.2
# The share of decisions that differ at which architectures are e times less alike.
_LENGTH = 0.25
# Trials that are compared with, the latest.
_MOST = 500


class Belief:
    """Of one distribution and the trials so far.

    Args:
        space: of the architectures.
        distribution: of its decisions.
        trials: architectures and their losses.
    """

    def __init__(
        self,
        space: SearchSpace,
        distribution: Distribution,
        trials: Sequence[tuple[Architecture, float]],
    ) -> None:
        self._space, self._distribution = space, distribution
        latest = trials[-_MOST:]
        self._tried = np.array([self._row(a) for a, _ in latest]).reshape(
            len(latest), len(space.decisions)
        )
        self._slopes = np.array([self._lost(a) for a, _ in latest])
        losses = np.array([loss for _, loss in latest])
        self._weights = np.zeros(0)
        if len(latest) > 1 and losses.std() > 0:
            pairs = zip(self._tried, self._slopes, strict=True)
            kernel = np.array([self._kernel(*pair) for pair in pairs])
            kernel[np.diag_indices(len(latest))] += _NOISE
            values = (losses - losses.mean()) / losses.std() - _SLOPE * self._slopes
            self._weights = np.linalg.solve(kernel, values)

    def loss(self, architecture: Architecture) -> float:
        """In standard deviations of the trials' losses; only differences mean something."""
        slope = self._lost(architecture)
        found = _SLOPE * slope
        if len(self._weights):
            found += float(self._kernel(self._row(architecture), slope) @ self._weights)
        return found

    def _lost(self, architecture: Architecture) -> float:
        # What is as good as impossible is finite.
        return min(lost(self._space, self._distribution, architecture), _MOST_LOST)

    def _kernel(self, row: Floats, slope: float) -> Floats:
        # What neither has does not count.
        either = (row >= 0) | (self._tried >= 0)
        apart = ((row != self._tried) & either).sum(1) / either.sum(1)
        alike: Floats = np.exp(-apart / _LENGTH)
        return alike + _LEVEL + _SLOPE**2 * slope * self._slopes

    def _row(self, architecture: Architecture) -> Floats:
        """The place of each choice, -1 where there is none."""
        choices = architecture.choices
        return np.array(
            [
                d.choices.index(choices[d.name]) if d.name in choices else -1
                for d in self._space.decisions
            ],
            dtype=float,
        )


def lost(space: SearchSpace, distribution: Distribution, architecture: Architecture) -> float:
    """How much less probable choices are than the most probable ones, in logarithms, summed.

    Unlike the probability it does not count how many decisions there are.
    """
    total = 0.0
    for name, choice in architecture.choices.items():
        row = distribution.get(name)
        if row is not None:
            p = row[space.by_name[name].choices.index(choice)]
            total += math.log(max(row) / p) if p else math.inf
    return total
