"""Graphs that are made up: what a program is traced with, and compared on."""

import torch
from torch import Tensor

from nas.export._base import Contract

# (nodes, edges, graphs) on which every exported program is compared with its network.
SIZES = ((1, 0, 1), (2, 1, 1), (5, 0, 2), (7, 3, 3), (50, 200, 4), (300, 1500, 40))
# What a program is traced with; sizes that occur nowhere else in a network.
TRACED = (13, 29, 3)
_MOST_FEATURE_VALUES = 2**25  # 128 MiB of float32


def made_up(
    contract: Contract, size: tuple[int, int, int], like: Tensor | None = None
) -> tuple[Tensor, ...]:
    """The inputs of a random graph: the same for the same contract, size and features.

    Features are uniform in [0, 1), so that their rows can be divided by their sums. Edges stay
    within their graph; self-loops and repeated edges occur.

    Args:
        contract: says which inputs there are.
        size: nodes (at least one for each graph), edges, graphs (ignored for a node task).
        like: [any, F], whose rows are taken for features, where given.
    """
    nodes, edges, graphs = size
    generator = torch.Generator().manual_seed(0)
    if like is None:
        x = torch.rand(nodes, contract.n_features, generator=generator)
    else:
        x = like[torch.randint(like.size(0), (nodes,), generator=generator)]
    if not contract.is_graph_task:
        return x, torch.randint(nodes, (2, edges), generator=generator)
    extra = torch.randint(graphs, (nodes - graphs,), generator=generator)
    graph_ids = torch.cat([torch.arange(graphs), extra]).sort().values
    source = torch.randint(nodes, (edges,), generator=generator)
    counts = graph_ids.bincount(minlength=graphs)
    first = counts.cumsum(0) - counts
    home = graph_ids[source]
    share = torch.rand(edges, generator=generator)
    target = first[home] + (share * counts[home]).long()
    return x, torch.stack([source, target]), graph_ids, torch.zeros(graphs, dtype=torch.int64)


def like_task(n_features: int, n_nodes: int, n_edges: int, n_graphs: int) -> tuple[int, int, int]:
    """The size of a task's graph, scaled down where its features would not fit in 128 MiB."""
    nodes = max(1, min(n_nodes, _MOST_FEATURE_VALUES // n_features))
    edges = n_edges * nodes // max(n_nodes, 1)
    return nodes, edges, max(1, min(n_graphs * nodes // max(n_nodes, 1), nodes))
