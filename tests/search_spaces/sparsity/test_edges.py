"""Tickets of edges: both directions and self-loops, who normalizes by them, and of which graph."""

import copy
from dataclasses import replace

import pytest
import torch
from fakes import sparse
from torch import Tensor

from evaluators.datasets import Dataset
from search_spaces import SpaceError
from search_spaces.sparsity.edges import Scored, Ticket, first_directions, weighted
from search_spaces.sparsity.making import made_dense
from search_spaces.sparsity.network import Sparse


def with_loops() -> Dataset:
    """An undirected graph in which ten nodes have a self-loop, some edges occurring twice."""
    rng = torch.Generator().manual_seed(5)
    ends = torch.randint(90, (2, 200), generator=rng)
    ends = ends[:, ends[0] != ends[1]]
    loops = torch.arange(10).repeat(2, 1)
    both = torch.cat([ends, ends.flip(0), loops, ends[:, :3], ends[:, :3].flip(0)], 1)
    return replace(sparse.DATASET, edge_index=both[:, torch.randperm(both.size(1), generator=rng)])


LOOPS = with_loops()


def pairs(edge_index: Tensor) -> set[tuple[int, int]]:
    return {(int(i), int(j)) for i, j in edge_index.t()}


def undirected(edge_index: Tensor) -> set[tuple[int, int]]:
    return {(min(p), max(p)) for p in pairs(edge_index) if p[0] != p[1]}


def chosen(method: str, density: float, given: object = None, **options: object) -> Sparse:
    """With its mask, of the graph above."""
    lasts = {"over_epochs": 2} if method in ("granet", "magnitude", "rigl", "dynamic") else {}
    network = sparse.network(
        given,  # type: ignore[arg-type]
        LOOPS,
        method=method,
        edge_density=density,
        **{"weight_density": 1.0} | lasts | options,
    )
    for _ in sparse.training(network, network.settles_after + 2, dataset=LOOPS):
        pass
    return network.eval()


def left_of(network: Sparse, edge_index: Tensor = LOOPS.edge_index) -> Tensor:
    edges = network.sparsity.edges
    assert isinstance(edges, Ticket)
    return edges.kept(edge_index)


@pytest.mark.parametrize("method", ["random", "snip", "synflow", "granet", "magnitude", "rigl"])
def test_directions_are_tied_and_loops_stay(method: str) -> None:
    """As many edges as were said are left, each with both its directions, wherever they occur."""
    edge_index = left_of(chosen(method, 0.6))
    assert pairs(edge_index) == pairs(edge_index.flip(0))
    all_, left = undirected(LOOPS.edge_index), undirected(edge_index)
    assert left < all_
    assert len(left) == round(0.6 * len(all_))
    assert {(i, i) for i in range(10)} <= pairs(edge_index)
    # Whatever occurs twice is left twice, and in the order in which it was.
    given = [tuple(p) for p in LOOPS.edge_index.t().tolist()]
    kept = [tuple(p) for p in edge_index.t().tolist()]
    assert kept == [p for p in given if p in pairs(edge_index)]


def test_the_first_of_each_edge() -> None:
    edge_index = torch.tensor([[0, 1, 2, 1, 0, 1], [1, 2, 2, 0, 1, 0]])
    assert first_directions(edge_index).tolist() == [0, 1, -1, 0, 0, 0]
    assert first_directions(edge_index[:, :0]).tolist() == []


@pytest.mark.parametrize("operator", ["gcn", "gat", "sage", "tag", "transformer"])
def test_operators_see_the_pruned_graph_and_no_other(operator: str) -> None:
    """They normalize by what is left; the control is weights of 0 in the whole graph."""
    network = chosen("snip", 0.5, {"operators": [operator], "output": [operator]})
    with torch.no_grad():
        out = network(LOOPS.x, LOOPS.edge_index)
        dense = made_dense(copy.deepcopy(network))
        assert not isinstance(dense, Sparse)
        assert torch.equal(out, dense(LOOPS.x, left_of(network)))
        edges = network.sparsity.edges
        assert isinstance(edges, Ticket)
        assert edges.first is not None
        kept = edges.mask[edges.first.clamp(min=0)] | (edges.first < 0)
        with weighted(dense, LOOPS.edge_index, kept.float()):
            unnormalized = dense(LOOPS.x, LOOPS.edge_index)
    assert not torch.equal(out, unnormalized)


