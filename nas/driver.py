"""The driver: takes the trials of one run from their reservation to their end, batch by batch.

Every step is recorded before the next one begins, in this order: a batch's ordinals, the proposal
of each, Optuna's twins, evaluation and end of each, twin's end. Whatever moment it is killed at,
the next run finds its trials, and goes on with each where the record says.
"""

import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain

from evaluators import Artifact, Evaluation, Executor
from nas import budget as stopping
from nas import judging
from nas.batches import Flying, Ready
from nas.constraints import total_violation
from nas.fold import RecordFold
from nas.halving import Decision, Halving
from nas.jobs import Jobs
from nas.judging import Verdict
from nas.proposing import Proposer
from nas.record import Progress, TrialRecord, TrialState
from nas.setup import Setup
from nas.store import Store
from nas.store.ledger import Ending, Ledger, Reserved
from nas.store.optuna_twin import OptunaTwin

Report = Callable[[Progress], None]


class StudyFailedError(Exception):
    """The study cannot go on: its candidates fail one after the other."""


class Driver:
    """One run of one study, from its first orphan to the end of its budget."""

    def __init__(
        self,
        store: Store,
        setup: Setup,
        book: Ledger,
        twin: OptunaTwin,
        executor: Executor,
        dataset: Artifact | None,
        artifacts: str,
        progress: Report | None,
    ) -> None:
        self._store = store
        self._setup = setup
        self._book = book
        self._twin = twin
        self._executor = executor
        self._jobs = Jobs(store, setup, book, dataset, artifacts)
        self._report = progress or _in_python
        self._name = setup.spec.study.name
        self._fold = RecordFold(setup)
        self._proposer = Proposer(store, setup, book, self._fold)
        self._halving = Halving[Flying](setup, book)
        self._ready = Ready(setup.batch)
        # By the executor's handle.
        self._flying: dict[int, list[Flying]] = {}
        self._began = time.monotonic()
        self._ended_here = 0
        self._warned: set[str] = set()
        with store.reading() as connection:
            row = store.row(connection, self._name)
        self._seconds_before = float(row["seconds"])

    def run(self) -> str:
        """Run until the budget is spent; returns why it stopped."""
        spec = self._setup.spec
        self._book.set_budget(spec.to_json()["budget"], spec.budget.trials)
        self._fold.advance(self._book, last=None)
        self._fold.forgive()
        if self._setup.dataset is not None:
            said = f"{self._setup.dataset.name}, {self._setup.task.n_nodes} nodes"
            self._tell(message=f"dataset: {said}")
        self._recover()
        while True:
            reason = self._fill()
            if not self._flying:
                return self._finish(reason)
            for handle, evaluations in self._executor.wait(1.0).items():
                self._measured(self._flying.pop(handle), evaluations)
            self._tell()

    def _fill(self) -> str:
        """Give a batch to every free worker; returns why no trial is begun any more, or nothing.

        With one worker each step follows from the record alone: what a bracket has promoted goes
        before new trials, and one that is not full closes when nothing else can be done.
        """
        reason = ""
        while len(self._flying) < self._executor.workers:
            reason = self._stop_reason()
            if self._settle(closing=False):
                continue
            if self._ready:
                self._submit(self._ready.take(self._proposer.ahead, self._executor.workers))
                continue
            fresh = [] if reason else self._proposer.fresh()
            for reserved in fresh:
                self._begin(reserved)
            if not fresh and (self._flying or not self._settle(closing=True)):
                break
        return reason

    def _recover(self) -> None:
        """Close the twins of ended trials, and take over orphans where the record has them."""
        orphans = self._book.claim()
        waiting = {orphan.ordinal for orphan in orphans}
        for ordinal in self._twin.open_ordinals():
            if ordinal not in waiting:
                self._end_twin(self._store.trial(self._name, ordinal))
        # An ordinal that was reserved and not proposed for is proposed for now, from the record as
        # it was then; such orphans come first, in the order of what they had seen.
        begun = [orphan for orphan in orphans if orphan.architecture is not None]
        bare = [orphan for orphan in orphans if orphan.architecture is None]
        begun += self._proposer.proposed(sorted(bare, key=lambda o: (o.last_seq, o.ordinal)))
        for orphan in sorted(begun, key=lambda o: o.ordinal):
            self._begin(orphan)

    def _stop_reason(self) -> str:
        self._fold.advance(self._book, last=None)
        standing = self._fold.standing
        if standing.faults_in_a_row >= stopping.FAULTS_IN_A_ROW:
            raise StudyFailedError(
                f"{standing.faults_in_a_row} candidates in a row failed, the last one with: "
                f"{standing.last_fault}; see `nas trials {self._name}`, mend the cause, then go on "
                f"with: nas resume {self._name}"
            )
        if self._proposer.exhausted:
            return f"the space is exhausted: all {standing.ended} architectures are evaluated"
        seconds = self._seconds_before + time.monotonic() - self._began
        return stopping.stop_reason(self._fold.budget, standing, seconds)

    def _begin(self, reserved: Reserved) -> None:
        """Cheap facts first; then from the last rung that the record has."""
        if reserved.architecture is None:
            return
        trial = Flying(reserved.ordinal, reserved.architecture, reserved.inherit)
        self._twin.start(trial.ordinal, trial.architecture)
        trial.facts, trial.verdict = judging.before(self._setup, trial.architecture)
        recorded = self._book.rungs(trial.ordinal)
        if not recorded:
            self._ready.add(trial)
            return
        trial.level = self._setup.levels.index(recorded[-1]["epoch"])
        trial.seconds = sum(row["seconds"] for row in recorded)
        trial.trained = trial.seconds > 0
        trial.checkpoint = self._jobs.checkpoint(recorded[-1])
        self._follow(self._halving.measured(trial, recorded[-1]["id"]))

    def _submit(self, batch: list[Flying]) -> None:
        """Send a batch to a worker, but for what is known of it; with nothing else, record that."""
        for trial in batch:
            trial.known = None if trial.verdict else self._jobs.known(trial)
        asked = [trial for trial in batch if not trial.verdict and not trial.known]
        if asked:
            jobs = [self._jobs.job(trial) for trial in asked]
            self._flying[self._executor.submit(jobs)] = batch
        else:
            self._measured(batch, ())

    def _measured(self, batch: Iterable[Flying], evaluations: Iterable[Evaluation]) -> None:
        """Record a batch by its ordinals, so that a killed study has the first of them.

        Args:
            evaluations: of the trials that were sent to a worker.
        """
        answers = iter(evaluations)
        for trial in batch:
            if trial.verdict is not None:
                self._end(trial, _by_facts(trial.verdict))
            elif trial.known is not None:
                self._record(trial, trial.known)
            else:
                trial.trained = True
                self._record(trial, next(answers))

    def _record(self, trial: Flying, evaluation: Evaluation) -> None:
        """Record a rung; end the trial, or let it go on."""
        self._warn(evaluation)
        trial.seconds += evaluation.seconds
        verdict = judging.after(self._setup, trial.facts, evaluation)
        evaluation = replace(evaluation, metrics=verdict.metrics, failure=verdict.failure)
        if verdict.outcome == "failed":
            return self._end(trial, self._ending(trial, "failed", evaluation, 0.0))
        key = self._jobs.key(trial)
        if trial.level + 1 < len(self._setup.levels):
            trial.checkpoint = evaluation.artifact
            row = self._book.append(trial.ordinal, evaluation, key)
            return self._follow(self._halving.measured(trial, row))
        ending = self._ending(trial, verdict.outcome, evaluation, verdict.violation)
        return self._end(trial, ending, evaluation, key)

    def _warn(self, evaluation: Evaluation) -> None:
        """Pass a warning of the evaluator on, once in this run; the record has it with each."""
        for warning in evaluation.notes.get("warning", "").split("; "):
            if warning and warning not in self._warned:
                self._warned.add(warning)
                self._tell(message=f"warning: {warning}")

    def _settle(self, *, closing: bool) -> bool:
        """Follow the decisions on a bracket, if there is one to decide on.

        Args:
            closing: whether one that is not full counts: nothing more will join it.
        """
        under_way = [*chain.from_iterable(self._flying.values()), *self._ready]
        decisions = self._halving.settle(
            under_way, self._proposer.begun, closing=closing, below=self._ready.level
        )
        self._follow(decisions)
        return bool(decisions)

    def _follow(self, decisions: Iterable[Decision[Flying]]) -> None:
        """Prune trials, and line up those that go on."""
        for decision in decisions:
            trial = decision.trial
            if decision.goes_on:
                trial.level += 1
                self._ready.add(trial)
                continue
            epoch = self._setup.levels[trial.level]
            last = Evaluation(epoch, decision.metrics, artifact=trial.checkpoint)
            violation = total_violation(self._setup.constraints, decision.metrics)
            self._end(trial, self._ending(trial, "pruned", last, violation))

    def _ending(
        self, trial: Flying, state: TrialState, evaluation: Evaluation, violation: float
    ) -> Ending:
        return Ending(
            state=state,
            metrics=evaluation.metrics,
            violation=violation,
            epochs=evaluation.epoch,
            seconds=trial.seconds,
            cached=not trial.trained,
            artifact=evaluation.artifact.sha256 if evaluation.artifact else None,
            failure=evaluation.failure,
            notes=evaluation.notes if evaluation.failure else {},
        )

    def _end(
        self, trial: Flying, ending: Ending, evaluation: Evaluation | None = None, key: str = ""
    ) -> None:
        record = self._book.end(trial.ordinal, ending, evaluation, key)
        self._end_twin(record)
        self._ended_here += 1
        self._tell(last=record)

    def _end_twin(self, record: TrialRecord) -> None:
        violations = {
            str(c): c.violation(record.metrics) or 0.0
            for c in self._setup.constraints
            if c.metric in record.metrics
        }
        self._twin.end(record, violations)

    def _finish(self, reason: str) -> str:
        self._tell()
        reason = reason or self._stop_reason() or "all trials are given out"
        status = self._store.status(self._name)
        if status.trials.infeasible and not status.trials.complete:
            trials = [t for t in self._store.trials(self._name) if t.state == "infeasible"]
            nearest = min(trials, key=lambda t: (t.violation, t.number))
            bounds = ", ".join(str(c) for c in self._setup.constraints)
            reason += f"; none satisfied {bounds}, trial {nearest.number} came nearest"
        return reason

    def _tell(self, last: TrialRecord | None = None, message: str = "") -> None:
        status = self._store.status(self._name)
        minutes = (time.monotonic() - self._began) / 60
        rate = self._ended_here / minutes if minutes > 0 else 0.0
        left = None
        if status.target is not None and rate > 0:
            left = max(0, status.target - status.trials.ended) / rate * 60
        budget = self._setup.spec.budget.seconds
        if budget is not None:
            rest = max(0.0, budget - self._seconds_before - minutes * 60)
            left = rest if left is None else min(left, rest)
        self._report(Progress(status, last, rate, left, message))


def _by_facts(verdict: Verdict) -> Ending:
    """How a trial ends that was not evaluated."""
    return Ending(verdict.outcome, verdict.metrics, verdict.violation, failure=verdict.failure)


def _in_python(progress: Progress) -> None:
    """Where nobody asked to be told: warnings are Python's own."""
    what, _, text = progress.message.partition("warning: ")
    if text and not what:
        warnings.warn(text, stacklevel=2)
