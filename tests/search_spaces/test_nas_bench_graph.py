"""NAS-Bench-Graph's space: its 26,206 cells, their graphs and their networks."""

import numpy as np
import pytest
import torch
from torch.export import Dim, export

from search_spaces import SearchSpace, SpaceError, Task, nas_bench_graph
from search_spaces.nas_bench_graph import NODES, OPERATORS, cell, graph

TASK = Task("node_classification", 6, 3, 30, 90, 1, 10, 10, 10, "accuracy", "nodes")
GRAPHS = Task("graph_classification", 6, 2, 30, 90, 3, 1, 1, 1, "accuracy", "graphs")


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return nas_bench_graph.build(TASK)


def of(links: str, *operators: str) -> dict[str, str]:
    return {"links": links, **dict(zip(NODES, operators, strict=True))}


def test_the_space_has_as_many_architectures_as_the_paper(space: SearchSpace) -> None:
    """26,206, no two with one key; 2,021 with the operators of `proteins`."""
    assert space.size() == 26_206
    assert len({a.key for a in space}) == 26_206
    few = ("gcn", "sage", "arma", "linear", "skip")
    assert nas_bench_graph.build(TASK, operators=few).size() == 2_021


@pytest.mark.parametrize(
    ("same", "one", "other"),
    [
        (True, of("0000", "gcn", "gat", "gin", "skip"), of("0000", "skip", "gin", "gcn", "gat")),
        (True, of("0123", "gcn", "gat", "skip", "skip"), of("0012", "gcn", "skip", "gat", "skip")),
        (True, of("0012", "skip", "gcn", "gat", "skip"), of("0000", "gat", "gcn", "skip", "skip")),
        (False, of("0123", "gcn", "gat", "skip", "skip"), of("0123", "gat", "gcn", "skip", "skip")),
        (False, of("0111", "gcn", "gat", "gin", "skip"), of("0122", "gcn", "gat", "gin", "skip")),
        (False, of("0012", "gcn", "gcn", "gat", "gin"), of("0011", "gcn", "skip", "gat", "gin")),
    ],
)
def test_the_same_cell(
    space: SearchSpace, same: bool, one: dict[str, str], other: dict[str, str]
) -> None:
    """Order, and skips that change nothing; not the order of a chain, nor who shares a node."""
    assert (space.architecture(one).key == space.architecture(other).key) == same


def test_a_skip_beside_a_sibling_stays(space: SearchSpace) -> None:
    """It hands its input to the output, beside what the sibling makes of it."""
    with_skip = space.architecture(of("0111", "gcn", "gat", "skip", "gin"))
    assert ("skip", ()) in cell(with_skip.choices)[0][1]
    assert graph(with_skip).labels.count("skip") == 1


def test_four_skips_are_refused(space: SearchSpace) -> None:
    """They are no architecture; a vector of them still decodes to one."""
    with pytest.raises(SpaceError, match="describes no architecture"):
        space.architecture(of("0000", "skip", "skip", "skip", "skip"))
    skip = OPERATORS.index("skip")
    assert cell(space.decode([0, skip, skip, skip, skip]).choices) is not None


def test_graphs_have_the_operators_and_the_leaves(space: SearchSpace) -> None:
    """A pair and a chain of two, from the input to the output."""
    found = graph(space.architecture(of("0012", "gcn", "gat", "gin", "arma")))
    read = {
        found.labels[target]: found.labels[source]
        for source, target in found.edges
        if found.labels[target] != "output"
    }
    leaves = {found.labels[source] for source, target in found.edges if target == 5}
    assert read == {"gcn": "input", "gat": "input", "gin": "gcn", "arma": "gat"}
    assert leaves == {"gin", "arma"}


def test_networks_learn_and_export(space: SearchSpace) -> None:
    """Random cells: scores of the right shape, a gradient for each parameter, dynamic sizes."""
    rng = np.random.default_rng(0)
    x, edge_index = torch.randn(30, 6), torch.randint(0, 30, (2, 90))
    for architecture in [space.sample(rng) for _ in range(20)]:
        torch.manual_seed(0)
        network = space.network(architecture, TASK)
        scores = network(x, edge_index)
        assert scores.shape == (30, 3)
        scores.square().sum().backward()
        assert all(p.grad is not None for p in network.parameters())
    sizes = ({0: Dim("n", min=1)}, {1: Dim("e", min=0)})
    exported = export(network.eval(), (x, edge_index), dynamic_shapes=sizes).module()
    torch.testing.assert_close(
        exported(x[:9], edge_index[:, :0]), network(x[:9], edge_index[:, :0])
    )


def test_graph_tasks_and_widths() -> None:
    """One row a graph; a width that is given is a decision."""
    space = nas_bench_graph.build(GRAPHS, width=[8, 16])
    assert space.size() == 2 * 26_206
    architecture = space.sample(np.random.default_rng(1), {"width": 16})
    network = space.network(architecture, GRAPHS)
    ids = torch.arange(30) // 10
    scores = network(torch.randn(30, 6), torch.zeros(2, 0, dtype=torch.long), ids, torch.zeros(3))
    assert scores.shape == (3, 2)
    assert network.pre.width == 16
