"""What slices of a supernet are measured by, on the validation units."""

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

    def drawn(self, count: int, rng: np.random.Generator) -> Tensor:
        """[n, decisions] as many architectures, encoded."""
        space = self._subnets.supernet.space
        vectors = [space.encode(space.sample(rng)) for _ in range(count)]
        return torch.tensor(vectors, dtype=torch.int64).view(count, len(space.decisions))

    def of_read_outs(self, weights: Weights, vectors: Tensor) -> Tensor:
        """[n] of the read-outs of architectures that are encoded [n, decisions]."""
        space = self._subnets.supernet.space
        values = [self.of_read_out(weights, space.decode(row)) for row in vectors.tolist()]
        return torch.tensor(values, dtype=torch.float64)
