"""A graph in the shape of ogbn-arxiv's, each way in fresh processes: time, and peak memory."""

import multiprocessing
import statistics
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from evaluation_measure import Line, Model, faster, missing, store, synthetic, timed
from reporting import Row, table, told

from evaluators import Artifact
from evaluators.datasets import load_sealed, save_sealed

MODELS = (Model("gcn", 128), Model("sage", 128))
# Times faster than the naive loop, and times less memory added.
TARGETS = {"gcn": (2.5, 2.5), "sage": (1.6, 1.4)}
EPOCHS = 2
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Size:
    """How large the graph is, and in how many processes each way is measured."""

    nodes: int = 169_343
    repeats: int = 2


@dataclass(frozen=True)
class Cost:
    """What a process measured.

    Attributes:
        epoch_ms: CPU time, median over the epochs after the first.
        before_ms: CPU time of the preparation and of building the network.
        added_bytes: peak resident memory since the dataset was in memory, above what it was then.
    """

    epoch_ms: float
    before_ms: float
    added_bytes: int


def measured(size: Size, naive: Line, ours: Line) -> tuple[str, list[Row]]:
    """Both ways in turn, each time in a process of its own."""
    dataset = synthetic(size.nodes)
    degrees = dataset.edge_index[0].bincount()
    graph = f"{size.nodes:,} nodes, {dataset.edge_index.size(1):,} entries of edge_index"
    told(f"large: {graph}, largest degree {int(degrees.max()):,}")
    artifact = save_sealed(dataset.seal(), store())
    del dataset
    lines, rows = {}, []
    for model in MODELS:
        found: dict[str, list[Cost]] = {naive.name: [], ours.name: []}
        for _ in range(size.repeats):
            for line in (naive, ours):
                told(f"large: {model.operator}, {line.name}")
                cost = _alone(artifact, model, line)
                found[line.name] += [] if cost is None else [cost]
        for line in (naive, ours):
            if found[line.name]:
                lines[f"{model.operator} {model.width}, {line.name}"] = _cells(found[line.name])
        rows += _rows(model, found[naive.name], found[ours.name])
    columns = ["", "CPU s an epoch", "CPU s before", "memory added, GB"]
    return table(f"{graph}, 128 features, 40 classes", columns, lines), rows


def _cells(costs: list[Cost]) -> list[str]:
    values = (_median(costs, name) for name in ("epoch_ms", "before_ms", "added_bytes"))
    epoch, before, added = values
    return [f"{epoch / 1000:.2f}", f"{before / 1000:.2f}", f"{added / 1e9:.2f}"]


def _rows(model: Model, naive: list[Cost], ours: list[Cost]) -> list[Row]:
    case, bounds = f"large, {model.operator} {model.width}", TARGETS[model.operator]
    names = ("epoch_ms", "added_bytes")
    if not ours:
        return [missing(case, name, bound) for name, bound in zip(names, bounds, strict=True)]
    return [
        faster(case, name, _median(ours, name), _median(naive, name), bound)
        for name, bound in zip(names, bounds, strict=True)
    ]


def _median(costs: list[Cost], name: str) -> float:
    return float(statistics.median(getattr(cost, name) for cost in costs))


def _alone(artifact: Artifact, model: Model, line: Line) -> Cost | None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(_cost, artifact, model, line).result()


def _cost(artifact: Artifact, model: Model, line: Line) -> Cost | None:
    """In the fresh process. The first epoch, in which memory is got from the system, is no time."""
    torch.set_num_threads(1)
    mapped = load_sealed(artifact)
    # In memory before the base is taken, where it is read from the file as it is needed.
    dataset = replace(mapped, x=mapped.x.clone(), edge_index=mapped.edge_index.clone())
    base = _start_peak()
    spent, before = [], 0.0
    for number in range(1 + EPOCHS):
        trains, preparation = timed(partial(line.way, dataset, model, 1))
        if trains is None:
            return None
        before = before if number else preparation
        spent.append(timed(trains)[1])
    return Cost(statistics.median(spent[1:]), before, _kilobytes("VmHWM") * 1024 - base)


def _start_peak() -> int:
    """Resident bytes now; from here on the kernel keeps the peak anew.

    `getrusage` would not do: its peak has the loading in it, and, in a child, its parent.
    """
    _CLEAR.write_text("5", encoding="ascii")
    return _kilobytes("VmRSS") * 1024


def _kilobytes(name: str) -> int:
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise SystemExit(f"expected {name} in {_STATUS}: peak memory is measured on Linux only")
