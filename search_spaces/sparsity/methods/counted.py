"""Leaves, by chance and before training, as many entries of each tensor as it is told.

What a sparse network is held against (`search_spaces.sparsity.counted`). As `random`, which draws
its counts with its entries; here they are those of another network. No study can choose it.
"""

from search_spaces.sparsity.counted import CountedPlan
from search_spaces.sparsity.methods.random import epochs, scores
from search_spaces.sparsity.network import Sparse, Structure

__all__ = ["STRUCTURES", "TRAINS", "change", "epochs", "scores"]

TRAINS = False
STRUCTURES: tuple[Structure, ...] = ("units", "heads", "layers")


def change(network: Sparse, epoch: int) -> None:
    """Once, before the first epoch.

    Raises:
        TypeError: the network was not made by `search_spaces.sparsity.counted`.
    """
    plan = network.plan
    if not isinstance(plan, CountedPlan):
        raise TypeError(f"expected a plan with counts, got {type(plan).__name__}")
    if epoch == 1:
        for group in network.groups():
            group.keep(group.at_random(), plan.counts)
