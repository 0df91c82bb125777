"""A study in a database, to go on with from Python and to leave with."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nas import study
from nas.bundling import recorded
from nas.confirm import confirm
from nas.export.bundle import export_trial
from nas.latency.front import remeasure
from nas.looking import Recorded
from nas.record import Confirmation, StudyStatus, TrialRecord
from nas.telling import Report

if TYPE_CHECKING:
    from nas.quantizing import Manner, Quantized
    from nas.scaling import Scaling
    from nas.sparse import SparseComparison
    from nas.supernet import Measure
    from nas.supernet.specialising import Specialisation


class Study(Recorded):
    """A study in a database.

    >>> study = Study("quickstart")                                         # doctest: +SKIP
    >>> study.front()[0].metrics["val_accuracy"]                            # doctest: +SKIP

    Raises:
        StoreError: no such study.
    """

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


def _record(storage: str, manifest: Mapping[str, Any]) -> None:
    if why := recorded(storage, manifest):
        warnings.warn(why, stacklevel=3)
