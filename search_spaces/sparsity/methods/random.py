"""Leaves entries by chance, before training: what every other method has to beat.

Hamed Farahani and others, "Random search as a baseline for sparse neural network architecture
search" (2024): a sparse network that was searched for is worth what it has more than one of the
same density that was not.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from search_spaces.sparsity.groups import Scores
from search_spaces.sparsity.network import Sparse
from search_spaces.sparsity.planning import Plan, Structure, leave_once

TRAINS_EDGES = False
STRUCTURES: tuple[Structure, ...] = ("units", "heads", "layers")
OPTIONS = ("structure", "scope")


def epochs(plan: Plan) -> int:
    """It is done before the first."""
    del plan
    return 0


def scores(network: Sparse, values: Mapping[str, Tensor]) -> Scores:
    """By torch's random numbers."""
    del network
    return {name: torch.rand(value.shape) for name, value in values.items()}


def change(network: Sparse, epoch: int) -> None:
    """Once."""
    leave_once(network, scores, epoch)
