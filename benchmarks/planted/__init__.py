"""Graphs whose labels one operator explains, and operators, each of which is one of them.

A random graph with Gaussian features. One of `OPERATORS` makes features of it, each is brought to
mean 0 and deviation 1, and a random linear map of them tells the class, the largest of its outputs.
A network of another operator can learn the labels only as far as its features go along with these.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from evaluators.datasets import Dataset
from planted import max as largest
from planted import mean, own, two_hops
from search_spaces import SearchSpace, Task, gnn

# {name: what it makes of features [N, F] and edges [2, E]}, in the order of the space's choices.
OPERATORS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "own": own.features,
    "mean": mean.features,
    "max": largest.features,
    "two_hops": two_hops.features,
}
NODES, FEATURES, CLASSES, NEIGHBORS = 600, 8, 4, 3
# Of its channels PC-DARTS has a quarter go through the operators, after a linear map: all features
# fit, so that what the largest of neighbors are can still be told.
WIDTH = 4 * FEATURES
# The decision that the search is judged by.
PLANTED = "layer0.operator"


def space(task: Task) -> SearchSpace:
    """One layer without activation, whose operator is all that is to be decided."""
    return gnn.build(
        task,
        depth=(1,),
        operators=[choice(name) for name in OPERATORS],
        width=(WIDTH,),
        activation=("none",),
        normalization=("none",),
        pre_layers=(0,),
        post_layers=(0,),
        output=("linear",),
    )


def choice(operator: str) -> str:
    """The operator as the space has it."""
    return f"planted.{operator}"


def graph(operator: str, seed: int, *, shuffled: bool = False) -> Dataset:
    """The graph of a seed, with labels of an operator; two fifths are train, two validation.

    Args:
        operator: a key of `OPERATORS`.
        shuffled: whether the same labels stand at other nodes: nothing explains them (control).
    """
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(NODES, FEATURES, generator=rng)
    # Each node has some neighbors, none is its own.
    source = torch.arange(NODES).repeat_interleave(NEIGHBORS)
    step = torch.randint(1, NODES, (NODES * NEIGHBORS,), generator=rng)
    edges = torch.stack([source, (source + step) % NODES])
    edge_index = torch.unique(torch.cat([edges, edges.flip(0)], 1), dim=1)
    explaining = OPERATORS[operator](x, edge_index)
    explaining = (explaining - explaining.mean(0)) / explaining.std(0)
    y = (explaining @ torch.randn(FEATURES, CLASSES, generator=rng)).argmax(1)
    if shuffled:
        y = y[torch.randperm(NODES, generator=rng)]
    part = torch.randperm(NODES, generator=rng) * 5 // NODES
    name = f"planted {operator}, seed {seed}{', shuffled' if shuffled else ''}"
    return Dataset(
        name=name,
        kind="node_classification",
        x=x,
        edge_index=edge_index,
        y=y,
        train=part < 2,
        val=(part == 2) | (part == 3),
        test=part == 4,
        n_classes=CLASSES,
        fingerprint=f"{name}, {NODES} nodes",
    )
