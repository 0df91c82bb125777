"""The Python API, of which the command line is a twin: `search`, and a `Study` to look at."""

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evaluators import PreparedEpoch, artifacts
from nas import study
from nas._options import thaw
from nas.bundling import recorded
from nas.confirm import confirm
from nas.drawing import Drawing, draw_trial
from nas.export.bundle import export_trial
from nas.latency.front import remeasure
from nas.record import Confirmation, StudyStatus, TrialRecord
from nas.setup import PYTHON_SPACE
from nas.spec import StudySpec, load_spec, spec_from_mapping
from nas.store import Store
from nas.store.bundles import stored_bundles
from nas.telling import Report
from search_spaces import SearchSpace, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from nas.compare import Comparison, Standing
    from nas.quantizing import Manner, Quantized
    from nas.scaling import Scaling
    from nas.sparse import SparseComparison
    from nas.supernet import Measure
    from nas.supernet.specialising import Specialisation

DEFAULT_STORAGE = "sqlite:///nas.db"
DEFAULT_DATA_ROOT = Path("data")


class Study:
    """A study in a database.

    >>> study = Study("quickstart")                                         # doctest: +SKIP
    >>> study.front()[0].metrics["val_accuracy"]                            # doctest: +SKIP

    Raises:
        StoreError: no such study.
    """

    def __init__(
        self,
        name: str,
        *,
        storage: str = DEFAULT_STORAGE,
        data_root: Path | str = DEFAULT_DATA_ROOT,
        space: SearchSpace | None = None,
    ) -> None:
        self.name = name
        self.storage = storage
        self.data_root = Path(data_root)
        self._space = space
        self._store = Store.open_existing(storage)
        self._store.status(name)

    def status(self) -> StudyStatus:
        """Counts, best values, time spent."""
        return self._store.status(self.name)

    def trials(self) -> list[TrialRecord]:
        """All trials, by number."""
        return self._store.trials(self.name)

    def trial(self, number: int) -> TrialRecord:
        """One trial."""
        return self._store.trial(self.name, number)

    def draw(self, number: int) -> Drawing:
        """A trial's architecture as SVG: a string, which a notebook shows as an image."""
        return draw_trial(self._store, self.name, number, self._space)

    def front(self) -> list[TrialRecord]:
        """The feasible trials that no other dominates, the best in the first objective first.

        Latency counts as it was measured, where it was: `metrics` has what was predicted,
        `measured` what was measured, and `settled` what counts.
        """
        return self._store.front(self.name)

    def prepared_epochs(self, key: str) -> Sequence[PreparedEpoch]:
        """What was recorded of a preparation, epoch by epoch; `status().preparations` has keys."""
        return self._store.prepared_epochs(self.name, key)

    def to_frame(self) -> "pd.DataFrame":
        """One row a trial: its number, state, epochs, seconds, cached, then decisions and metrics.

        Where latency was measured on the device, `measured_latency_ms` has it.
        """
        import pandas as pd

        rows = []
        for trial in self.trials():
            row = trial.to_json()
            decisions, metrics = row.pop("decisions"), row.pop("metrics")
            row["failure"] = (row["failure"] or {}).get("kind")
            if measured := row.pop("measured"):
                metrics["measured_latency_ms"] = measured["latency_ms"]
            rows.append({**row, **decisions, **metrics})
        return pd.DataFrame(rows)

    def resume(
        self,
        *,
        trials: int | None = None,
        seconds: float | None = None,
        accept_device: bool = False,
        progress: Report | None = None,
    ) -> StudyStatus:
        """Continue, up to `trials` in total; a finished study is left as it is."""
        return study.resume(
            self.name,
            storage=self.storage,
            data_root=self.data_root,
            trials=trials,
            seconds=seconds,
            accept_device=accept_device,
            progress=progress,
            space=self._space,
        )

    def remeasure(self, *, progress: Report | None = None) -> list[TrialRecord]:
        """Measure the latency of what is not measured of the front, on this device; the front."""
        return remeasure(
            self.name,
            storage=self.storage,
            data_root=self.data_root,
            progress=progress,
            space=self._space,
        )

    def work(self, *, progress: Report | None = None) -> StudyStatus:
        """Drive it beside other processes that do, until nothing is left to do."""
        return study.work(
            self.name,
            storage=self.storage,
            data_root=self.data_root,
            progress=progress,
            space=self._space,
        )

    def confirm(
        self, *, top: int = 5, seeds: int = 10, trials: Sequence[int] = ()
    ) -> list[Confirmation]:
        """Retrain the best trials on fresh seeds, rank them on validation, then measure test."""
        return confirm(
            self.name,
            storage=self.storage,
            data_root=self.data_root,
            top=top,
            seeds=seeds,
            trials=trials,
            space=self._space,
        )

    def compare_sparse(
        self,
        trial: int | Literal["best"] = "best",
        *,
        seeds: int = 10,
        to: Path | str | None = None,
    ) -> "SparseComparison":
        """A sparse trial beside its dense parent and a random network with exactly as much left.

        >>> study.compare_sparse().verdict                                  # doctest: +SKIP
        'not better than random at this density'

        Args:
            trial: its number, or "best": the first sparse one of what is confirmed, else of the
                front.
            seeds: fresh ones, the same for all three.
            to: a file that keeps each training as it ends, and from which an interrupted comparison
                goes on.

        Raises:
            UsageError: nothing in the trial is sparse, or it is of a study of graphs.
        """
        from nas.sparse import compare_sparse

        return compare_sparse(
            self.name,
            trial,
            storage=self.storage,
            data_root=self.data_root,
            seeds=seeds,
            to=None if to is None else Path(to),
            space=self._space,
        )

    def scale(
        self,
        *,
        macs: Sequence[float] = (),
        ratios: Sequence[float] = (),
        trial: int | None = None,
    ) -> "Scaling":
        """Networks like the front's best, or like `trial`, at budgets of macs.

        >>> scaling = study.scale(macs=[5e6], ratios=[0.1, 0.25])           # doctest: +SKIP
        >>> scaling.rows[0].architecture, scaling.rows[0].depth_sd          # doctest: +SKIP

        Args:
            macs: budgets; `ratios`: further ones, in macs of the base.
            trial: whose network is scaled.

        Raises:
            UsageError: the study has no rule, or no network comes near a budget.
        """
        from nas.scaling import scale

        return scale(
            self.name,
            storage=self.storage,
            data_root=self.data_root,
            macs=macs,
            ratios=ratios,
            trial=trial,
        )

    def specialise(
        self,
        latency: Sequence[float],
        *,
        device: str | None = None,
        strategy: str = "linas",
        evaluations: int = 1_000,
        rank_by: "Measure" = "foreseen",
        fine_tune_epochs: int | None = None,
        confidence: float | None = None,
        accept_device: bool = False,
        measure: bool = True,
        out: Path | str | None = None,
        retrain: bool = False,
        formats: Sequence[str] = (),
        write_study: Path | str | None = None,
    ) -> "Specialisation":
        """The best slice of the study's supernet within each bound on latency.

        >>> found = study.specialise([2, 5, 10], device="laptop")           # doctest: +SKIP
        >>> found.winners[0].architecture, found.winners[0].metrics         # doctest: +SKIP

        Args:
            latency: bounds in ms.
            device, strategy, evaluations, rank_by, fine_tune_epochs, confidence, accept_device: see
                `nas.supernet.specialising.Request`.
            measure: whether winners are measured, where this is the device.
            out, retrain, formats, write_study: where winners go, see `Leaving` there.

        Raises:
            UsageError: the study has no trained supernet, nothing keeps a bound, or no such device.
        """
        from nas.supernet.specialising import Leaving, Request, specialise

        return specialise(
            self.name,
            Request(
                tuple(latency),
                device,
                strategy,
                evaluations,
                rank_by,
                fine_tune_epochs,
                accept_device,
                confidence,
                measure,
            ),
            storage=self.storage,
            data_root=self.data_root,
            leaving=Leaving(
                None if out is None else Path(out),
                retrain,
                tuple(formats),
                None if write_study is None else Path(write_study),
            ),
            space=self._space,
        )

    def export(
        self,
        to: Path | str,
        trial: int | Literal["best"] = "best",
        *,
        formats: Sequence[str] = (),
        gives_both: bool = False,
    ) -> dict[str, Any]:
        """Write a trial as a bundle that runs without this program; returns its manifest.

        Its digest is recorded with the trial; a database that cannot take it is warned of.

        Args:
            to: the folder to make.
            trial: its number, or the best.
            formats: of the programs, as pt2, aoti, onnx; pt2 is always among them.
            gives_both: whether callers give each edge of an undirected graph in both directions.
        """
        manifest = export_trial(
            self.name,
            trial,
            Path(to),
            storage=self.storage,
            data_root=self.data_root,
            space=self._space,
            formats=formats,
            gives_both=gives_both,
        )
        _record(self.storage, manifest)
        return manifest

    def bundles(self, trial: int) -> list[dict[str, Any]]:
        """What is recorded of a trial's bundles: digest, formats, and when each was written."""
        return stored_bundles(self._store, self.name, trial)

    def report(self, to: Path | str) -> Path:
        """Write the study as one page of HTML that needs nothing else; returns where.

        Raises:
            UsageError: plotly is not installed, or the file cannot be written.
        """
        from nas.reporting import write

        return write(self.storage, self.name, Path(to))

    def quantize(
        self,
        to: Path | str,
        trial: int | Literal["best"] = "best",
        *,
        manner: "Manner | None" = None,
        formats: Sequence[str] = (),
    ) -> "Quantized":
        """Write a trained trial as a bundle of few bits, without training it again.

        >>> from nas.quantizing import Manner                               # doctest: +SKIP
        >>> study.quantize("bundle", manner=Manner(weight_bits="4")).after  # doctest: +SKIP

        Raises:
            UsageError: its bits are decided already, by an extension, or the manner does not go.
        """
        from nas.quantizing import Manner, quantize_trial

        done = quantize_trial(
            self.name,
            trial,
            Path(to),
            manner or Manner(),
            storage=self.storage,
            data_root=self.data_root,
            space=self._space,
            formats=formats,
        )
        _record(self.storage, done.manifest)
        return done

    def __repr__(self) -> str:
        return f"Study({self.name!r}, {self.status().trials.ended} trials)"


def _record(storage: str, manifest: Mapping[str, Any]) -> None:
    if why := recorded(storage, manifest):
        warnings.warn(why, stacklevel=3)


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
