"""What sparse networks are said to do: what is left of them does, on the edges that are left."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evaluators.latency.values import Workload
from evaluators.latency.work import trace_of
from search_spaces import Architecture, SearchSpace, Task, gnn, plugins

TASK = Task("node_classification", 12, 4, 100, 300, 1, 20, 20, 60, "accuracy", "nodes")
LOAD = Workload(100, 300)


def space_of(width: int = 16, **options: Any) -> SearchSpace:
    made = gnn.build(TASK, depth=[2], width=[width], operators=["gcn", "sage"])
    if not options:
        return made
    sparsity = plugins.load("extension", "sparsity").build
    return made.extended(sparsity(made, TASK, method=("random",), **options))


def work_of(space: SearchSpace, load: Workload = LOAD) -> Any:
    first: Architecture = space.fill(lambda decision: decision.choices[0])
    return trace_of(space, first, TASK, load).work


def test_a_ticket_leaves_fewer_edges() -> None:
    """As the dense network on a graph with so many."""
    ticket = space_of(weight_density=(1.0,), edge_density=(0.5,))
    fewer = replace(LOAD, edges=150)
    np.testing.assert_array_equal(work_of(ticket), work_of(space_of(), fewer))
    assert (work_of(ticket) != work_of(space_of())).any(), "control"


def test_units_that_go_leave_a_narrower_network() -> None:
    """As the network that was built with half the width."""
    half = space_of(structure=("units",), weight_density=(0.5,))
    np.testing.assert_array_equal(work_of(half), work_of(space_of(8)))
    assert (work_of(half) != work_of(space_of(16))).any(), "control"


@pytest.mark.parametrize("density", [0.5, 0.1])
def test_single_entries_that_go_change_nothing(density: float) -> None:
    """Zeros are multiplied as anything else is."""
    masked = space_of(weight_density=(density,))
    np.testing.assert_array_equal(work_of(masked), work_of(space_of()))
