"""What the next rung of a trial takes: an answer from the record, or a job for a worker."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evaluators import ALIKE, Artifact, Evaluation, Inheritance, Job
from evaluators.artifacts import intact
from nas.batches import UnderWay
from nas.setup import LATENCY_NOTE, Setup
from nas.store.ledger import Ledger


class Jobs:
    """Makes the jobs of a study.

    Args:
        dataset: sealed; None where the evaluator looks results up.
    """

    def __init__(self, setup: Setup, ledger: Ledger, dataset: Artifact | None) -> None:
        self._setup, self._ledger, self._dataset = setup, ledger, dataset

    def key(self, trial: UnderWay) -> str:
        """Of the next rung."""
        return self.key_at(trial, self._setup.levels[trial.level])

    def key_at(self, trial: UnderWay, epoch: int) -> str:
        """Of an epoch; empty when weights are inherited, since such results are not shared."""
        return "" if trial.inherit is not None else self._setup.cache_key(trial.architecture, epoch)

    def known(self, trial: UnderWay) -> Evaluation | None:
        """What the record has of the next rung; it costs nothing."""
        key = self.key(trial)
        row = self._ledger.known(key) if key else None
        if row is None:
            return None
        until, metrics = self._setup.levels[trial.level], self._setup.shareable(row["metrics"])
        notes = {k: v for k, v in (row["notes"] or {}).items() if k != LATENCY_NOTE}
        return Evaluation(until, metrics, 0.0, self.checkpoint(row), notes=notes)

    def job(self, trial: UnderWay) -> Job:
        """The job of the next rung, from the trial's last checkpoint."""
        until = self._setup.levels[trial.level]
        job = self._setup.job(trial.architecture, self._dataset, self._ledger.artifacts, until)
        # A lost checkpoint costs time and nothing else: a shorter run is a prefix of a longer one.
        checkpoint = trial.checkpoint
        resume = checkpoint if checkpoint and intact(checkpoint) else None
        return replace(job, resume=resume, inherit=self._inherited(trial))

    def restore(
        self,
        trial: UnderWay,
        recorded: Sequence[Mapping[str, Any]],
        stopped: Mapping[str, Any] | None,
    ) -> None:
        """Give a trial what it has to go on from, and what that has cost.

        Args:
            recorded: its rungs, in their order.
            stopped: where it was stopped: epoch, artifact, seconds since the rung before.
        """
        trial.seconds = sum(row["seconds"] for row in recorded)
        trial.trained = trial.seconds > 0
        if recorded:
            trial.checkpoint = self.checkpoint(recorded[-1])
        if stopped and stopped["epoch"] > (recorded[-1]["epoch"] if recorded else 0):
            trial.checkpoint = self.checkpoint(stopped) or trial.checkpoint
            trial.carried_seconds = stopped["seconds"]

    def checkpoint(self, row: Mapping[str, Any]) -> Artifact | None:
        """The checkpoint of a recorded rung."""
        return Artifact(self._ledger.artifacts, row["artifact"]) if row["artifact"] else None

    def _inherited(self, trial: UnderWay) -> Inheritance | None:
        """The weights that a trial starts from; None where its parent has left none."""
        if trial.inherit is None:
            return None
        ledger, number = self._ledger, trial.inherit
        parent = ledger.patience(lambda: ledger.store.trial(ledger.name, number))
        if parent.artifact is None or parent.architecture is None:
            return None
        artifact = Artifact(ledger.artifacts, parent.artifact)
        return Inheritance(artifact, parent.architecture, trial.inherit_by or ALIKE)
