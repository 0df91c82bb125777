"""What was timed, and how long it took: the rows that a predictor is fitted to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluators.latency.tracing import WORK, Trace, Work
from evaluators.latency.values import Timing, Workload
from search_spaces import Architecture, Task
from search_spaces.task import TaskKind

Array = NDArray[np.float64]
# Columns of `Samples.timings` and `Samples.workloads`.
TIMINGS = tuple(field.name for field in fields(Timing))
WORKLOADS = tuple(field.name for field in fields(Workload))


@dataclass(frozen=True)
class Case:
    """One network on one size of graph: what there is to time.

    Attributes:
        architecture: of the space that is searched, or, where `part`, of single layers.
        task: of the workload's size.
        part: whether it is a layer in isolation.
    """

    architecture: Architecture
    task: Task
    workload: Workload
    part: bool = False

    def on(self, workload: Workload) -> "Case":
        """The same network on another size of graph."""
        task = task_of(self.task.kind, self.task.n_features, self.task.n_classes, workload)
        return replace(self, task=task, workload=workload)

    def to_json(self) -> dict[str, Any]:
        """All but the workload, which the samples have as numbers."""
        return {
            "architecture": self.architecture.to_json(),
            "structure_key": self.architecture.structure_key,
            "kind": self.task.kind,
            "features": self.task.n_features,
            "classes": self.task.n_classes,
            "part": self.part,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], workload: Workload) -> "Case":
        task = task_of(value["kind"], value["features"], value["classes"], workload)
        architecture = Architecture.from_json(value["architecture"])
        return cls(architecture, task, workload, value["part"])


def task_of(kind: TaskKind, features: int, classes: int, workload: Workload) -> Task:
    """A task without a dataset, as large as a workload."""
    return Task(
        kind=kind,
        n_features=features,
        n_classes=classes,
        n_nodes=workload.nodes,
        n_edges=workload.edges,
        n_graphs=workload.graphs,
        n_train=0,
        n_val=0,
        n_test=0,
        metric="accuracy",
        fingerprint="",
    )


@dataclass(frozen=True)
class Sample:
    """A case that was timed.

    Attributes:
        macs, params: see `evaluators.facts`.
        error: log(predicted / measured) by what was known before; nan where nothing was.
    """

    case: Case
    trace: Trace
    timing: Timing
    macs: float
    params: float
    error: float = float("nan")


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples as arrays, in the order in which they were taken.

    Attributes:
        cases: `Case.to_json` of each.
        works: [n, K], see `WORK`.
        workloads: [n, 4], see `WORKLOADS`.
        timings: [n, 12], see `TIMINGS`; nan for what was not measured.
        facts: [n, 2]: macs, params.
        errors: [n], see `Sample.error`.
    """

    cases: tuple[Mapping[str, Any], ...]
    works: Work
    workloads: Array
    timings: Array
    facts: Array
    errors: Array

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> "Samples":
        return cls(
            tuple(sample.case.to_json() for sample in samples),
            np.array([s.trace.work for s in samples]).reshape(-1, len(WORK)),
            np.array([as_row(s.case.workload) for s in samples]).reshape(-1, len(WORKLOADS)),
            np.array([_numbers(s.timing) for s in samples]).reshape(-1, len(TIMINGS)),
            np.array([[s.macs, s.params] for s in samples], dtype=float).reshape(-1, 2),
            np.array([s.error for s in samples], dtype=float),
        )

    def __len__(self) -> int:
        return len(self.cases)

    def __add__(self, other: "Samples") -> "Samples":
        return replace(
            self,
            cases=self.cases + other.cases,
            **{
                name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in ARRAYS
            },
        )

    def case(self, index: int) -> Case:
        """What the sample of this number is of."""
        return Case.from_json(self.cases[index], as_workload(self.workloads[index]))

    def sizes(self) -> list[Workload]:
        """The workload of each."""
        return [as_workload(row) for row in self.workloads]

    def column(self, name: str) -> Array:
        """One column of the timings, [n]."""
        column: Array = self.timings[:, TIMINGS.index(name)]
        return column

    def known(self, metric: str) -> NDArray[np.bool_]:
        """[n]: which of them have a value of this metric to fit."""
        values = self.column(metric)
        kept: NDArray[np.bool_] = np.isfinite(values) & (values > 0)
        return kept


ARRAYS = ("works", "workloads", "timings", "facts", "errors")


def as_row(workload: Workload) -> list[float]:
    return [float(getattr(workload, name)) for name in WORKLOADS]


def as_workload(row: Array) -> Workload:
    nodes, edges, skew, graphs = row.tolist()
    return Workload(int(nodes), int(edges), skew, int(graphs))


def _numbers(timing: Timing) -> list[float]:
    values = timing.to_json()
    return [float("nan") if values[name] is None else float(values[name]) for name in TIMINGS]


def plain(value: Any) -> Any:
    """Frozen mappings and tuples as JSON has them."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
