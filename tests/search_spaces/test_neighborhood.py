"""The extension `neighborhood`: which edges are kept, and that what they save is counted."""

from dataclasses import replace

import torch
from torch import Tensor

from evaluators.facts import facts
from nas.contracts import graphs, networks
from search_spaces import Architecture, SearchSpace
from search_spaces.extensions import neighborhood
from search_spaces.extensions.neighborhood import Neighborhood, Sampled

DATASET = graphs.node_graph()
TASK = DATASET.task
IN_DEGREES = torch.bincount(DATASET.edge_index[1], minlength=TASK.n_nodes)


def pairs(edge_index: Tensor) -> list[tuple[int, ...]]:
    return [tuple(pair) for pair in edge_index.T.tolist()]


def extended() -> SearchSpace:
    space = networks.small_space(TASK)
    return space.extended(neighborhood.build(space, TASK, neighbors=(3, 0)))


def architecture(space: SearchSpace, neighbors: int) -> Architecture:
    given = {"neighbors": neighbors} if "neighbors" in space.by_name else {}
    return space.fill(lambda decision: decision.choices[0], given)


def test_each_node_keeps_so_many() -> None:
    """All where there are fewer; of the graph's edges, in their order."""
    kept = Neighborhood(3)(DATASET.edge_index)
    assert torch.equal(torch.bincount(kept[1], minlength=TASK.n_nodes), IN_DEGREES.clamp(max=3))
    assert kept.size(1) == Neighborhood(3).edges_kept(IN_DEGREES) < TASK.n_edges
    rest = iter(pairs(DATASET.edge_index))
    assert all(pair in rest for pair in pairs(kept))


def test_the_order_of_the_edges_does_not_matter() -> None:
    """And it is none that was there: neither the first sources of a node, nor the last."""
    edges = torch.unique(DATASET.edge_index, dim=1)
    shuffled = edges[:, torch.randperm(edges.size(1), generator=torch.Generator().manual_seed(0))]
    kept = set(pairs(Neighborhood(2)(edges)))
    assert kept == set(pairs(Neighborhood(2)(shuffled)))
    for descending in (False, True):
        ranked = sorted(pairs(edges), reverse=descending)
        into: dict[int, list[tuple[int, ...]]] = {}
        for pair in ranked:
            into.setdefault(pair[1], []).append(pair)
        assert kept != {pair for found in into.values() for pair in found[:2]}


def test_a_graph_is_treated_alike_beside_others() -> None:
    edges = DATASET.edge_index
    beside = Neighborhood(2)(torch.cat([edges, edges + TASK.n_nodes], dim=1))
    alone = Neighborhood(2)(edges)
    assert torch.equal(beside, torch.cat([alone, alone + TASK.n_nodes], dim=1))


def test_in_training_as_after_it() -> None:
    """Each time the same edges; no edge and no node are graphs too."""
    space = extended()
    network = space.network(architecture(space, 3), TASK)
    trained = network.train()(DATASET.x, DATASET.edge_index)
    assert torch.equal(trained, network.eval()(DATASET.x, DATASET.edge_index))
    assert Neighborhood(3)(torch.empty(2, 0, dtype=torch.int64)).shape == (2, 0)


def test_all_neighbors_are_the_network_itself() -> None:
    space = extended()
    assert isinstance(space.network(architecture(space, 3), TASK), Sampled)
    assert not isinstance(space.network(architecture(space, 0), TASK), Sampled)


def test_macs_are_of_the_edges_that_are_kept() -> None:
    """As of the network alone on a graph with so many; with degrees unknown, of all edges."""
    space, plain = extended(), networks.small_space(TASK)
    kept = int(Neighborhood(3)(DATASET.edge_index).size(1))
    few = facts(plain, architecture(plain, 0), replace(TASK, n_edges=kept))["macs"]
    every = facts(plain, architecture(plain, 0), TASK)["macs"]
    assert facts(space, architecture(space, 3), TASK, IN_DEGREES)["macs"] == few < every
    assert facts(space, architecture(space, 3), TASK)["macs"] == every
    assert facts(space, architecture(space, 0), TASK, IN_DEGREES)["macs"] == every


def test_macs_of_a_graph_task_are_of_its_mean_graph() -> None:
    many = graphs.graph_set()
    space = networks.small_space(many.task)
    more = space.extended(neighborhood.build(space, many.task, neighbors=(1,)))
    degrees = torch.bincount(many.edge_index[1], minlength=many.task.n_nodes)
    kept = int(Neighborhood(1)(many.edge_index).size(1))
    few = facts(space, architecture(space, 0), replace(many.task, n_edges=kept))["macs"]
    assert facts(more, architecture(more, 1), many.task, degrees)["macs"] == few
    assert few < facts(space, architecture(space, 0), many.task)["macs"]
