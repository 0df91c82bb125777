"""The most memory that a network takes at a time: what is predicted is what is allocated."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evaluators.facts import facts
from evaluators.latency.memory import held_bytes, measured_peak_memory_bytes, peak_memory_bytes
from evaluators.latency.shapes import network_inputs
from evaluators.latency.values import Workload
from search_spaces import Task, gnn, plugins

NODES = Task("node_classification", 40, 7, 500, 3000, 1, 100, 100, 100, "accuracy", "nodes")
GRAPHS = Task("graph_classification", 40, 2, 500, 3000, 1, 1, 1, 1, "accuracy", "graphs")
LOAD = Workload(500, 3000)


def predicted(make: Callable[[], nn.Module], task: Task) -> int:
    with torch.device("meta"):
        return peak_memory_bytes(make().to("meta").eval(), network_inputs(task, LOAD))


def measured(make: Callable[[], nn.Module], task: Task) -> int:
    """On random numbers, and edges that are no self-loops."""
    network, (x, edge_index, *graphs) = make().eval(), network_inputs(task, LOAD)
    step = torch.randint_like(edge_index[0], 1, LOAD.nodes)
    edge_index = torch.stack([edge_index[0], (edge_index[0] + step) % LOAD.nodes])
    inputs = (torch.randn_like(x), edge_index, *graphs)
    held = held_bytes(network, inputs)
    return measured_peak_memory_bytes(lambda: network(*inputs), held=held)


@pytest.mark.parametrize("operator", [name for name in plugins.names("operator") if name != "skip"])
def test_what_is_predicted_is_allocated(operator: str) -> None:
    """Within 3 %, at two widths; the control: twice as wide takes more, by more than that."""
    build = plugins.load("operator", operator).build
    peaks = []
    for width in (40, 80):
        task = replace(NODES, n_features=width)
        made, want = (of(lambda w=width: build(w, w), task) for of in (measured, predicted))
        assert want == pytest.approx(made, rel=0.03)
        peaks.append(want)
    assert peaks[1] > 1.2 * peaks[0]


@pytest.mark.parametrize("task", [NODES, GRAPHS], ids=["nodes", "graphs"])
def test_whole_networks(task: Task) -> None:
    """Random ones; what the facts say before training is the same number."""
    space, rng = gnn.build(task), np.random.default_rng(0)
    found = set()
    for _ in range(12):
        architecture = space.sample(rng)
        made = measured(lambda a=architecture: space.network(a, task), task)
        known = facts(space, architecture, task)["peak_memory_bytes"]
        assert known == predicted(lambda a=architecture: space.network(a, task), task)
        assert known == pytest.approx(made, rel=0.03), architecture
        found.add(known)
    assert len(found) > 6


class Holds(nn.Module):
    """Keeps every hidden representation, or lets it go."""

    def __init__(self, keep: bool) -> None:
        super().__init__()
        self.keep = keep
        self.layers = nn.ModuleList(nn.Linear(40, 40) for _ in range(6))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        kept = []
        for layer in self.layers:
            x = layer(x)
            if self.keep:
                kept.append(x)
        return x


def test_what_is_kept_is_counted_by_both() -> None:
    """Equal operations, four hidden representations more: 4 x N x F numbers."""
    for of in (measured, predicted):
        lean, full = (of(lambda k=keep: Holds(k), NODES) for keep in (False, True))
        assert full - lean == 4 * 4 * LOAD.nodes * 40


def test_weights_and_inputs_are_held() -> None:
    """Each storage once: tied weights, and buffers, count too."""
    tied = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    apart = held_bytes(tied, [torch.zeros(10, 3)])
    assert apart == 4 * (2 * 64 + 30)
    tied[1].weight = tied[0].weight
    assert held_bytes(tied, [torch.zeros(10, 3)]) == apart - 4 * 64
    assert held_bytes(nn.BatchNorm1d(5), []) == 4 * 4 * 5 + 8
