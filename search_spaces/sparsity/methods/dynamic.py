"""As many weights from the first step to the last, embeddings included, exchanged on the way (DSL).

As `rigl`, but every matrix begins with, and keeps, the same density, and half of it is exchanged at
first. Shuyao Wang, Yongduo Sui, Jiancan Wu, Zhi Zheng, Hui Xiong: Dynamic Sparse Learning: A Novel
Paradigm for Efficient Recommendation (2024).
"""

from search_spaces.sparsity.network import Sparse
from search_spaces.sparsity.planning import Plan, Structure, cosine

TRAINS_EDGES = True
STRUCTURES: tuple[Structure, ...] = ()
OPTIONS = ("over_epochs", "every")
FRACTION = 0.5


def epochs(plan: Plan) -> int:
    """In which weights are exchanged."""
    return plan.over_epochs


def change(network: Sparse, epoch: int) -> None:
    """At constant density of each matrix."""
    plan = network.plan
    if epoch == 1:
        for group in network.groups():
            group.keep_top(group.at_random(), group.density, scope="layer")
    elif (epoch - 1) % plan.every == 0 and epoch <= plan.over_epochs:
        slopes = network.gradients()
        for group in network.groups():
            group.regrow(cosine(FRACTION, epoch - 1, plan.over_epochs), slopes)
