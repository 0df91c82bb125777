"""Work put together from parts is the work of the network; what has none is traced whole."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evaluators.latency import work
from evaluators.latency.values import Workload
from evaluators.latency.work import CandidateError, trace_of, work_of
from search_spaces import (
    Architecture,
    Decision,
    SearchSpace,
    SpaceExtension,
    Task,
    gnn,
    nas_bench_graph,
    plugins,
)
from search_spaces.message_passing import Layer, LayerPlan
from search_spaces.parts import Part

NODES = Task("node_classification", 12, 4, 100, 300, 1, 20, 20, 60, "accuracy", "nodes")
GRAPHS = Task("graph_classification", 5, 2, 100, 300, 9, 3, 3, 3, "accuracy", "graphs")
LOADS = {"nodes": Workload(300, 1100), "graphs": Workload(400, 900, graphs=7)}
TASKS = pytest.mark.parametrize("task", [NODES, GRAPHS], ids=["nodes", "graphs"])
OPERATORS = plugins.names("operator")
same = partial(np.testing.assert_allclose, rtol=1e-9)


def every_operator(task: Task) -> SearchSpace:
    ends = [name for name in OPERATORS if name != "skip"]
    return gnn.build(
        task,
        depth=[1, 2, 3, 4],
        width=[8, 16, 40, 64],
        operators=OPERATORS,
        activation=["none", "relu", "relu6", "gelu", "silu", "sigmoid", "softplus", "tanh"],
        pre_layers=[0, 1, 2],
        post_layers=[0, 1, 2],
        **({} if task.is_graph_task else {"output": ends}),
    )


def benchmark_cells(task: Task) -> SearchSpace:
    return nas_bench_graph.build(task, width=[1, 8, 64])


@TASKS
@pytest.mark.parametrize("make", [every_operator, benchmark_cells])
def test_the_parts_do_what_the_network_does(make, task: Task) -> None:
    """THE LAW, on random architectures: equal work, and no operation of an unknown kind."""
    space, load = make(task), LOADS[task.fingerprint]
    rng = np.random.default_rng(5)
    works = []
    for _ in range(80):
        architecture = space.sample(rng)
        parts, whole = (f(space, architecture, task, load) for f in (work_of, trace_of))
        same(parts.work, whole.work, err_msg=str(architecture))
        assert parts.unknown == whole.unknown == frozenset(), architecture
        assert parts.output_bytes == whole.output_bytes
        works.append(parts.work)
    # The control: the networks differ, so equality says something.
    assert len({one.tobytes() for one in works}) > 70


def layer_parts(operator: str, width: int, out: int = 24) -> list[Part]:
    options = {"heads": 2} if operator in ("gat", "gatv2", "transformer") else {}
    return list(Layer.parts(width, LayerPlan(operator, out, "layer", "gelu", options)))


@pytest.mark.parametrize("operator", [name for name in OPERATORS if name != "skip"])
def test_operators_that_come_with_the_program_are_even(operator: str) -> None:
    """What is computed from two widths is what is traced, narrower and wider than these."""
    load = Workload(123, 457)
    for width in (16, 24, 1, 2, 7, 25, 160, 1433):
        for part in layer_parts(operator, width):
            assert part.even
            known, _ = work._seen_of_part(part, load)
            traced, _ = work._seen_of_part(replace(part, even=False), load)
            same(known, traced, err_msg=f"{operator} {width}")


def ordered(width: int, out: int) -> nn.Module:
    """Its own fewest numbers first: not even."""
    activation, linear = nn.ReLU(), nn.Linear(width, out)
    return nn.Sequential(activation, linear) if width < out else nn.Sequential(linear, activation)


def test_a_part_that_says_that_it_is_even_is_believed() -> None:
    """The control of the test above: where it is not, computed and traced differ."""
    load = Workload(50, 60)
    found = []
    for width in (3, 5, 90):
        part = Part(ordered, (width,), (20,), even=True)
        known, _ = work._seen_of_part(part, load)
        traced, _ = work._seen_of_part(replace(part, even=False), load)
        found.append(bool(np.allclose(known, traced, rtol=1e-9)))
    assert found == [True, True, False]


def test_an_operator_from_elsewhere_is_traced_at_every_width() -> None:
    """Nobody has checked that it does the same at another."""
    part, around = Layer.parts(8, LayerPlan("mine.operator", 8))
    assert (part.even, around.even) == (False, True)


@TASKS
def test_the_size_of_the_graph_counts_and_its_skew_does_not(task: Task) -> None:
    """Nodes, edges and graphs change the work; remembered parts of one size serve no other."""
    space, load = every_operator(task), LOADS[task.fingerprint]
    architecture = space.sample(np.random.default_rng(0), {"layer0.operator": "gat"})
    base = work_of(space, architecture, task, load)
    assert (work_of(space, architecture, task, replace(load, skew=0.7)).work == base.work).all()
    for field in ("nodes", "edges", "graphs") if task.is_graph_task else ("nodes", "edges"):
        larger = replace(load, **{field: 2 * getattr(load, field)})
        found = work_of(space, architecture, task, larger)
        same(found.work, trace_of(space, architecture, task, larger).work)
        assert not np.allclose(found.work, base.work)


def test_the_peak_comes_from_a_whole_trace() -> None:
    """No part knows what else is alive."""
    space = every_operator(NODES)
    architecture = space.sample(np.random.default_rng(0))
    assert work_of(space, architecture, NODES, LOADS["nodes"]).peak_bytes is None
    peak = trace_of(space, architecture, NODES, LOADS["nodes"]).peak_bytes
    assert peak is not None
    assert peak >= 4 * LOADS["nodes"].nodes * NODES.n_classes


BUILT: list[str] = []


class Looks(nn.Module):
    """Needs the values of its input."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        loops = int((edge_index[0] == edge_index[1]).sum())
        scores: Tensor = self.linear(x)[: x.size(0) - loops]
        return scores


