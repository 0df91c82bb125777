"""Published results, looked up: NAS-Bench-Graph's nine tables. A study of one needs no dataset.

Yijian Qin, Ziwei Zhang, Xin Wang, Zeyang Zhang, Wenwu Zhu: NAS-Bench-Graph: Benchmarking Graph
Neural Architecture Search (2022). The tables come from the wheel nas-bench-graph, whose code is not
imported; each has one row for each architecture of the space `nas_bench_graph` (2,021 for
`proteins`, whose operators are fewer): the metric on validation, its mean over runs with different
seeds, and on test, which stays sealed until `nas confirm`; `latency_ms` and `params`. An evaluation
costs microseconds, so tables are for comparing strategies, not for finding networks.
"""

import hashlib
import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from evaluators.values import Evaluation, Job
from search_spaces import Architecture, PluginError, SearchSpace, Task
from search_spaces.errors import did_you_mean
from search_spaces.nas_bench_graph import LINKS, NODES, OPERATORS, cell
from search_spaces.nas_bench_graph import build as build_space

TableName: TypeAlias = Literal[
    "cora", "citeseer", "pubmed", "cs", "physics", "photo", "computers", "arxiv", "proteins"
]
WHEEL = "nas-bench-graph"
# `proteins` is the one multi-label dataset: its rows hold the area under the ROC curve.
ROC_AUC = ("proteins",)
# As many digits as a mean over a few thousand nodes and three runs can have.
DECIMALS = 6


@dataclass(frozen=True, eq=False)
class Results:
    """One table, a row for each architecture.

    Attributes:
        name: of the table.
        fingerprint: of its file.
        keys: [rows] the benchmark's own: five digits, links then operators, as one integer.
        val, test: [rows] accuracy (`proteins`: area under the ROC curve), in [0, 1].
        latency_ms: [rows] as measured by the authors on their GPU.
        params: [rows]
    """

    name: str
    fingerprint: str
    keys: NDArray[np.int64]
    val: NDArray[np.float64]
    test: NDArray[np.float64]
    latency_ms: NDArray[np.float64]
    params: NDArray[np.int64]

    @cached_property
    def _rows(self) -> Mapping[object, int]:
        return {cell(described(int(key))): row for row, key in enumerate(self.keys)}

    def row(self, architecture: Architecture) -> int:
        """The row of an architecture.

        Raises:
            PluginError: the table has no such architecture.
        """
        row = self._rows.get(cell(architecture.choices))
        if row is None:
            raise PluginError(f'the table "{self.name}" has no row for {architecture!r}')
        return row

    def key(self, architecture: Architecture) -> int:
        """The benchmark's key of an architecture.

        Raises:
            PluginError: the table has no such architecture.
        """
        return int(self.keys[self.row(architecture)])

    def architecture(self, key: int) -> Architecture:
        """The architecture of a benchmark's key, the way back.

        Raises:
            PluginError: it is no key of this table.
        """
        if key not in self._known:
            raise PluginError(f'the table "{self.name}" has no key {key}')
        return _space().architecture(described(key))

    @cached_property
    def _known(self) -> frozenset[int]:
        return frozenset(self.keys.tolist())


def described(key: int) -> dict[str, str]:
    """The choices that the digits of a key stand for: links, then the operators of four nodes."""
    links, *operators = (int(digit) for digit in f"{key:05d}")
    return {"links": LINKS[links]} | {
        name: OPERATORS[operator] for name, operator in zip(NODES, operators, strict=True)
    }


@lru_cache(maxsize=1)
def _space() -> SearchSpace:
    return build_space(_no_task("", ""))


