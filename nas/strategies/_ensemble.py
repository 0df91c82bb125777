"""Gaussian processes whose weights were learned from different parts of the measurements.

One set of weights learned from few measurements is surer of itself than it should be. Members that
disagree make predictions uncertain and batches diverse, and their mean is better than each.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from nas.strategies._process import Floats, Ints, Process, Sample, learn_weights
from search_spaces.features import Counts

MEMBERS = 3


class Ensemble:
    """Processes given all of a sample's measurements, each with weights of its own."""

    def __init__(self, sample: Sample, values: Floats, subset: Ints) -> None:
        """Learn each member's weights from the subset without each `MEMBERS`-th measurement.

        Args:
            sample: of all measurements that predict.
            values: [n] with mean 0 and variance about 1.
            subset: indices of those that weights may be learned from.
        """
        self.values = values
        turns = np.arange(len(subset)) % MEMBERS
        self.members = [
            Process(sample, values, learn_weights(sample, values, subset[turns != turn]))
            for turn in range(MEMBERS)
        ]

    @cached_property
    def left_out(self) -> Floats:
        """[n] what would be predicted of each measured one from all others."""
        return np.asarray(np.mean([member.left_out for member in self.members], axis=0))

    def predict(self, counts: Sequence[Counts]) -> tuple[Floats, Floats]:
        """([m] means, [m] standard deviations without the noise)."""
        predicted = [member.predict(counts) for member in self.members]
        means = np.array([mean for mean, _ in predicted])
        variances = np.array([spread for _, spread in predicted]) ** 2
        return means.mean(axis=0), np.sqrt(variances.mean(axis=0) + means.var(axis=0))

    def draw(self, counts: Sequence[Counts], count: int, rng: np.random.Generator) -> Floats:
        """[count, m] functions, drawn from the members by turns."""
        each = -(-count // len(self.members))
        others = Sample(counts, len(self.members[0].weights.groups))
        draws = np.stack([m.draw(counts, others, each, rng) for m in self.members], axis=1)
        return draws.reshape(-1, len(counts))[:count]
