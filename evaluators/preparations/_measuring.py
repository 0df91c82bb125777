"""What slices of a supernet are measured by, on the validation units."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from evaluators import metrics
from evaluators.preparations._sampling import largest_architecture, smallest_architecture
from evaluators.reading_out import ReadOut
from evaluators.slicing import Subnets
from search_spaces import Architecture
from search_spaces.slices import Weights


class Measuring:
    """By the metric of the dataset.

    Attributes:
        metric: its name.
    """

    def __init__(self, subnets: Subnets) -> None:
        self._subnets, self._outputs = subnets, ReadOut(subnets)
        dataset = subnets.batches.dataset
        self.metric = dataset.metric
        self._units = (dataset.val & (dataset.y >= 0)).nonzero()[:, 0]
        self._y = dataset.y[self._units]

    def ends(self, weights: Weights) -> dict[str, float]:
        """Of the largest and of the smallest architecture."""
        space = self._subnets.supernet.space
        return {
            f"val_{self.metric}_largest": self.of_slice(weights, largest_architecture(space)),
            f"val_{self.metric}_smallest": self.of_slice(weights, smallest_architecture(space)),
        }

    def of_slice(self, weights: Weights, architecture: Architecture) -> float:
        """Of a slice as it is."""
        logits = self._subnets.evaluated(weights, architecture, self._units)
        return metrics.selecting(self.metric, logits, self._y)

    def of_read_out(self, weights: Weights, architecture: Architecture) -> float:
        """Of a slice with its output fitted anew."""
        logits = self._outputs.logits(weights, architecture, self._units)
        return metrics.selecting(self.metric, logits, self._y)

    def samples(
        self, weights: Weights, count: int, rng: np.random.Generator
    ) -> Mapping[str, Tensor]:
        """Read-outs of so many architectures: [n, decisions] the architectures, [n] the values."""
        space = self._subnets.supernet.space
        drawn = [space.sample(rng) for _ in range(count)]
        if not drawn:
            return {}
        values = [self.of_read_out(weights, architecture) for architecture in drawn]
        return {
            "architectures": torch.tensor([space.encode(architecture) for architecture in drawn]),
            "values": torch.tensor(values, dtype=torch.float64),
        }
