"""Prunes gradually as it trains, and regrows some of what went: one run, no cost (GraNet).

    density at t of T = d + (1 - d)(1 - t / T)^3

Every few epochs weights of least magnitude go until that density is reached, over all matrices;
then of each matrix a share, 0.5 cos falling to 0, is dropped by magnitude and regrown where the
gradient of the loss is largest. Shiwei Liu and others: Sparse Training via Boosting Pruning
Plasticity with Neuroregeneration (2021). Edges alike, by the weights of their messages, among those
that the graph has.
"""

from search_spaces.sparsity.network import Plan, Sparse, Structure, cosine

TRAINS = True
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
    """Every few epochs, and at the last one."""
    plan, done = network.plan, epoch - 1
    if done == 0 or not (done % plan.every == 0 or done == plan.over_epochs):
        return
    for group in network.groups():
        group.keep_top(group.magnitudes(), density(group.density, done, plan), nested=True)
    fraction = cosine(FRACTION, done, plan.over_epochs)
    if fraction:
        slopes = network.gradients()
        for group in network.groups():
            group.regrow(fraction, slopes)
