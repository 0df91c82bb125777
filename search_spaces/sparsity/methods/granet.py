"""Prunes gradually as it trains, and regrows some of what went: one run, no cost (GraNet).

    density at t of T = d + (1 - d)(1 - t / T)^3

Every few epochs weights of least magnitude go until that density is reached, over all matrices;
then of each matrix a share, 0.5 cos falling to 0, is dropped by magnitude and regrown where the
gradient of the loss is largest. Shiwei Liu and others: Sparse Training via Boosting Pruning
Plasticity with Neuroregeneration (2021).

Edges go before the first epoch, by chance, and those of nodes with few neighbors are spared: see
`Ticket.spared`. Of what was tried on validation - weights of messages that are trained, gradients
by the edges, agreement of predictions, similarity of features, degrees - nothing else left as much
accuracy: what is lost is lost where a node has no neighbor any more.
"""

from search_spaces.sparsity.network import Sparse
from search_spaces.sparsity.planning import Plan, Structure, cosine

TRAINS_EDGES = False
STRUCTURES: tuple[Structure, ...] = ()
OPTIONS = ("scope", "over_epochs", "every")
FRACTION = 0.5


def epochs(plan: Plan) -> int:
    """Until the density is reached."""
    return plan.over_epochs


def density(final: float, epoch: int, plan: Plan) -> float:
    """That is left after so many epochs."""
    return final + (1 - final) * (1 - min(1.0, epoch / plan.over_epochs)) ** 3


def change(network: Sparse, epoch: int) -> None:
    """Edges at first; weights every few epochs, and at the last one."""
    plan, done = network.plan, epoch - 1
    if done == 0:
        network.spare_edges()
    elif done % plan.every == 0 or done == plan.over_epochs:
        for group in network.weight_groups():
            group.keep_top(group.magnitudes(), density(group.density, done, plan), nested=True)
            fraction = cosine(FRACTION, done, plan.over_epochs)
            if fraction:
                group.regrow(fraction, network.gradients(group.values))
