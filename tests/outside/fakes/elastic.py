"""Elastic spaces over small planted graphs, and supernets of them with weights in float64."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evaluators import Batches
from evaluators.datasets import Dataset
from nas.contracts.graphs import graph_set, node_graph
from search_spaces import Architecture, SearchSpace, Task, gnn
from search_spaces.supernet import Supernet

NODES, GRAPHS = node_graph().task, graph_set().task
# Operators that map by one matrix what neighbors send, and others; two with heads.
_FEW = ("gcn", "gat", "gin", "transformer", "sage")
_EVERY = (
    *("gcn", "gat", "gatv2", "sage", "graph", "gin", "tag", "transformer", "linear"),
    *("appnp", "arma", "cheb", "sg"),
)
_WIDE: dict[str, Any] = {"width": [8, 16, 32], "heads": [1, 2, 4]}
SPACES: dict[str, Callable[[Task], SearchSpace]] = {
    "default": lambda task: gnn.build(task, hops=[2, 4]),
    "every": lambda task: gnn.build(
        task,
        operators=_EVERY,
        hops=[2, 4],
        pre_layers=[0, 1, 2],
        post_layers=[0, 1, 2],
        **({} if task.is_graph_task else {"output": ["linear", "gcn", "gat", "sage"]}),
        **_WIDE,
    ),
    # As wide as its features: what is added to a layer may be they themselves.
    "narrow": lambda task: gnn.build(
        task,
        operators=("gcn", "gin", "linear"),
        width=[2, task.n_features],
        pre_layers=[0],
        connectivity=["residual", "jk"],
    ),
    "outside": lambda task: gnn.build(task, operators=("gat", "fakes.signed"), **_WIDE),
    # No outputs of layers are added or compared.
    "unaligned": lambda task: gnn.build(
        task, operators=("gcn", "gat", "sage"), connectivity=["plain", "dense"], **_WIDE
    ),
    "few": lambda task: gnn.build(task, operators=_FEW, **_WIDE),
}


@cache
def space(name: str, *, graphs: bool = False) -> SearchSpace:
    return SPACES[name](GRAPHS if graphs else NODES)


@cache
def dataset(*, graphs: bool = False) -> Dataset:
    made = graph_set() if graphs else node_graph()
    return replace(made, x=made.x.double())


@cache
def batches(*, graphs: bool = False) -> Batches:
    return Batches(dataset(graphs=graphs))


@cache
def supernet(name: str, *, graphs: bool = False, share: bool = False) -> Supernet:
    task = GRAPHS if graphs else NODES
    return Supernet(space(name, graphs=graphs), task, share_transforms=share)


@cache
def weights(net: Supernet, seed: int = 0) -> dict[str, Tensor]:
    """Biases and the like are not 0, as they begin: a slice of the wrong ones would not show."""
    torch.manual_seed(seed)
    return {n: w.double() + 0.1 * torch.randn_like(w.double()) for n, w in net.initial().items()}


def sampled(net: Supernet, count: int, seed: int = 0, **given: Any) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return [net.space.sample(rng, given) for _ in range(count)]


def widest(net: Supernet, count: int, seed: int = 0, **given: Any) -> list[Architecture]:
    """All widths are full; the rest is sampled."""
    full = {d.name: max(d.choices) for d in net.space.decisions if d.name.endswith("width")}
    return sampled(net, count, seed, **full, **given)
