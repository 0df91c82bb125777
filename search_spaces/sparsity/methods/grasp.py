"""Leaves what the flow of gradients needs, before training: GraSP.

See `search_spaces.sparsity.scores`.
"""

from collections.abc import Mapping

from torch import Tensor

from search_spaces.sparsity.groups import Scores
from search_spaces.sparsity.network import Sparse
from search_spaces.sparsity.planning import Plan, Structure, leave_once
from search_spaces.sparsity.scores import grasp

TRAINS_EDGES = False
STRUCTURES: tuple[Structure, ...] = ("units", "heads", "layers")
OPTIONS = ("structure", "scope")


def epochs(plan: Plan) -> int:
    """It is done before the first."""
    del plan
    return 0


def scores(network: Sparse, values: Mapping[str, Tensor]) -> Scores:
    """By theta H g."""
    return grasp(values, network.loss)


def change(network: Sparse, epoch: int) -> None:
    """Once."""
    leave_once(network, scores, epoch)
