"""Inputs that have sizes and no values, and how networks run on them."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from evaluators._faults import network_fault
from evaluators.latency.values import Workload
from search_spaces import Task
from search_spaces.parts import Part

T = TypeVar("T")


def without_values(run: Callable[[torch.device], T], what: str) -> T:
    """Build and run something on the meta device; on zeros where it needs values.

    The default device is set meanwhile, and torch's random state is put back. On zeros it is as
    slow, and takes as much memory, as its inference.

    Raises:
        CandidateError: it fails on both; its message begins with `what`.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            return _on(torch.device("meta"), run)
        except Exception:  # any operation without a meta kernel has its own type of error
            with network_fault(what):
                return _on(torch.device("cpu"), run)


def _on(device: torch.device, run: Callable[[torch.device], T]) -> T:
    with device, torch.no_grad():
        return run(device)


def network_inputs(task: Task, load: Workload) -> tuple[Tensor, ...]:
    """What a network of the task is called with, on the default device."""
    x = torch.zeros(load.nodes, task.n_features)
    return (x, _ring(load), *(_graphs(load) if task.is_graph_task else ()))


def part_inputs(part: Part, load: Workload) -> tuple[Tensor, ...]:
    """What a part is called with, on the default device."""
    rows = load.nodes if part.rows == "nodes" else load.graphs
    inputs = tuple(torch.zeros(rows, width) for width in part.widths)
    if part.structure == "edges":
        return (*inputs, _ring(load))
    return inputs + (_graphs(load) if part.structure == "graphs" else ())


def _ring(load: Workload) -> Tensor:
    """Edges between neighbors on a ring, so that a network that needs values sees no self-loop."""
    ring = torch.arange(load.edges) % load.nodes
    return torch.stack([ring, (ring + 1) % load.nodes])


def _graphs(load: Workload) -> tuple[Tensor, Tensor]:
    ids = torch.arange(load.nodes) * load.graphs // load.nodes
    return ids, torch.zeros(load.graphs, dtype=torch.int64)
