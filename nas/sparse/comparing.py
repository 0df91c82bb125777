"""From a trial to the three arms of its comparison."""

import importlib.metadata
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from evaluators.artifacts import store_url
from nas import __version__
from nas._options import thaw
from nas.confirm import FRESH_SEEDS
from nas.opening import opened
from nas.record import TrialRecord
from nas.setup import NUMERICS_VERSION, Setup, with_executor
from nas.sparse.arms import ARMS, Arm, SparseComparison
from nas.sparse.rows import Rows
from nas.sparse.training import Bench, Training
from nas.store import Store
from nas.store.confirmations import confirmations
from search_spaces import Architecture, SearchSpace, UsageError
from search_spaces.plugins import Plugin

_START = "sparsity."
_DENSITIES = (f"{_START}weight_density", f"{_START}edge_density")
_FORMAT = "gnn-nas sparse comparison 1"


def compare_sparse(
    name: str,
    trial: int | Literal["best"] = "best",
    *,
    storage: str,
    data_root: Path,
    seeds: int = 10,
    to: Path | None = None,
    executor: Plugin | None = None,
    progress: Callable[[int, int], None] | None = None,
    warn: Callable[[str], None] | None = None,
    space: SearchSpace | None = None,
) -> SparseComparison:
    """Train a sparse trial, its dense parent, and a random network with exactly as much left.

    All arms have the same fresh seeds and are trained as the study trains; what is compared is
    validation, and test stays sealed. A seed is one run: averages over runs or folds, which the
    study's evaluator may make, are left out.

    Args:
        name: of a study of nodes with `[extension.sparsity]`.
        trial: its number, or "best": the first sparse one of what is confirmed, else of the front,
            then of the next fronts.
        storage, data_root, space: as for `nas.confirm.confirm`.
        seeds: of each arm, at least 2.
        to: a file that keeps each training as it ends; if it is there, what it has is not trained
            again.
        executor: where networks are trained, in place of the study's.
        progress: called with (done, wanted) as trainings end.
        warn: called once with each warning of the evaluator.

    Raises:
        UsageError: no such study or trial, nothing in it is sparse or left out, a study of graphs,
            fewer than 2 seeds, a schedule longer than the training, or another comparison's file.
        SparseTrainingError: a training failed; those that ended are kept.
        UnequalArmsError: the random network has not exactly as much left as the searched one.
    """
    if seeds < 2:
        raise UsageError(f"seeds: expected at least 2, so that there is a spread, got {seeds}")
    store = Store.open_existing(storage)
    study = opened(
        store, name, data_root, space, changed=lambda s: with_executor(s, executor),
        with_latency=False,
    )  # fmt: skip
    setup = study.setup.alone
    record, searched = _chosen(store, name, trial, setup)
    _refuse_graphs(name, setup)
    metric, is_minimized = _metric(setup)
    first = setup.spec.study.seed + FRESH_SEEDS
    numbers = range(first, first + seeds)
    rows = Rows(to, _identity(name, record, setup, searched, metric))
    with tempfile.TemporaryDirectory(prefix="nas-sparse-") as folder:
        bench = Bench(setup, dense_parent(searched), searched, metric, store_url(Path(folder)))
        Training(
            bench, rows, numbers, progress or (lambda *_: None), warn or (lambda _: None)
        ).run()
    arms = {arm: Arm(tuple(rows.trained[arm, seed] for seed in numbers)) for arm in ARMS}
    epochs = setup.evaluator.epochs
    return SparseComparison(name, record.number, metric, is_minimized, epochs, **arms)


def dense_parent(architecture: Architecture) -> Architecture:
    """The architecture with its densities taken to 1."""
    whole = {name: 1.0 for name in _DENSITIES if name in architecture.choices}
    return Architecture(architecture.space, {**architecture.choices, **whole})


def _chosen(
    store: Store, name: str, trial: int | Literal["best"], setup: Setup
) -> tuple[TrialRecord, Architecture]:
    if trial != "best":
        return _refuse_dense(name, store.trial(name, trial), setup)
    confirmed = [store.trial(name, one.trial) for one in confirmations(store, name)]
    for record in (*confirmed, *store.fronts(name)):
        one = record.architecture
        if one is not None and _is_sparse(one) and not _whole(one, setup):
            return record, one
    raise UsageError(
        f'study "{name}" has no complete, feasible trial of which anything was pruned; search with '
        "[extension.sparsity] and a density below 1"
    )


def _refuse_dense(name: str, record: TrialRecord, setup: Setup) -> tuple[TrialRecord, Architecture]:
    said = f'trial {record.number} of study "{name}"'
    architecture = record.architecture
    if architecture is None or record.state not in ("complete", "infeasible"):
        raise UsageError(
            f"{said} is {record.state}; only a trial that was evaluated to the end can be compared"
        )
    if not any(density in architecture.choices for density in _DENSITIES):
        raise UsageError(
            f"{said} was searched without [extension.sparsity], so it has no sparse network to "
            "compare; add that table to the study file and search again"
        )
    if not _is_sparse(architecture):
        raise UsageError(
            f"{said} is dense already: both densities are 1, so there is nothing to compare; name "
            f"one with a density below 1, see nas trials {name}"
        )
    remark = _whole(architecture, setup)
    if remark:
        raise UsageError(
            f"{said} cannot be compared: {remark}; name another, see nas trials {name}"
        )
    return record, architecture


def _whole(architecture: Architecture, setup: Setup) -> str:
    """What is remarked of a network that keeps all weights and edges; "" of others."""
    if architecture.choices.get(_DENSITIES[1], 1) != 1:
        return ""
    return setup.marks(architecture).get(_START.rstrip("."), "")


def _is_sparse(architecture: Architecture) -> bool:
    return any(architecture.choices.get(density, 1) != 1 for density in _DENSITIES)


def _refuse_graphs(name: str, setup: Setup) -> None:
    if setup.dataset is None:
        raise UsageError(
            f'study "{name}" looked its results up in a table, so nothing can be trained; search '
            'with the evaluator "training" and a [dataset]'
        )
    if setup.task.is_graph_task:
        raise UsageError(
            f'study "{name}" classifies graphs; nas sparse compare counts the edges of one graph, '
            "so it takes studies of nodes"
        )


def _metric(setup: Setup) -> tuple[str, bool]:
    """The first objective that is measured on validation, else the dataset's own metric."""
    for metric, direction in setup.objectives.items():
        if metric.startswith("val_") and metric in setup.evaluator.metrics:
            return metric, direction == "minimize"
    return f"val_{setup.task.metric}", False


def _identity(
    name: str, record: TrialRecord, setup: Setup, architecture: Architecture, metric: str
) -> Mapping[str, Any]:
    spec = setup.spec
    return {
        "format": _FORMAT,
        "study": name,
        "trial": record.number,
        "architecture": architecture.key,
        "space": setup.space.versions,
        "extensions": [[plugin.name, thaw(plugin.options)] for plugin in spec.extension],
        "dataset": setup.task.fingerprint,
        "evaluator": [spec.evaluator.name, thaw(spec.evaluator.options)],
        "epochs": setup.evaluator.epochs,
        "metric": metric,
        "program": [__version__, NUMERICS_VERSION],
        "torch": importlib.metadata.version("torch"),
    }
