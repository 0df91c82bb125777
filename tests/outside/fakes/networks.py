"""The space `gnn`, small, with the decisions that the other fakes look at besides."""

from collections.abc import Sequence

from torch import nn

from search_spaces import Architecture, Decision, SearchSpace, Task, gnn
from search_spaces.elastic import places
from search_spaces.networks import build_network


def network(architecture: Architecture, task: Task) -> nn.Module:
    if architecture.choices["kind"] == "broken":
        raise RuntimeError("a broken kind of layer")
    return build_network(architecture, task)


def build(task: Task, *, kinds: Sequence[str] = ("plain", "wide"), levels: int = 8) -> SearchSpace:
    """Networks that can grow; `kind`, `a` and `b` change none of them."""
    plain = gnn.build(
        task,
        depth=(1, 2),
        operators=("sage", "linear"),
        width=(2, 4, 8),
        aggregation=("mean",),
        activation=("relu",),
        normalization=("none",),
        pre_layers=(0,),
        post_layers=(0,),
        output=("linear",),
    )
    values = tuple(range(levels))
    decisions = (
        *plain.decisions,
        Decision("kind", tuple(kinds)),
        Decision("a", values, ordered=True),
        Decision("b", values, ordered=True),
        Decision("train.lr", (0.1, 0.01), role="recipe"),
    )
    return SearchSpace("networks", 1, decisions, network, elastic=places)
