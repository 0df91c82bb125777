"""Retraining trials on fresh seeds: the seeds of a trial in batches, which train together."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import groupby, pairwise

from evaluators import Artifact, Evaluation, Job
from nas.executing import executed, made_executor
from nas.opening import Opened
from nas.record import TrialRecord
from nas.store.confirmations import store_confirmation
from nas.telling import Once
from search_spaces import UsageError

# Seeds of one trial that are retrained together, at most: what has ended of a batch is recorded, so
# an interruption costs no more than that for each worker.
_TOGETHER = 8


class ConfirmError(Exception):
    """A trial that could not be retrained."""


class Retraining:
    """Trains on sealed data, and records the validation of each retraining."""

    def __init__(
        self,
        study: Opened,
        progress: Callable[[int, int], None] | None,
        warn: Callable[[str], None] | None,
    ) -> None:
        self._study, self._setup = study, study.setup.alone
        self._progress = progress or (lambda *_: None)
        self._warn = Once(warn or (lambda _: None))
        self._ended = self._wanted = 0

    def run(self, missing: Sequence[tuple[TrialRecord, int]], wanted: int) -> None:
        """Train trials on seeds, those of one trial together; `wanted` counts what is there too."""
        if not missing:
            return
        if not self._setup.task.n_test:
            name = self._setup.spec.study.name
            raise UsageError(f'the dataset of study "{name}" has no test split to confirm on')
        artifacts = self._study.artifacts
        dataset = self._setup.sealed(artifacts)
        executor = made_executor(self._setup.spec)
        self._ended, self._wanted = wanted - len(missing), wanted
        queue = (
            ((trial, seeds), self._jobs(trial, seeds, dataset, artifacts))
            for trial, seeds in batches(missing, executor.workers)
        )
        with closing(executed(executor, queue)) as ended:
            for (trial, seeds), evaluations in ended:
                self._record(trial, seeds, evaluations)

    def _jobs(
        self, trial: TrialRecord, seeds: Sequence[int], dataset: Artifact | None, artifacts: str
    ) -> list[Job]:
        if trial.architecture is None:
            raise ConfirmError(f"trial {trial.number} has no architecture")
        epochs = self._setup.evaluator.epochs
        job = self._setup.job(trial.architecture, dataset, artifacts, epochs)
        return [replace(job, seed=seed, may_be_pruned=False) for seed in seeds]

    def _record(
        self, trial: TrialRecord, seeds: Sequence[int], evaluations: Sequence[Evaluation]
    ) -> None:
        """Record a batch, seed by seed; a failure is raised when the others are recorded."""
        failures: list[str] = []
        for seed, evaluation in zip(seeds, evaluations, strict=True):
            self._warn(evaluation.notes.get("warning", ""))
            if evaluation.failure is not None:
                failures.append(f"{seed}: {evaluation.failure.kind}: {evaluation.failure.message}")
                continue
            if evaluation.artifact is None:
                raise ConfirmError("the evaluator keeps no checkpoint, so there is nothing to test")
            sha256, metrics = evaluation.artifact.sha256, evaluation.metrics
            store, study = self._study.store, self._study.id
            store_confirmation(store, study, trial.number, seed, metrics, sha256)
            self._ended += 1
            self._progress(self._ended, self._wanted)
        if failures:
            raise ConfirmError(
                f"trial {trial.number} failed when it was retrained on seed {failures[0]}"
            )


def batches(
    missing: Sequence[tuple[TrialRecord, int]], workers: int
) -> Iterator[tuple[TrialRecord, Sequence[int]]]:
    """Seeds of one trial to retrain together, so few that no worker is left without any."""
    largest = min(_TOGETHER, -(-len(missing) // workers))
    for _, group in groupby(missing, key=lambda pair: pair[0].number):
        pairs = list(group)
        pieces = -(-len(pairs) // largest)
        bounds = [len(pairs) * piece // pieces for piece in range(pieces + 1)]
        for start, end in pairwise(bounds):
            yield pairs[start][0], [seed for _, seed in pairs[start:end]]
