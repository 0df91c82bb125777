"""The networks of the message-passing space, over random architectures of every operator."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, export

from search_spaces import Architecture, SearchSpace, Task, gnn, plugins

NODES = Task("node_classification", 12, 4, 100, 300, 1, 20, 20, 60, "accuracy", "nodes")
GRAPHS = Task("graph_classification", 5, 2, 100, 300, 9, 3, 3, 3, "accuracy", "graphs")
TASKS = pytest.mark.parametrize("task", [NODES, GRAPHS], ids=["nodes", "graphs"])


def every_operator(task: Task) -> SearchSpace:
    return gnn.build(
        task,
        operators=plugins.names("operator"),
        pre_layers=[0, 1, 2],
        post_layers=[0, 1, 2],
        **({} if task.is_graph_task else {"output": ["linear", "gcn", "gat", "sage"]}),
    )


def inputs(task: Task, nodes: int, edges: int, graphs: int = 1, seed: int = 1) -> list[Tensor]:
    """Edges stay within a graph, as in a batch."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(nodes, task.n_features, generator=generator)
    if not task.is_graph_task:
        return [x, torch.randint(0, nodes, (2, edges), generator=generator)]
    graph_ids = torch.randint(0, graphs, (nodes,), generator=generator).sort().values
    pairs = torch.randint(0, nodes, (2, 20 * edges), generator=generator)
    inside = pairs[:, graph_ids[pairs[0]] == graph_ids[pairs[1]]][:, :edges]
    # torch.export would turn the stride of a slice into a condition on E.
    return [x, inside.contiguous(), graph_ids, torch.zeros(graphs, dtype=torch.long)]


def network(space: SearchSpace, architecture: Architecture, task: Task) -> nn.Module:
    torch.manual_seed(0)
    return space.network(architecture, task)


def samples(space: SearchSpace, count: int, **given: Any) -> list[Architecture]:
    rng = np.random.default_rng(0)
    return [space.sample(rng, given) for _ in range(count)]


@TASKS
def test_random_architectures_build_run_and_learn(task: Task) -> None:
    """60 of them: one row of scores a node or graph, and a finite gradient for every parameter."""
    space = every_operator(task)
    for architecture in samples(space, 60):
        built = network(space, architecture, task)
        scores = built(*inputs(task, 40, 120, 6))
        assert scores.shape == ((6, 2) if task.is_graph_task else (40, 4))
        scores.square().sum().backward()
        for name, parameter in built.named_parameters():
            assert parameter.grad is not None, (architecture, name)
            assert parameter.grad.isfinite().all(), (architecture, name)


@TASKS
def test_a_network_is_a_function_of_structure_and_seed(task: Task) -> None:
    """Built twice it is the same; dropout is built as 0 and the recipe changes nothing."""
    space = gnn.build(task, dropout=[0.0, 0.9], lr=[0.1, 0.01])
    for architecture in samples(space, 10):
        recipe = {"train.dropout": 0.9, "train.lr": 0.01}
        other = space.architecture({**architecture.choices, **recipe})
        one, two = network(space, architecture, task), network(space, other, task)
        given = inputs(task, 20, 60, 3)
        assert torch.equal(one(*given), two(*given))
        assert {m.p for m in one.modules() if isinstance(m, nn.Dropout)} == {0.0}


@TASKS
def test_a_dropout_that_is_set_takes_part(task: Task) -> None:
    """Every network has `nn.Dropout` modules, and they act on its scores when training."""
    space = every_operator(task)
    for architecture in samples(space, 10):
        built, given = network(space, architecture, task), inputs(task, 20, 60, 3)
        before = built(*given)
        for module in built.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.5
        assert not torch.allclose(built(*given), before)


@TASKS
def test_another_choice_is_another_network(task: Task) -> None:
    """Whatever one decision is changed, the scores differ for the same seed."""
    space = gnn.build(task)
    rng = np.random.default_rng(1)
    for parent in samples(space, 40):
        child = space.mutate(parent, rng)
        given = inputs(task, 40, 120, 6)
        one, two = network(space, parent, task)(*given), network(space, child, task)(*given)
        assert not torch.allclose(one, two, rtol=1e-6, atol=1e-7), (parent, child)


