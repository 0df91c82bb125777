"""Made-up graphs of a given size and skew, to time networks on."""

import torch
from torch import Tensor

from evaluators._memory import available_bytes
from evaluators.latency.values import LatencyError, Workload
from search_spaces import Task

# Of the exponent of the weights `rank ** -exponent`: with the largest, one node has all edges.
_LEAST_EXPONENT, _MOST_EXPONENT = 0.0, 64.0
_HALVINGS = 20


def inputs(task: Task, workload: Workload, seed: int = 0) -> tuple[Tensor, ...]:
    """What a network of the task takes: a random graph of the workload's size and skew.

    Features are uniform in [0, 1). In-degrees fall like a power of their rank, the more steeply the
    larger the skew, as in most graphs that people have; whole numbers allow no skew below that of
    degrees as equal as can be. Sources are random, in the same graph; edges are sorted by source,
    as in most datasets. No edge is a self-loop, unless its graph has one node.

    Returns:
        x [N, F], edge_index [2, E], and for a graph task graph_ids [N], ascending, and graphs [B].

    Raises:
        LatencyError: a node task with several graphs, more graphs than nodes, or a graph that does
            not fit into memory.
    """
    nodes, edges, graphs = workload.nodes, workload.edges, workload.graphs
    if graphs > 1 and not task.is_graph_task:
        raise LatencyError(f"workload: graphs: expected 1, as nodes are classified, got {graphs}")
    if graphs > nodes:
        raise LatencyError(
            f"workload: graphs: expected at most {nodes}, one node each, got {graphs}"
        )
    _refuse_too_large(workload, task.n_features)
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(nodes, task.n_features, generator=generator)
    degrees = _in_degrees(workload)[torch.randperm(nodes, generator=generator)]
    target = torch.arange(nodes).repeat_interleave(degrees)
    graph_ids = torch.arange(nodes) * graphs // nodes
    sizes = graph_ids.bincount(minlength=graphs)
    first, size = (sizes.cumsum(0) - sizes)[graph_ids[target]], sizes[graph_ids[target]]
    # Any other node of the target's graph: so many steps on from it, around.
    steps = 1 + (torch.rand(edges, generator=generator) * (size - 1)).long()
    source = first + (target - first + steps) % size
    edge_index = torch.stack([source, target])[:, source.argsort(stable=True)]
    if not task.is_graph_task:
        return x, edge_index
    return x, edge_index, graph_ids, torch.zeros(graphs, dtype=torch.int64)


def _in_degrees(workload: Workload) -> Tensor:
    """[N] with the sum E, descending, and a Gini coefficient as near as the family comes."""
    low, high = _LEAST_EXPONENT, _MOST_EXPONENT
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _skew(_power_degrees(workload, middle)) < workload.skew:
            low = middle
        else:
            high = middle
    ends = [_power_degrees(workload, exponent) for exponent in (low, high)]
    return min(ends, key=lambda degrees: abs(_skew(degrees) - workload.skew))


def _power_degrees(workload: Workload, exponent: float) -> Tensor:
    ranks = torch.arange(1, workload.nodes + 1, dtype=torch.float64)
    share = (ranks**-exponent).cumsum(0)
    # What is rounded is the sum up to each node: fractions of an edge are not lost.
    total = (workload.edges * share / share[-1]).round().long()
    return total.diff(prepend=total.new_zeros(1))


def _skew(degrees: Tensor) -> float:
    """Gini coefficient of degrees [N]."""
    total = float(degrees.sum())
    if not total:
        return 0.0
    nodes = len(degrees)
    ranks = 2 * torch.arange(1, nodes + 1, dtype=torch.float64) - nodes - 1
    return float((ranks * degrees.sort().values).sum()) / (nodes * total)


def _refuse_too_large(workload: Workload, n_features: int) -> None:
    # Twice the features, which a network needs at least, and the edges while they are made.
    needed = 8 * workload.nodes * n_features + 64 * workload.edges
    free = available_bytes()
    if needed > free:
        raise LatencyError(
            f"workload: a graph of {workload.nodes:,} nodes with {n_features:,} features and "
            f"{workload.edges:,} edges takes {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are "
            "free; give a smaller one"
        )
