"""What becomes of a trial that was measured, in the record: a rung more, or its end."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from evaluators import Evaluation
from nas import judging
from nas.batches import UnderWay
from nas.constraints import total_violation
from nas.jobs import Jobs
from nas.judging import Verdict
from nas.record import TrialRecord, TrialState
from nas.setup import Setup
from nas.store.ledger import Ledger
from nas.store.owned import Ending


class Recorder:
    """Records the trials of one run.

    Args:
        warn: told what an evaluator warns of.
        ended: told of each trial that has ended, when that is recorded.
    """

    def __init__(
        self,
        setup: Setup,
        ledger: Ledger,
        jobs: Jobs,
        warn: Callable[[str], None],
        ended: Callable[[TrialRecord], None],
    ) -> None:
        self._setup, self._ledger, self._jobs = setup, ledger, jobs
        self._warn, self._ended = warn, ended
        self._told: set[str] = set()

    def by_facts(self, trial: UnderWay, verdict: Verdict) -> None:
        """End a trial that was not evaluated."""
        ending = Ending(
            state=verdict.outcome,
            metrics=verdict.metrics,
            violation=verdict.violation,
            failure=verdict.failure,
            notes={} if verdict.failure else self._marks(trial),
        )
        self._ended(self._ledger.end(trial.ordinal, ending))

    def record(self, trial: UnderWay, evaluation: Evaluation) -> int | None:
        """Record an evaluation; returns its row where it is a rung, and the trial has not ended."""
        self._warn(evaluation.notes.get("warning", ""))
        if evaluation.early == "stopped":
            self._stopped(trial, evaluation)
            return None
        seconds = evaluation.seconds + trial.carried_seconds
        trial.carried_seconds = 0.0
        trial.seconds += seconds
        verdict = judging.after(self._setup, trial.facts, evaluation)
        evaluation = replace(
            evaluation,
            metrics=verdict.metrics,
            failure=verdict.failure,
            seconds=seconds,
            notes={**evaluation.notes, **self._marks(trial)},
        )
        if verdict.outcome == "failed":
            self._end(trial, "failed", evaluation)
            return None
        key = self._jobs.key_at(trial, evaluation.epoch)
        if evaluation.early == "pruned":
            self._end(trial, "pruned", evaluation, verdict.violation, evaluation, key)
            return None
        if trial.level + 1 < len(self._setup.levels):
            trial.checkpoint = evaluation.artifact
            return self._ledger.append(trial.ordinal, evaluation, key)
        self._end(trial, verdict.outcome, evaluation, verdict.violation, evaluation, key)
        return None

    def prune(self, trial: UnderWay, metrics: Mapping[str, float]) -> None:
        """End a trial at its rung, where this was measured of it."""
        epoch = self._setup.levels[trial.level]
        last = Evaluation(epoch, metrics, artifact=trial.checkpoint)
        self._end(trial, "pruned", last, total_violation(self._setup.constraints, metrics))

    def _marks(self, trial: UnderWay) -> Mapping[str, str]:
        """The notes on its facts; of each kind the first is told."""
        marks = self._setup.marks(trial.architecture)
        for mark in "; ".join(marks.values()).split("; "):
            kind = mark.partition(":")[0]
            if kind not in self._told:
                self._told.add(kind)
                self._warn(mark)
        return marks

    def _stopped(self, trial: UnderWay, evaluation: Evaluation) -> None:
        """Keep where it was stopped, unless that is where it began."""
        if evaluation.artifact is not None:
            seconds = evaluation.seconds + trial.carried_seconds
            self._ledger.keep(trial.ordinal, evaluation, seconds)

    def _end(
        self,
        trial: UnderWay,
        state: TrialState,
        last: Evaluation,
        violation: float = 0.0,
        appended: Evaluation | None = None,
        key: str = "",
    ) -> None:
        """End a trial.

        Args:
            last: its last evaluation.
            appended: the same where it is yet to be recorded, under its cache key.
        """
        ending = Ending(
            state=state,
            metrics=last.metrics,
            violation=violation,
            epochs=last.epoch,
            seconds=trial.seconds,
            cached=not trial.trained,
            artifact=last.artifact.sha256 if last.artifact else None,
            failure=last.failure,
            notes=last.notes if last.failure else {},
        )
        self._ended(self._ledger.end(trial.ordinal, ending, appended, key))
