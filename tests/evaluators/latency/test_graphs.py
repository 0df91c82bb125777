"""Graphs that are made up to time networks on."""

import pytest
import torch

from evaluators.latency.graphs import inputs
from evaluators.latency.values import LatencyError, Workload, gini
from search_spaces import Task
from search_spaces.task import TaskKind


def task(kind: TaskKind = "node_classification") -> Task:
    return Task(kind, 5, 3, 100, 400, 1, 1, 1, 1, "accuracy", "0" * 32)


@pytest.mark.parametrize(
    ("nodes", "edges", "skew"),
    [
        (2708, 10556, 0.41),
        (2708, 10556, 0.05),
        (2708, 10556, 0.95),
        (50, 200, 0.3),
        (300, 300, 0.5),
        (100, 30, 0.8),
        (5000, 60000, 0.0),
    ],
)
def test_the_graph_has_the_size_and_skew_that_are_asked_for(
    nodes: int, edges: int, skew: float
) -> None:
    """Exactly so many nodes and edges, and no self-loops."""
    x, edge_index = inputs(task(), Workload(nodes, edges, skew))
    assert x.shape == (nodes, 5)
    assert edge_index.shape == (2, edges)
    assert 0 <= int(edge_index.min()) <= int(edge_index.max()) < nodes
    assert not bool((edge_index[0] == edge_index[1]).any())
    assert gini(edge_index, nodes) == pytest.approx(skew, abs=0.05)
    assert 0 <= float(x.min()) <= float(x.max()) < 1


def test_a_skew_that_cannot_be_had_is_met_as_nearly_as_it_can() -> None:
    """With fewer edges than nodes some nodes have none: 30 of 100 leave 0.7 at least."""
    _, edge_index = inputs(task(), Workload(100, 30, 0.2))
    assert gini(edge_index, 100) == pytest.approx(0.7)


@pytest.mark.parametrize(("nodes", "edges"), [(1, 0), (1, 3), (2, 1), (7, 0)])
def test_the_smallest_graphs(nodes: int, edges: int) -> None:
    """Sizes at which a formula divides by 0."""
    x, edge_index = inputs(task(), Workload(nodes, edges, 0.5))
    assert (len(x), edge_index.size(1)) == (nodes, edges)


def test_the_same_seed_makes_the_same_graph() -> None:
    """And another one another, of the same size; the global generator is left alone."""
    workload = Workload(200, 900, 0.3)
    before = torch.get_rng_state()
    first, again, other = (inputs(task(), workload, seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[1], other[1])


def test_edges_stay_in_their_graph() -> None:
    """Of a graph task: ids ascend, none is left out, and the skew is that of all degrees."""
    workload = Workload(500, 3000, 0.35, graphs=40)
    _, edge_index, graph_ids, graphs = inputs(task("graph_classification"), workload)
    assert torch.equal(graph_ids[edge_index[0]], graph_ids[edge_index[1]])
    assert torch.equal(graph_ids, graph_ids.sort().values)
    assert torch.equal(graph_ids.unique(), torch.arange(40))
    assert graphs.shape == (40,)
    assert gini(edge_index, 500) == pytest.approx(0.35, abs=0.05)


@pytest.mark.parametrize(
    ("kind", "workload", "message"),
    [
        ("node_classification", Workload(10, 20, graphs=2), "graphs: expected 1, .* got 2"),
        ("graph_classification", Workload(3, 2, graphs=4), "expected at most 3, .* got 4"),
        ("node_classification", Workload(10**12, 20), "GiB are free; give a smaller one"),
    ],
)
def test_graphs_that_cannot_be_made(kind: TaskKind, workload: Workload, message: str) -> None:
    """Each is an error that says what was expected."""
    with pytest.raises(LatencyError, match=message):
        inputs(task(kind), workload)
