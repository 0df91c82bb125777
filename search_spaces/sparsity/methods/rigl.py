"""Begins sparse at random, and exchanges small weights for those most asked for (RigL).

Every few epochs a share of each matrix, 0.3 cos falling to 0, is dropped by magnitude, and as many
grow where the gradient of the loss is largest. Matrices begin with Erdos-Renyi densities. Utku
Evci, Trevor Gale, Jacob Menick, Pablo Samuel Castro, Erich Elsen: Rigging the Lottery: Making All
Tickets Winners (2020).
"""

from search_spaces.sparsity.groups import erdos_renyi
from search_spaces.sparsity.network import Sparse
from search_spaces.sparsity.planning import Plan, Structure, cosine

TRAINS_EDGES = True
STRUCTURES: tuple[Structure, ...] = ()
OPTIONS = ("scope", "over_epochs", "every")
FRACTION = 0.3


def epochs(plan: Plan) -> int:
    """In which weights are exchanged."""
    return plan.over_epochs


def change(network: Sparse, epoch: int) -> None:
    """At constant density."""
    plan = network.plan
    if epoch == 1:
        for group in network.groups():
            sizes = [value.shape for value in group.values.values()]
            if group.scope == "layer" or len(sizes) == 1:
                group.keep_top(group.at_random(), group.density, scope="layer")
            else:
                counts = erdos_renyi(sizes, group.density)
                group.keep(group.at_random(), dict(zip(group.values, counts, strict=True)))
    elif (epoch - 1) % plan.every == 0 and epoch <= plan.over_epochs:
        slopes = network.gradients()
        for group in network.groups():
            group.regrow(cosine(FRACTION, epoch - 1, plan.over_epochs), slopes)
