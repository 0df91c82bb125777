"""Trains all weights first, then leaves the largest, once, and trains these on.

Song Han, Jeff Pool, John Tran, William Dally: Learning both Weights and Connections for Efficient
Neural Networks (2015). Edges by the weight that training gives their messages.
"""

from collections.abc import Mapping

from torch import Tensor

from search_spaces.sparsity.groups import Scores
from search_spaces.sparsity.network import Sparse
from search_spaces.sparsity.planning import Plan, Structure, leave_once

TRAINS_EDGES = True
STRUCTURES: tuple[Structure, ...] = ("units", "heads", "layers")
OPTIONS = ("structure", "scope", "over_epochs")


def epochs(plan: Plan) -> int:
    """Of training all."""
    return plan.over_epochs


def scores(network: Sparse, values: Mapping[str, Tensor]) -> Scores:
    """By magnitude."""
    del network
    return {name: value.detach().abs() for name, value in values.items()}


def change(network: Sparse, epoch: int) -> None:
    """Once."""
    leave_once(network, scores, epoch)
