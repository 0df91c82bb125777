"""How far children are from the parents that they begin as, by operator and connectivity."""

from collections.abc import Iterator, Mapping, Sequence
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
class Pair:
    """How far a child is from its parent, and how far with weights of its own."""

    case: str
    operator: str
    apart: float
    control: float


def exact_rows(parents: int) -> tuple[list[Row], str]:
    """By connectivity and by operator, each with its control."""
    pairs = list[Pair]()
    for graphs in (False, True):
        dataset = graph_set() if graphs else node_graph()
        space, inputs = gnn.build(dataset.task, **SPACE), (dataset.x, dataset.edge_index)
        if graphs:
            ids = dataset.graph_ids
            inputs = (*inputs, ids, torch.zeros(dataset.task.n_graphs))
        for connectivity, given in CONNECTIVITIES.items():
            case = f"{'graphs' if graphs else 'nodes'}, {connectivity}"
            pairs += grown_pairs(space, dataset.task, inputs, given, parents, case)
            told(f"{case}: {len(pairs)} pairs so far")
    return said(pairs)


def said(pairs: Sequence[Pair]) -> tuple[list[Row], str]:
    """Rows, and a table; an operator that has no pair misses its target."""
    made, lines = list[Row](), {}
    cases = list(dict.fromkeys(pair.case for pair in pairs))
    groups = [(case, [p for p in pairs if p.case == case]) for case in cases]
    groups += [(name, [p for p in pairs if p.operator == name]) for name in OPERATORS]
    for name, own in groups:
        # NumPy's largest of numbers of which one is none is none, and misses.
        largest = float(np.max([p.apart for p in own])) if own else float("nan")
        least = float(np.min([p.control for p in own])) if own else float("nan")
        made += [
            bounded(row(name, "largest difference of outputs", largest), "<=", NEAR),
            bounded(row(name, "least with weights of its own (control)", least), ">=", FAR),
        ]
        lines[name] = [str(len(own)), f"{largest:.1e}", f"{least:.1e}"]
    columns = ("", "pairs", "largest difference", "least, weights of its own (control)")
    return made, table("Outputs of children less those of their parents", columns, lines)


def grown_pairs(
    space: SearchSpace,
    task: Task,
    inputs: Sequence[torch.Tensor],
    given: Mapping[str, Choice],
    parents: int,
    case: str,
) -> Iterator[Pair]:
    """Of so many parents of each operator, all that can grow."""
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
        control = _apart(before, after, inputs)
        after.load_state_dict(morph(space, task, parent, child, before.state_dict(), generator))
        yield Pair(case, operator, _apart(before, after, inputs), control)


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
