"""How far children are from the parents that they begin as, by operator and connectivity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from reporting import Row, bounded, row, table, told
from torch import nn

from nas.contracts.graphs import graph_set, node_graph
from search_spaces import Architecture, Choice, SearchSpace, Task, gnn, plugins
from search_spaces.growing import children
from search_spaces.morphism import morph, reachable

OPERATORS = tuple(name for name in plugins.names("operator") if name != "skip")
CONNECTIVITIES: Mapping[str, Mapping[str, Choice]] = {
    "plain": {"connectivity": "plain"},
    "residual": {"connectivity": "residual"},
    "dense": {"connectivity": "dense"},
    "jk, side by side": {"connectivity": "jk", "jk.mode": "cat"},
    "jk, maximum": {"connectivity": "jk", "jk.mode": "max"},
}
STEPS, NEAR, FAR = 3, 1e-5, 1e-3
SPACE: Mapping[str, Any] = {
    "depth": (1, 2, 3, 4, 5),
    "operators": OPERATORS,
    "width": (8, 16, 24, 32),
    "heads": (1, 2, 4),
    "hops": (2,),
    "activation": ("relu", "none"),
    "normalization": ("none", "batch"),
}


@dataclass(frozen=True)
class Exactness:
    """Of some pairs: the largest difference, and the least of children with own weights."""

    pairs: int
    largest: float
    control: float


def exact_rows(parents: int) -> tuple[list[Row], str]:
    made, lines = list[Row](), {}
    for graphs in (False, True):
        dataset = graph_set() if graphs else node_graph()
        space, inputs = gnn.build(dataset.task, **SPACE), (dataset.x, dataset.edge_index)
        if graphs:
            ids = dataset.graph_ids
            inputs = (*inputs, ids, torch.zeros(dataset.task.n_graphs))
        for connectivity, given in CONNECTIVITIES.items():
            case = f"{'graphs' if graphs else 'nodes'}, {connectivity}"
            one = exactness(space, dataset.task, inputs, given, parents)
            told(f"{case}: {one.pairs} pairs, {one.largest:.1e}")
            largest = row(case, "largest difference of outputs", one.largest)
            control = row(case, "least with weights of its own (control)", one.control)
            made += [bounded(largest, "<=", NEAR), bounded(control, ">=", FAR)]
            lines[case] = [str(one.pairs), f"{one.largest:.1e}", f"{one.control:.1e}"]
    columns = ("", "pairs", "largest difference", "least, weights of its own (control)")
    return made, table("Outputs of children less those of their parents", columns, lines)


def exactness(
    space: SearchSpace,
    task: Task,
    inputs: Sequence[torch.Tensor],
    given: Mapping[str, Choice],
    parents: int,
) -> Exactness:
    """Of so many parents of each operator, all that can grow."""
    differences, controls = list[float](), list[float]()
    for number, operator in enumerate(OPERATORS * parents):
        rng = np.random.default_rng([number, len(given)])
        layers = {f"layer{i}.operator": operator for i in range(5)}
        width = {d.name: 8 for d in space.decisions if d.name.endswith(".width")}
        parent = space.sample(rng, {"depth": 2, **layers, **width, **given})
        child = _grown(space, task, parent, rng)
        if child is None:
            continue
        before = _random(space, task, parent, number)
        generator = torch.Generator().manual_seed(number)
        after = _random(space, task, child, number + 1)
        controls.append(_apart(before, after, inputs))
        after.load_state_dict(morph(space, task, parent, child, before.state_dict(), generator))
        differences.append(_apart(before, after, inputs))
    return Exactness(len(differences), max(differences), min(controls))


def _grown(
    space: SearchSpace, task: Task, parent: Architecture, rng: np.random.Generator
) -> Architecture | None:
    """Some random steps on; None where there is none."""
    child = parent
    for _ in range(STEPS):
        # What one step after the other can reach may not be reached at once, seldom.
        offered = [
            grown.architecture
            for grown in children(space, task, child)
            if reachable(space, task, parent, grown.architecture) is None
        ]
        if not offered:
            break
        child = offered[int(rng.integers(len(offered)))]
    return None if child == parent else child


def _random(space: SearchSpace, task: Task, architecture: Architecture, seed: int) -> nn.Module:
    """With biases and statistics of batches that are not as they begin."""
    torch.manual_seed(seed)
    network = space.network(architecture, task).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    for buffer in network.buffers():
        if buffer.is_floating_point():
            nn.init.uniform_(buffer, 0.5, 1.5)
    return network


@torch.no_grad()
def _apart(one: nn.Module, other: nn.Module, inputs: Sequence[torch.Tensor]) -> float:
    """The largest difference, beside the largest output where that is above 1."""
    expected = one(*inputs)
    return float((expected - other(*inputs)).abs().max() / expected.abs().max().clamp(min=1))
