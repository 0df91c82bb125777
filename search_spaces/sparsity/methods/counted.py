"""Leaves, by chance and before training, as many entries of each tensor as it is told.

What a sparse network is held against (`search_spaces.sparsity.counted`). As `random`, but counts
are those of another network, and so drawn that it is no network that `random`, or what begins at
random, would have with the same seed. No study can choose it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from search_spaces.sparsity.counted import CountedPlan
from search_spaces.sparsity.groups import Scores
from search_spaces.sparsity.methods.random import epochs
from search_spaces.sparsity.network import Sparse
from search_spaces.sparsity.planning import Structure

__all__ = ["OPTIONS", "STRUCTURES", "TRAINS_EDGES", "change", "epochs", "scores"]

TRAINS_EDGES = False
STRUCTURES: tuple[Structure, ...] = ("units", "heads", "layers")
OPTIONS = ("structure",)


def scores(network: Sparse, values: Mapping[str, Tensor]) -> Scores:
    """By torch's random numbers, others than the next ones.

    Those are what other methods draw from in the same epoch: the choice would be the same, or half
    the same.
    """
    del network
    for value in values.values():
        torch.rand(value.shape)
    return {name: torch.rand(value.shape) for name, value in values.items()}


def change(network: Sparse, epoch: int) -> None:
    """Once, before the first epoch.

    Raises:
        TypeError: the network was not made by `search_spaces.sparsity.counted`.
    """
    plan = network.plan
    if not isinstance(plan, CountedPlan):
        raise TypeError(f"expected a plan with counts, got {type(plan).__name__}")
    if epoch == 1:
        drawn = scores(network, network.values())
        for group in network.groups():
            group.keep(drawn, plan.counts)
