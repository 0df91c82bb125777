"""Sparse networks of small spaces, and a loop that trains them as the evaluators do."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evaluators._recipe import Recipe, make_optimizer
from evaluators.datasets import Dataset
from nas.contracts import graphs
from search_spaces import Architecture, SearchSpace, gnn
from search_spaces.extensions import sparsity
from search_spaces.sparsity.network import Sparse

Point: TypeAlias = Literal["begun", "trained"]
DATASET = graphs.node_graph()
# Two layers of message passing and an output, with statistics to be rewound.
PLAIN: dict[str, Any] = {
    "depth": [2],
    "operators": ["gcn"],
    "width": [16],
    "activation": ["relu"],
    "normalization": ["batch"],
    "connectivity": ["plain"],
    "pre_layers": [0],
    "post_layers": [0],
    "output": ["gcn"],
}


def space(dataset: Dataset = DATASET, given: "dict[str, Any] | None" = None) -> SearchSpace:
    """Of one network, but for what is given."""
    return gnn.build(dataset.task, **{**PLAIN, **(given or {})})


def pruned(base: SearchSpace, dataset: Dataset = DATASET, **options: Any) -> SearchSpace:
    """A space extended by `sparsity`; each option is its only choice but for `edge_mode`."""
    lists = {n: o if n == "edge_mode" else [o] for n, o in options.items()}
    return base.extended(sparsity.build(base, dataset.task, **lists))


def first(space: SearchSpace, **choices: Any) -> Architecture:
    """The architecture of all first choices, but for these."""
    return space.fill(lambda decision: decision.choices[0], choices)


def network(
    given: "dict[str, Any] | None" = None,
    dataset: Dataset = DATASET,
    seed: int = 0,
    **options: Any,
) -> Sparse:
    """The network of all first choices, untrained."""
    made = pruned(space(dataset, given), dataset, **options)
    torch.manual_seed(seed)
    built = made.network(first(made), dataset.task)
    assert isinstance(built, Sparse)
    return built


def loss_of(network: nn.Module, dataset: Dataset = DATASET) -> Tensor:
    """Of the training units."""
    logits = network(dataset.x, dataset.edge_index)[dataset.train]
    return F.cross_entropy(logits, dataset.y[dataset.train])


def begin(network: Sparse, epoch: int, dataset: Dataset = DATASET) -> None:
    """An epoch, as the evaluators do, without an optimizer."""
    torch.manual_seed(1000 + epoch)
    network.train()
    network.begin_epoch(epoch, lambda: loss_of(network, dataset))


def training(
    network: Sparse,
    epochs: int,
    *,
    optimizer: Literal["adam", "adamw", "sgd"] = "adam",
    decay: float = 0.01,
    holds: bool = True,
    dataset: Dataset = DATASET,
    seen: Callable[[torch.optim.Optimizer], None] = lambda _: None,
) -> Iterator[tuple[Point, int]]:
    """Train, and stop where each epoch has begun, and where it has been trained.

    Args:
        holds: whether the network sets weights and moments right, as it should.
        seen: called with the optimizer after each epoch.
    """
    recipe = Recipe(0.02, decay, 0.0, optimizer, None, 128)
    steps = make_optimizer(network, recipe)
    for epoch in range(1, epochs + 1):
        begin(network, epoch, dataset)
        if holds:
            network.hold(steps)
        yield "begun", epoch
        steps.zero_grad()
        loss_of(network, dataset).backward()  # type: ignore[no-untyped-call]
        steps.step()
        if holds:
            network.hold(steps)
        seen(steps)
        yield "trained", epoch


def masks(network: Sparse) -> dict[str, Tensor]:
    """Which entries are left, of all that is pruned; copies."""
    return {name: m.clone() for group in network.groups() for name, m in group.masks.items()}


def left(network: Sparse) -> dict[str, int]:
    """How many entries that may be pruned are left, by name."""
    return {name: n for group in network.groups() for name, n in group.left().items()}
