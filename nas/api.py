"""The Python API, of which the command line is a twin: searches and comparisons."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators import artifacts
from nas import study
from nas._options import thaw
from nas.handle import Study
from nas.looking import DEFAULT_DATA_ROOT, DEFAULT_STORAGE
from nas.setup import PYTHON_SPACE
from nas.spec import StudySpec, load_spec, spec_from_mapping
from nas.store import Store
from nas.telling import Report
from search_spaces import SearchSpace, UsageError

if TYPE_CHECKING:
    from nas.compare import Comparison, Standing


def search(
    spec: StudySpec | Mapping[str, Any] | Path | str | None = None,
    *,
    data: Any = None,
    space: SearchSpace | None = None,
    storage: str = DEFAULT_STORAGE,
    data_root: Path | str = DEFAULT_DATA_ROOT,
    progress: Report | None = None,
    overrides: Sequence[str] = (),
) -> Study:
    """Search for an architecture, and return the study.

    Args:
        spec: a study file, its tables as a mapping, or a `StudySpec`.
        data: a PyG `Data` object (its nodes are classified), or a list of them (they are), in place
            of the specification's dataset. It is kept with the study's artifacts, so that the study
            can be resumed and exported without it.
        space: made in Python, in place of the specification's; resuming needs it again.
        storage: URL of the database.
        data_root: where raw public datasets lie.
        progress: called after each trial, and about once a second.
        overrides: "table.key=value", as `--set`.

    Raises:
        UsageError: something is wrong with the arguments; nothing is stored.
        StudyFailedError: ten candidates in a row failed.
    """
    checked = _spec(spec, data, space, storage, overrides)
    study.search(
        checked, storage=storage, data_root=Path(data_root), progress=progress, space=space
    )
    return Study(checked.study.name, storage=storage, data_root=data_root, space=space)


def compare(
    spec: StudySpec | Mapping[str, Any] | Path | str,
    strategies: Sequence[str],
    *,
    seeds: int | Sequence[int] = 10,
    trials: int | None = None,
    reference: Mapping[str, float] | None = None,
    workers: int = 1,
    data: Any = None,
    space: SearchSpace | None = None,
    storage: str | None = DEFAULT_STORAGE,
    data_root: Path | str = DEFAULT_DATA_ROOT,
    progress: Callable[["Standing"], None] | None = None,
    overrides: Sequence[str] = (),
) -> "Comparison":
    """Run strategies side by side with random search, and return the comparison.

    >>> comparison = compare("study.toml", ["tpe", "evolution:population=20"])  # doctest: +SKIP
    >>> comparison.rows()[1].difference_to_random                               # doctest: +SKIP

    Args:
        spec, data, space, data_root, overrides: as for `search`.
        strategies: "name" or "name:option=value:..."; random search is added.
        seeds: how many, from the study's own on; or which.
        trials: evaluations of each run; by default those of the study's budget.
        reference: the point up to which hypervolumes are measured, for several objectives.
        workers: processes, which begin with what the calling script imports: put the call under
            `if __name__ == "__main__":`. 1 runs in this process.
        storage: URL of the database that keeps the runs; None keeps none.
        progress: called as runs go on.

    Raises:
        UsageError: something is wrong with the arguments; no run has begun.
        ComparisonError: the candidates of a run fail, or a worker process died.
    """
    from nas.compare import compare as compare_strategies

    return compare_strategies(
        _spec(spec, data, space, storage or DEFAULT_STORAGE, overrides),
        strategies,
        seeds=seeds,
        trials=trials,
        reference=reference,
        workers=workers,
        storage=storage,
        data_root=Path(data_root),
        space=space,
        progress=progress,
    )


def _spec(
    spec: StudySpec | Mapping[str, Any] | Path | str | None,
    data: Any,
    space: SearchSpace | None,
    storage: str,
    overrides: Sequence[str],
) -> StudySpec:
    """The specification with what was made in Python in the places of its dataset and space."""
    if overrides and not isinstance(spec, Path | str):
        raise UsageError("overrides go with the path of a study file; change the tables instead")
    if isinstance(spec, Path | str):
        spec = load_spec(Path(spec), overrides)
    tables = spec.to_json() if isinstance(spec, StudySpec) else dict(spec or {})
    if isinstance(spec, StudySpec):
        tables["study"]["objectives"] = dict(spec.study.objectives)
        tables["extension"] = {e.name: thaw(e.options) for e in spec.extension}
    tables.setdefault("study", {"name": "study"})
    tables.setdefault("budget", {"trials": 20})
    if data is not None:
        own = ("name", "path", "nodes", "edges")
        kept = {k: v for k, v in tables.get("dataset", {}).items() if k not in own}
        tables["dataset"] = {**kept, "name": "graph_file", "path": str(keep_graph(data, storage))}
    if space is not None:
        tables["space"] = {"name": PYTHON_SPACE}
    return spec_from_mapping(tables, "the arguments of nas.search")


def keep_graph(data: Any, storage: str) -> Path:
    """Write a graph from memory into the database's artifact store, and return the file."""
    from evaluators.datasets import save_graph

    store = Store(storage).new_artifacts()
    with tempfile.TemporaryDirectory() as temporary:
        written = Path(temporary) / "graph.npz"
        save_graph(written, data)
        return artifacts.path(artifacts.write(store, written.read_bytes()))