@TASKS
def test_nodes_have_no_order(task: Task) -> None:
    """Scores of nodes are permuted with the nodes; scores of graphs stay."""
    space = every_operator(task)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(5))
    for architecture in samples(space, 30):
        built = network(space, architecture, task).double().eval()
        x, edge_index, *rest = inputs(task, 30, 90, 4)
        x = x.double()
        scores = built(x, edge_index, *rest)
        if rest:
            permuted = built(x[order], order.argsort()[edge_index], rest[0][order], rest[1])
        else:
            permuted, scores = built(x[order], order.argsort()[edge_index]), scores[order]
        torch.testing.assert_close(permuted, scores)


def test_a_graph_scores_the_same_in_any_batch() -> None:
    """Alone or beside another one; a graph without nodes has scores too."""
    space = every_operator(GRAPHS)
    first, second = inputs(GRAPHS, 9, 30), inputs(GRAPHS, 5, 8, seed=4)
    x = torch.cat([first[0], second[0]]).double()
    edge_index = torch.cat([first[1], second[1] + 9], dim=1)
    graph_ids = torch.tensor([0] * 9 + [1] * 5)
    for architecture in samples(space, 20):
        built = network(space, architecture, GRAPHS).double().eval()
        alone = [built(g[0].double(), *g[1:]) for g in (first, second)]
        batch = built(x, edge_index, graph_ids, torch.zeros(3))
        torch.testing.assert_close(batch[:2], torch.cat(alone))
        assert batch[2].isfinite().all()


SIZES = ((1, 0, 1), (1, 1, 1), (7, 0, 3), (100, 3000, 8))


@TASKS
@pytest.mark.parametrize("seed", range(6))
def test_export_holds_for_every_size(task: Task, seed: int) -> None:
    """torch.export, with N, E and B dynamic, agrees with the network to rounding."""
    space = every_operator(task)
    architecture = space.sample(np.random.default_rng(seed), {"depth": 2})
    built = network(space, architecture, task).eval()
    nodes, edges, graphs = Dim("N", min=1), Dim("E", min=0), Dim("B", min=1)
    shapes = ({0: nodes}, {1: edges}, {0: nodes}, {0: graphs})
    given = inputs(task, 20, 60, 4)
    program = export(built, tuple(given), dynamic_shapes=shapes[: len(given)]).module()
    for size in SIZES:
        given = inputs(task, *size)
        torch.testing.assert_close(program(*given), built(*given), rtol=1e-4, atol=1e-5)


KIPF = {
    **{"depth": 1, "layer0.operator": "gcn", "layer0.width": 16, "layer0.activation": "relu"},
    **{"layer0.normalization": "none", "pre.layers": 0, "post.layers": 0},
    "output.operator": "gcn",
}


def test_the_two_layer_gcn_is_in_the_space() -> None:
    """With F x 16 + 16 + 16 x C + C parameters, and the scores of Kipf and Welling's formula."""
    space = gnn.build(NODES)
    built = network(space, space.architecture(KIPF), NODES)
    parameters = sum(p.numel() for p in built.parameters())
    assert parameters == 12 * 16 + 16 + 16 * 4 + 4
    x, edge_index = inputs(NODES, 10, 30)
    edge_index = edge_index[:, edge_index[0] != edge_index[1]].unique(dim=1)
    adjacency = torch.eye(10)
    adjacency[edge_index[1], edge_index[0]] = 1
    scale = adjacency.sum(1).rsqrt()
    hat = scale[:, None] * adjacency * scale
    first, second = [p.T for p in built.parameters() if p.dim() == 2]
    torch.testing.assert_close(built(x, edge_index), hat @ (hat @ x @ first).relu() @ second)


PLAIN = {
    **{f"layer{i}.operator": "linear" for i in range(3)},
    **{f"layer{i}.normalization": "none" for i in range(3)},
    **{f"layer{i}.activation": "tanh" for i in range(3)},
    **{"layer0.width": 16, "layer1.width": 32, "layer2.width": 32},
    **{"depth": 3, "pre.layers": 0, "post.layers": 0, "output.operator": "linear"},
}


