"""Leaves what most paths go through, in a hundred steps before training, by no data (SynFlow).

    density after step k of 100 = density^(k / 100)

See `search_spaces.sparsity.scores`. Taking all at once empties layers; in steps the scores of a
layer rise as it empties.
"""

from collections.abc import Mapping

from torch import Tensor

from search_spaces.sparsity.groups import Scores
from search_spaces.sparsity.network import Sparse
from search_spaces.sparsity.planning import Plan, Structure
from search_spaces.sparsity.scores import synflow

TRAINS_EDGES = False
STRUCTURES: tuple[Structure, ...] = ("units", "heads", "layers")
OPTIONS = ("structure", "scope")
STEPS = 100


def epochs(plan: Plan) -> int:
    """It is done before the first."""
    del plan
    return 0


def scores(network: Sparse, values: Mapping[str, Tensor]) -> Scores:
    """Of what is left."""
    return synflow(network, values, network.inputs())


def change(network: Sparse, epoch: int) -> None:
    """Step by step."""
    if epoch != 1 or not network.values():
        return
    for step in range(1, STEPS + 1):
        found = scores(network, network.values())
        for group in network.groups():
            group.keep_top(found, group.density ** (step / STEPS), nested=True)
