"""Trains, leaves the largest weights, sets them back to where they began, and again: tickets.

    density after round r of R = density^(r / R)

Jonathan Frankle, Michael Carbin: The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural
Networks (2019). With edges it is UGS: Tianlong Chen, Yongduo Sui, Xuxi Chen, Aston Zhang, Zhangyang
Wang: A Unified Lottery Ticket Hypothesis for Graph Neural Networks (2021); there both are pruned by
trained masks that pay for their size, here weights by their magnitude and edges by the weights of
their messages, which pay by weight decay.

Limits: 1 + rounds trainings, so the most expensive of all.
"""

from search_spaces.sparsity.network import Sparse
from search_spaces.sparsity.planning import Plan, Structure

TRAINS_EDGES = True
STRUCTURES: tuple[Structure, ...] = ()
OPTIONS = ("scope", "over_epochs", "rounds")


def epochs(plan: Plan) -> int:
    """Of all rounds; what is left trains after them."""
    return plan.rounds * plan.over_epochs


def change(network: Sparse, epoch: int) -> None:
    """After each round: fewer, of those that are left, as they began."""
    done, within = divmod(epoch - 1, network.plan.over_epochs)
    if epoch == 1:
        network.remember()
    elif within == 0:
        for group in network.groups():
            density = group.density ** (done / network.plan.rounds)
            group.keep_top(group.magnitudes(), density, nested=True)
        network.rewind()