@pytest.mark.parametrize(
    ("connectivity", "weights"),
    [
        ({"connectivity": "plain"}, 12 * 16 + 16 * 32 + 32 * 32 + 32 * 4),
        # Two shortcuts change the width, the third is the identity.
        ({"connectivity": "residual"}, 2 * (12 * 16 + 16 * 32) + 32 * 32 + 32 * 4),
        ({"connectivity": "dense"}, 12 * 16 + 28 * 32 + 60 * 32 + 32 * 4),
        ({"connectivity": "jk", "jk.mode": "cat"}, 12 * 16 + 16 * 32 + 32 * 32 + 80 * 4),
        # The first output goes through a map to the width of the last.
        ({"connectivity": "jk", "jk.mode": "max"}, 12 * 16 + 2 * 16 * 32 + 32 * 32 + 32 * 4),
    ],
)
def test_connectivity_joins_what_it_says(connectivity: dict[str, str], weights: int) -> None:
    """Counted by hand from widths 12, 16, 32, 32, 4; and what is joined, computed apart."""
    space = gnn.build(NODES)
    built: Any = network(space, space.architecture(PLAIN | connectivity), NODES)
    assert sum(p.numel() for p in built.parameters() if p.dim() == 2) == weights
    x, edge_index = inputs(NODES, 10, 30)
    maps = [layer.operator for layer in built.body.layers]
    seen, outputs = x, []
    for i, linear in enumerate(maps):
        out = linear(seen, edge_index).tanh()
        if connectivity["connectivity"] == "residual":
            out = out + built.body.shortcuts[i](seen)
        outputs.append(out)
        seen = torch.cat([x, *outputs], 1) if connectivity["connectivity"] == "dense" else out
    joined = outputs[-1]
    if connectivity.get("jk.mode") == "cat":
        joined = torch.cat(outputs, 1)
    if connectivity.get("jk.mode") == "max":
        joined = torch.maximum(torch.maximum(built.body.maps[0](outputs[0]), outputs[1]), joined)
    torch.testing.assert_close(built(x, edge_index), built.output(joined, edge_index))


def skipped(layer: str) -> dict[str, Any]:
    kept = {name: choice for name, choice in PLAIN.items() if not name.startswith(layer)}
    return {**kept, f"{layer}.operator": "skip"}


@pytest.mark.parametrize("connectivity", ["plain", "residual", "dense", "jk"])
def test_a_skipped_layer_is_not_there(connectivity: str) -> None:
    """Three layers with one skipped are the network of the other two; all skipped, of none."""
    space = gnn.build(NODES, operators=["linear", "skip"])
    extra = {"connectivity": connectivity} | ({"jk.mode": "cat"} if connectivity == "jk" else {})
    two = {n: c for n, c in PLAIN.items() if not n.startswith("layer2")} | {"depth": 2}
    given = inputs(NODES, 10, 30)
    with_skip = network(space, space.architecture(skipped("layer2") | extra), NODES)
    without = network(space, space.architecture(two | extra), NODES)
    assert torch.equal(with_skip(*given), without(*given))
    operators = {f"layer{i}.operator": "skip" for i in range(3)}
    ends = {n: c for n, c in PLAIN.items() if not n.startswith("layer")}
    nothing = network(space, space.architecture(ends | operators | extra), NODES)
    assert sum(p.numel() for p in nothing.parameters()) == 12 * 4 + 4


def test_the_space_travels_to_other_processes() -> None:
    """Pickled and back, it builds the same networks."""
    space = gnn.build(NODES)
    back = pickle.loads(pickle.dumps(space))  # noqa: S301 - our own bytes
    architecture = samples(space, 1)[0]
    given = inputs(NODES, 10, 30)
    one, two = network(space, architecture, NODES), network(back, architecture, NODES)
    assert (back, back.digest) == (space, space.digest)
    assert torch.equal(one(*given), two(*given))