def make_plain(architecture: Architecture, task: Task) -> nn.Module:
    kind = str(architecture.choices["kind"])
    BUILT.append(kind)
    if kind == "nobuild":
        raise ValueError("this network cannot be built")
    if kind == "looks":
        return Looks(task.n_features, task.n_classes)
    return Layer(task.n_features, LayerPlan(kind, task.n_classes))


PLAIN = SearchSpace(
    "without_parts",
    1,
    (
        Decision("kind", ("gcn", "sage", "looks", "nobuild")),
        Decision("train.lr", (0.1, 0.2), role="recipe"),
    ),
    make_plain,
)


def plain(kind: str, lr: float = 0.1) -> Architecture:
    return PLAIN.architecture({"kind": kind, "train.lr": lr})


def test_a_space_without_parts_is_traced_whole_and_remembered() -> None:
    """Built once for a structure and a size; another size, task or structure is built again."""
    BUILT.clear()
    load = Workload(31, 64)
    first = work_of(PLAIN, plain("gcn"), NODES, load)
    assert first.peak_bytes
    for again in (plain("gcn"), plain("gcn", 0.2)):
        assert work_of(PLAIN, again, NODES, load) is first
    assert BUILT == ["gcn"]
    work_of(PLAIN, plain("sage"), NODES, load)
    work_of(PLAIN, plain("gcn"), NODES, Workload(32, 64))
    work_of(PLAIN, plain("gcn"), replace(NODES, n_features=3), load)
    assert BUILT == ["gcn", "sage", "gcn", "gcn"]


def test_a_network_that_needs_values_runs_on_zeros() -> None:
    """On a ring, so without self-loops; the random state stays as it was."""
    state = torch.random.get_rng_state()
    seen = work_of(PLAIN, plain("looks"), NODES, Workload(40, 90))
    assert seen.output_bytes == 4 * 40 * NODES.n_classes
    assert torch.equal(torch.random.get_rng_state(), state)


def broken_parts(architecture: Architecture, task: Task) -> tuple[Part, ...]:
    return (Part(nn.Linear, (task.n_features,), (-3,)),)


@pytest.mark.parametrize(
    ("space", "says"),
    [(PLAIN, "cannot be built"), (replace(PLAIN, parts=broken_parts), "a part of the network")],
    ids=["whole", "part"],
)
def test_a_network_that_cannot_be_built_is_a_failure(space: SearchSpace, says: str) -> None:
    """It is data for the study, with the network's own message."""
    with pytest.raises(CandidateError, match=says) as caught:
        work_of(space, plain("nobuild"), NODES, Workload(10, 20))
    assert caught.value.failure.kind == "error"
    assert "Traceback" in caught.value.failure.detail


def doubled(network: nn.Module, architecture: Architecture, task: Task) -> nn.Module:
    return Twice(network)


class Twice(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        self.network(x, edge_index)
        scores: Tensor = self.network(x, edge_index)
        return scores


def test_what_an_extension_does_counts() -> None:
    """A transform that runs the network twice doubles its work."""
    space = gnn.build(NODES)
    extended = space.extended(SpaceExtension("twice", (Decision("bits", (8, 16)),), doubled))
    architecture = extended.sample(np.random.default_rng(0))
    base = space.fill(lambda d: d.choices[0], architecture.choices)
    once = work_of(space, base, NODES, LOADS["nodes"])
    same(work_of(extended, architecture, NODES, LOADS["nodes"]).work, 2 * once.work)