def test_weights_of_edges_are_those_of_their_messages() -> None:
    """A graph with self-loops, which operators move to the end: each message has its own weight."""
    rng = torch.Generator().manual_seed(0)
    weights = torch.rand(LOOPS.edge_index.size(1), generator=rng)
    is_loop = LOOPS.edge_index[0] == LOOPS.edge_index[1]
    weights[is_loop] = 1.0
    for operator in ("gcn", "sage", "gat", "gin"):
        network = sparse.network(
            {"operators": [operator], "depth": [1], "output": ["linear"]},
            LOOPS,
            method="snip",
            weight_density=0.5,
        ).eval()
        layer = network.body.layers[0].operator  # type: ignore[union-attr, index]
        seen: list[Tensor] = []

        def sees(module: object, inputs: tuple[dict[str, Tensor]], out: Tensor) -> None:
            del module, inputs
            seen.append(out.detach().clone())  # noqa: B023 - called in this round

        with torch.no_grad():
            handle = layer.register_message_forward_hook(sees)
            layer(LOOPS.x, LOOPS.edge_index)
            plain = seen.pop()
            handle.remove()
            with weighted(network, LOOPS.edge_index, weights):
                handle = layer.register_message_forward_hook(sees)
                layer(LOOPS.x, LOOPS.edge_index)
                scaled = seen.pop()
                handle.remove()
        added = plain.size(0) - weights.numel()
        expected = torch.cat([weights[~is_loop], torch.ones(90)]) if added else weights
        if operator in ("gcn", "gat"):  # loops are taken out, and one is added for each node
            expected = torch.cat([weights[~is_loop], torch.ones(90)])
        rest = (1,) * (plain.dim() - 1)
        torch.testing.assert_close(scaled, plain * expected.view(-1, *rest))


def test_a_ticket_is_of_the_graph_that_it_was_found_on() -> None:
    """Another one has all its edges, though it has as many of them."""
    network = chosen("snip", 0.5)
    dense = made_dense(copy.deepcopy(network))
    other = LOOPS.edge_index[:, torch.randperm(LOOPS.edge_index.size(1))]
    assert left_of(network).size(1) < LOOPS.edge_index.size(1)
    for edge_index in (other, LOOPS.edge_index[:, :40], (LOOPS.edge_index + 1) % 90):
        with torch.no_grad():
            assert torch.equal(network(LOOPS.x, edge_index), dense(LOOPS.x, edge_index))
        assert torch.equal(left_of(network, edge_index), edge_index)
    assert torch.equal(left_of(network), left_of(copy.deepcopy(network)))


def test_an_untrained_ticket_leaves_all() -> None:
    network = sparse.network(method="snip", edge_density=0.5, weight_density=1.0)
    for mode in (True, False):
        network.train(mode)
        assert torch.equal(left_of(network, sparse.DATASET.edge_index), sparse.DATASET.edge_index)
    edges = network.sparsity.edges
    assert isinstance(edges, Ticket)
    with pytest.raises(SpaceError, match=r"expected a graph of \d+ edges, got 7"):
        edges.see(sparse.DATASET.edge_index[:, :7])


def test_a_loaded_ticket_is_the_one_that_was_stored() -> None:
    network = chosen("snip", 0.5)
    fresh = sparse.network(None, LOOPS, 9, method="snip", edge_density=0.5, weight_density=1.0)
    fresh.load_state_dict(network.state_dict())
    with torch.no_grad():
        out = fresh.eval()(LOOPS.x, LOOPS.edge_index)
        assert torch.equal(out, network(LOOPS.x, LOOPS.edge_index))
    assert torch.equal(left_of(fresh), left_of(network))


def test_a_graph_without_edges_has_none_left() -> None:
    lone = replace(sparse.DATASET, edge_index=torch.empty(2, 0, dtype=torch.int64))
    for method in ("granet", "snip", "synflow", "random"):
        lasts = {"over_epochs": 2, "every": 1} if method == "granet" else {}
        network = sparse.network(
            None, lone, method=method, edge_density=0.5, weight_density=0.5, **lasts
        )
        for _ in sparse.training(network, 4, dataset=lone):
            pass
        assert left_of(network, lone.edge_index).shape == (2, 0)


def test_granet_chooses_edges_before_training() -> None:
    """And these stay, while weights go."""
    network = sparse.network(
        method="granet", edge_density=0.5, weight_density=0.5, over_epochs=4, every=1
    )
    masks, left = [], set()
    for what, _ in sparse.training(network, 6):
        if what == "trained":
            masks.append(network.sparsity.edges.mask.clone())
            left.add(sum(g.left()[n] for g in network.weight_groups() for n in g.values))
    assert all(torch.equal(mask, masks[0]) for mask in masks)
    assert len(left) > 3
    assert not network.sparsity.edges.is_soft