@lru_cache(maxsize=9)
def read(table: TableName) -> Results:
    """Read a table from the installed wheel.

    Raises:
        PluginError: no such table, the wheel is not installed, or the file is no such table.
    """
    if table not in get_args(TableName):
        hint = did_you_mean(table, get_args(TableName))
        raise PluginError(f'no table is called "{table}"; {hint}')
    try:
        found = distribution(WHEEL)
    except PackageNotFoundError:
        raise PluginError(
            f"the tables come from the wheel {WHEEL}, which is not installed: "
            'pip install "gnn-nas[bench]"'
        ) from None
    file = Path(str(found.locate_file(f"nas_bench_graph/light/{table}.bench")))
    try:
        content = file.read_bytes()
        rows = _Restricted(io.BytesIO(content)).load()
        if not rows:
            raise ValueError("it has no rows")
        keys = np.array(sorted(rows), dtype=np.int64)

        def column(name: str) -> NDArray[np.float64]:
            return np.array([float(rows[key][name]) for key in keys.tolist()])

        return Results(
            name=table,
            fingerprint=hashlib.sha256(content).hexdigest()[:32],
            keys=keys,
            val=np.round(column("valid_perf"), DECIMALS),
            test=np.round(column("perf"), DECIMALS),
            latency_ms=column("latency") * 1e3,
            params=np.round(column("para") * 1e6).astype(np.int64),
        )
    except (OSError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError) as error:
        raise PluginError(f"{file} is no table of {WHEEL}: {error}") from error


class _Restricted(pickle.Unpickler):
    """Reads dicts and numbers; of classes, numpy's scalars alone."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) == ("numpy", "dtype"):
            return np.dtype
        if (module_name, global_name) in (
            ("numpy.core.multiarray", "scalar"),
            ("numpy._core.multiarray", "scalar"),
        ):
            return _scalar
        raise pickle.UnpicklingError(f"unexpected {module_name}.{global_name}")


def _scalar(dtype: "np.dtype[Any]", content: bytes) -> float:
    return float(np.frombuffer(content, dtype=dtype)[0])


def _no_task(fingerprint: str, metric: str) -> Task:
    """A task without a graph: all sizes are 0."""
    return Task("node_classification", 0, 0, 0, 0, 1, 0, 0, 0, metric, fingerprint)


def task(*, table: TableName) -> Task:
    """What the table's networks were trained for; its sizes are 0, the graph is not here."""
    return _no_task(read(table).fingerprint, "roc_auc" if table in ROC_AUC else "accuracy")


def build(task: Task, *, table: TableName) -> "_Tabular":
    """Make the evaluator.

    Args:
        task: of the table.
        table: which dataset the networks were trained on.

    Raises:
        PluginError: the wheel is not installed.
    """
    return _Tabular(read(table), task.metric)


class _Tabular:
    epochs = 1

    def __init__(self, results: Results, metric: str) -> None:
        self.results = results
        self.metric = metric
        self.metrics = (f"val_{metric}", "latency_ms", "params")
        self._columns = dict(
            zip(self.metrics, (results.val, results.latency_ms, results.params), strict=True)
        )

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        return [Evaluation(job.until_epoch, self._measured(job.architecture)) for job in jobs]

    def _measured(self, architecture: Architecture) -> Mapping[str, float]:
        row = self.results.row(architecture)
        return {name: float(column[row]) for name, column in self._columns.items()}

    def check(self, space: SearchSpace) -> None:
        """Refuse a space with architectures that the table lacks, or more decisions than it has."""
        known = {f"{digit}": name for digit, name in enumerate(OPERATORS)}
        present = {known[d] for key in self.results.keys.tolist() for d in f"{key:05d}"[1:]}
        if space.name.partition("+")[0] != "nas_bench_graph":
            raise PluginError(
                'name: the evaluator "tabular" has results of the space "nas_bench_graph" alone, '
                f'got "{space.name}"; write name = "nas_bench_graph"'
            )
        if more := sorted({*space.by_name} - {"links", *NODES}):
            raise PluginError(
                f'{more[0]}: the evaluator "tabular" has results without further decisions, got '
                f"{', '.join(more)}; leave out the options or extensions that bring them"
            )
        offered = {str(choice) for name in NODES for choice in space.by_name[name].choices}
        if not offered <= present:
            raise PluginError(
                f'the table "{self.results.name}" has no {", ".join(sorted(offered - present))}; '
                f"give [space] operators = {sorted(present)}"
            )

    def test_metrics(self, architecture: Architecture) -> Mapping[str, float]:
        return {f"test_{self.metric}": float(self.results.test[self.results.row(architecture)])}

    def reference(self, objectives: Mapping[str, str]) -> Mapping[str, float]:
        """The fifth percentile of what is maximized, the 95th of what is minimized."""
        return {
            metric: float(np.percentile(self._columns[metric], 5 if up == "maximize" else 95))
            for metric, up in objectives.items()
        }
