"""How benchmarks/evaluation.py measures: what is trained, on what, and interleaved timing.

A *way* of training prepares itself for a dataset and a model, and returns what then trains for so
many epochs, validating after each. Only that is timed: what is prepared once stands apart.
"""

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
import torch
from reporting import Row, bounded, row

from evaluators import Evaluation, Executor, Job, artifacts
from evaluators.datasets import Dataset, RawDataset, load, preprocess, save_sealed
from search_spaces import Architecture, SearchSpace, Task, plugins
from search_spaces.plugins import Plugin

DATASETS: Mapping[str, Plugin] = {
    "Cora": Plugin("planetoid", {"subset": "Cora", "normalize": "row"}),
    "CiteSeer": Plugin("planetoid", {"subset": "CiteSeer", "normalize": "row"}),
    "Photo": Plugin("amazon", {"subset": "Photo"}),
    "minesweeper": Plugin("heterophilous", {"subset": "minesweeper"}),
}
HEADS = 8
DROPOUT, LR, WEIGHT_DECAY = 0.5, 0.01, 5e-4
LEAST_EPOCHS, ROUND_SECONDS = 3, 2.5  # a slow model gets fewer epochs a round

Trains: TypeAlias = Callable[[], object]
T = TypeVar("T")


@dataclass(frozen=True)
class Model:
    """Two layers of one operator, with ReLU between them."""

    operator: str = "gcn"
    width: int = 64

    def candidate(self, task: Task) -> tuple[SearchSpace, Architecture]:
        """It as the one architecture of a `gnn` space: 8 heads, every other option as it is."""
        offered = plugins.options("operator", self.operator)
        module = plugins.load("operator", self.operator)
        own = {name: [offered[name].default] for name in getattr(module, "CHOICES", {})}
        space: SearchSpace = plugins.load("space", "gnn").build(
            task,
            depth=[1],
            operators=[self.operator],
            width=[self.width],
            activation=["relu"],
            normalization=["none"],
            connectivity=["plain"],
            pre_layers=[0],
            post_layers=[0],
            output=[self.operator],
            **(own | ({"heads": [HEADS]} if "heads" in own else {})),
        )
        return space, space.sample(np.random.default_rng(0))


class Way(Protocol):
    """A way of training; None where it has nothing to do, as sparse features on a dense matrix."""

    def __call__(self, dataset: Dataset, model: Model, epochs: int) -> Trains | None: ...


@dataclass(frozen=True)
class Line:
    """One line of a table: a way, and how many candidates it trains at a time."""

    name: str
    way: Way
    candidates: int = 1


@dataclass
class Timing:
    """CPU milliseconds.

    Attributes:
        before: of the first preparation, with what is prepared once for all candidates.
        rounds: for one epoch of one candidate, by round.
    """

    before: float
    rounds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


def timed(what: Callable[[], T]) -> tuple[T, float]:
    """What it returns, and its CPU milliseconds: all threads of this process, no other's time."""
    gc.collect()
    began = time.process_time()
    made = what()
    return made, 1000 * (time.process_time() - began)


def interleaved(
    dataset: Dataset, model: Model, lines: Sequence[Line], rounds: int, most_epochs: int
) -> dict[str, Timing]:
    """By line, those that apply: in one process, one after another, round by round.

    A first round warms up and is not counted; the order is reversed from round to round. The first
    line decides on the number of epochs, so it should be the slowest.
    """
    found: dict[str, Timing] = {}
    epochs = most_epochs
    for line in lines:
        trains, before = timed(partial(line.way, dataset, model, LEAST_EPOCHS))
        if trains is None:
            continue
        spent = timed(trains)[1] / LEAST_EPOCHS
        if not found:
            epochs = max(LEAST_EPOCHS, min(most_epochs, int(1000 * ROUND_SECONDS / spent)))
        found[line.name] = Timing(before)
    applying = [line for line in lines if line.name in found]
    for number in range(rounds):
        for line in applying if number % 2 == 0 else reversed(applying):
            trains = line.way(dataset, model, epochs)
            if trains is not None:
                found[line.name].rounds.append(timed(trains)[1] / epochs / line.candidates)
    return found


@cache
def store() -> str:
    """An artifact store that lasts as long as this process."""
    folder = tempfile.TemporaryDirectory(prefix="evaluation-")
    _KEPT.append(folder)
    return artifacts.store_url(Path(folder.name))


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def jobs_of(
    dataset: Dataset,
    candidates: Sequence[tuple[SearchSpace, Architecture, int]],
    epochs: int,
    **options: Any,
) -> list[Job]:
    """What a study hands to an executor, one of each (space, architecture, seed)."""
    sealed = save_sealed(dataset.seal(), store())
    evaluator = Plugin("training", {"epochs": epochs, **options})
    return [
        Job(architecture, space, evaluator, sealed, store(), seed, epochs)
        for space, architecture, seed in candidates
    ]


def evaluated(
    executor: Executor, batches: Sequence[Sequence[Job]]
) -> Iterator[tuple[int, Sequence[Evaluation]]]:
    """(Index of the batch, its evaluations), as they end; every worker is kept busy."""
    waiting, flying = list(enumerate(batches))[::-1], dict[int, int]()
    while waiting or flying:
        while waiting and len(flying) < executor.workers:
            index, batch = waiting.pop()
            flying[executor.submit(batch)] = index
        for handle, evaluations in executor.wait().items():
            yield flying.pop(handle), evaluations


def synthetic(nodes: int) -> Dataset:
    """A graph in the shape of ogbn-arxiv's: 6.9 edges a node with a power law, 40 classes.

    Each node draws its partners by weights of a Pareto distribution (exponent of the degrees 2.5).
    128 normal features that lean to the class; 54 % of the nodes in train, 18 % in val.
    """
    rng = np.random.default_rng(0)
    weights = np.minimum(rng.pareto(1.5, nodes) + 1, nodes**0.6)
    ends = rng.choice(nodes, size=(2, int(3.55 * nodes)), p=weights / weights.sum())
    y = torch.from_numpy(rng.integers(40, size=nodes))
    centers = rng.standard_normal((40, 128), dtype=np.float32)
    x = torch.from_numpy(rng.standard_normal((nodes, 128), dtype=np.float32))
    x += 0.3 * torch.from_numpy(centers)[y]
    part = torch.from_numpy(rng.random(nodes))
    train, val = part < 0.54, (part >= 0.54) & (part < 0.72)
    raw = RawDataset(
        name=f"synthetic, {nodes:,} nodes",
        kind="node_classification",
        x=x,
        edge_index=torch.from_numpy(ends[:, ends[0] != ends[1]]),
        y=y,
        train=train,
        val=val,
        test=~(train | val),
        n_classes=40,
    )
    return preprocess(raw, undirected=True)


def read(name: str, data_root: Path) -> Dataset:
    return load(DATASETS[name], data_root)


def faster(case: str, measure: str, value: float, baseline: float, at_least: float | None) -> Row:
    """A row whose ratio says how many times less than the baseline the value is."""
    ratio = baseline / value if value else None
    times = row(case, measure, value, baseline) | {"ratio": ratio}
    return bounded(times, ">=", at_least)


def missing(case: str, measure: str, at_least: float) -> Row:
    """The row of a target whose way did not apply: missed."""
    return bounded(row(case, measure, None), ">=", at_least)