def test_edges_of_nodes_with_few_neighbors_are_spared() -> None:
    """Of a ring of which one node is joined to all; control: by chance all alike."""
    ring = torch.arange(1, 41)
    pairs = torch.cat(
        [torch.stack([ring, ring.roll(1)]), torch.stack([torch.zeros_like(ring), ring])], dim=1
    )
    # And one node that hangs on the hub alone.
    pairs = torch.cat([pairs, torch.tensor([[0], [41]])], dim=1)
    edges = torch.cat([pairs, pairs.flip(0)], dim=1)
    torch.manual_seed(0)
    half = edges.size(1) // 2

    def left(scores: Tensor) -> bool:
        """Whether the last edge is, which is that of the one that hangs."""
        return bool(scores[-1] >= scores.topk(half).values[-1])

    spared = sum(left(Ticket.spared(edges)) for _ in range(200))
    by_chance = sum(left(torch.rand(edges.size(1))) for _ in range(200))
    assert spared > 170
    assert 60 < by_chance < 140


def test_a_directed_graph_keeps_its_directions() -> None:
    """Both of a pair of nodes count as one edge, whichever there are."""
    ends = LOOPS.edge_index[:, (LOOPS.edge_index[0] < LOOPS.edge_index[1])]
    directed = replace(sparse.DATASET, edge_index=ends)
    network = sparse.network(None, directed, method="random", edge_density=0.5, weight_density=1.0)
    sparse.begin(network, 1, directed)
    left = left_of(network, ends)
    assert pairs(left) < pairs(ends)
    assert len(pairs(left)) == round(0.5 * len(pairs(ends)))


RULE = {"method": "random", "weight_density": 1.0, "edge_density": 0.6, "edge_mode": "inductive"}


def rule(density: float = 0.6, dataset: Dataset = LOOPS) -> tuple[Sparse, Scored]:
    network = sparse.network(None, dataset, **RULE | {"edge_density": density})
    edges = network.sparsity.edges
    assert isinstance(edges, Scored)
    return network.eval(), edges


def many() -> tuple[Tensor, Tensor, Tensor]:
    """(x, edge_index, graph_ids) of graphs of 30 nodes, one of them without edges."""
    rng = torch.Generator().manual_seed(3)
    x = torch.randn(120, sparse.DATASET.x.size(1), generator=rng)
    parts = []
    for start, count in ((0, 50), (30, 11), (90, 3)):
        ends = start + torch.randint(30, (2, count), generator=rng)
        parts += [ends, ends.flip(0)]
    edge_index = torch.cat([torch.cat(parts, 1), torch.tensor([[4, 65], [4, 65]])], 1)
    order = torch.randperm(edge_index.size(1), generator=rng)
    return x, edge_index[:, order], torch.arange(120) // 30


def test_the_rule_leaves_its_share_of_each_graph() -> None:
    """Both directions or neither; self-loops besides; alone as beside others."""
    x, edge_index, graph = many()
    _, edges = rule()
    left, weights = edges.choose(x, edge_index, graph, 4)
    assert weights is None
    for number in range(4):
        mine = graph[edge_index[0]] == number
        own, kept = edge_index[:, mine], left[:, graph[left[0]] == number]
        loops = int((own[0] == own[1]).sum())
        assert int((kept[0] == kept[1]).sum()) == loops
        assert pairs(kept) == pairs(kept.flip(0))
        assert kept.size(1) - loops == 2 * round(0.6 * (own.size(1) - loops) / 2)
        nodes = graph == number
        start = int(nodes.nonzero()[0])
        alone, _ = edges.choose(x[nodes], own - start)
        assert torch.equal(alone + start, kept)


def test_the_rule_knows_no_numbers_of_nodes() -> None:
    """With others the same edges are left; the control is other features."""
    _, edges = rule()
    left, _ = edges.choose(LOOPS.x, LOOPS.edge_index)
    order = torch.randperm(90, generator=torch.Generator().manual_seed(1))
    to = torch.empty_like(order)
    to[order] = torch.arange(90)  # node `order[i]` is called i
    renamed, _ = edges.choose(LOOPS.x[order], to[LOOPS.edge_index])
    assert pairs(order[renamed]) == pairs(left)
    others, _ = edges.choose(LOOPS.x.flip(0), LOOPS.edge_index)
    assert pairs(others) != pairs(left)


def test_training_reaches_the_rule() -> None:
    """In training mode each message has the gradient of its score, and the value of no weight."""
    network, edges = rule()
    with torch.no_grad():
        out = network(LOOPS.x, LOOPS.edge_index)
    # Statistics apart, training computes the same.
    kept, weights = edges.train().choose(LOOPS.x, LOOPS.edge_index)
    assert weights is not None
    assert torch.equal(weights.detach(), torch.ones_like(weights))
    assert torch.equal(kept, edges.eval().choose(LOOPS.x, LOOPS.edge_index)[0])
    edges.train()
    trained = network(LOOPS.x, LOOPS.edge_index)
    torch.testing.assert_close(trained.detach(), out)
    trained.square().sum().backward()
    for parameter in (edges.ends.weight, edges.score.weight):
        assert parameter.grad is not None
        assert parameter.grad.any()
