"""The driver: takes each trial of one run from its reservation to its end.

Every step is recorded before the next one begins, in this order: ordinal, proposal, Optuna's twin,
evaluation and end, twin's end. Whatever moment it is killed at, the next run finds its trials, and
goes on with each where the record says.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from evaluators import Artifact, Evaluation, Executor
from evaluators.artifacts import intact
from nas import budget as stopping
from nas import judging
from nas.constraints import total_violation
from nas.fold import RecordFold
from nas.halving import Decision, Halving
from nas.record import Progress, TrialRecord, TrialState
from nas.setup import Setup
from nas.store import Store
from nas.store.ledger import Ending, Ledger, Reserved
from nas.store.optuna_twin import OptunaTwin
from nas.strategies import Proposal
from search_spaces import Architecture

Report = Callable[[Progress], None]


class StudyFailedError(Exception):
    """The study cannot go on: its candidates fail one after the other."""


@dataclass
class Flying:
    """A trial under way: what is known of it, and at which rung it is."""

    ordinal: int
    architecture: Architecture
    inherit: int | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    level: int = 0
    seconds: float = 0.0
    trained: bool = False
    checkpoint: Artifact | None = None


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
        self._dataset = dataset
        self._artifacts = artifacts
        self._report = progress or (lambda _: None)
        self._name = setup.spec.study.name
        self._fold = RecordFold(setup)
        self._orphans: deque[Reserved] = deque()
        self._flying: dict[int, Flying] = {}
        self._halving = Halving[Flying](setup, book)
        # Promoted at a rung, for the next free worker.
        self._ready: deque[Flying] = deque()
        self._began = time.monotonic()
        self._ended_here = 0
        with store.reading() as connection:
            row = store.row(connection, self._name)
        self._start = [Architecture.from_json(value) for value in row["start"]]
        self._seconds_before = float(row["seconds"])
        self._begun = int(row["next_ordinal"])
        self._exhausted = False

    def run(self) -> str:
        """Run until the budget is spent; returns why it stopped."""
        spec = self._setup.spec
        self._book.set_budget(spec.to_json()["budget"], spec.budget.trials)
        self._orphans = self._recover()
        self._fold.advance(self._book, last=None)
        self._fold.forgive()
        if self._setup.dataset is not None:
            said = f"{self._setup.dataset.name}, {self._setup.task.n_nodes} nodes"
            self._tell(message=f"dataset: {said}")
        while True:
            reason = self._fill()
            if not self._flying:
                return self._finish(reason)
            for handle, evaluations in self._executor.wait(1.0).items():
                self._measured(self._flying.pop(handle), evaluations[0])
            self._tell()

    def _fill(self) -> str:
        """Give work to every free worker; returns why no trial is begun any more, or nothing.

        With one worker each step follows from the record alone: what a bracket has promoted goes
        before a new trial, and one that is not full closes when nothing else can be done.
        """
        reason = ""
        while len(self._flying) < self._executor.workers:
            reason = self._stop_reason()
            if self._settle(closing=False):
                continue
            if self._ready:
                self._submit(self._ready.popleft())
                continue
            reserved = self._next(reason)
            if reserved is not None:
                self._begin(reserved)
            elif self._flying or not self._settle(closing=True):
                break
        return reason

    def _recover(self) -> deque[Reserved]:
        """Close the twins of ended trials, take over orphans, fold the record."""
        orphans = self._book.claim()
        waiting = {orphan.ordinal for orphan in orphans}
        for ordinal in self._twin.open_ordinals():
            if ordinal not in waiting:
                self._end_twin(self._store.trial(self._name, ordinal))
        # An ordinal that was reserved and not proposed for is proposed for now, from the record as
        # it was then; such orphans come first, in the order of what they had seen.
        return deque(sorted(orphans, key=lambda o: (o.architecture is not None, o.last_seq)))

    def _stop_reason(self) -> str:
        self._fold.advance(self._book, last=None)
        standing = self._fold.standing
        if standing.faults_in_a_row >= stopping.FAULTS_IN_A_ROW:
            raise StudyFailedError(
                f"{standing.faults_in_a_row} candidates in a row failed, the last one with: "
                f"{standing.last_fault}; see `nas trials {self._name}`, mend the cause, then go on "
                f"with: nas resume {self._name}"
            )
        if self._exhausted:
            return f"the space is exhausted: all {standing.ended} architectures are evaluated"
        seconds = self._seconds_before + time.monotonic() - self._began
        return stopping.stop_reason(self._fold.budget, standing, seconds)

    def _next(self, reason: str) -> Reserved | None:
        """The next trial with its architecture, recorded; None when there is nothing to start."""
        while self._orphans:
            orphan = self._orphans.popleft()
            proposed = orphan if orphan.architecture else self._propose(orphan)
            if proposed is not None:
                return proposed
        if reason or self._exhausted:
            return None
        fresh = self._book.reserve(self._setup.spec.budget.trials)
        if fresh is None:
            return None
        self._begun = fresh.ordinal + 1
        return self._propose(fresh)

    def _propose(self, reserved: Reserved) -> Reserved | None:
        pending = self._book.architectures(reserved.pending)
        if reserved.ordinal < len(self._start):
            proposal = Proposal(reserved.ordinal, self._start[reserved.ordinal])
        else:
            proposed = self._fold.propose(self._book, reserved, pending)
            if proposed is None:
                self._exhausted = True
                self._begun = self._book.withdraw(reserved.ordinal)
                return None
            proposal = proposed
        architecture, inherit = proposal.architecture, proposal.inherit
        self._book.propose(reserved.ordinal, architecture, inherit, proposal.note)
        return replace(reserved, architecture=architecture, inherit=inherit)

    def _begin(self, reserved: Reserved) -> None:
        """Cheap facts first; then from the last rung that the record has."""
        if reserved.architecture is None:
            return None
        trial = Flying(reserved.ordinal, reserved.architecture, reserved.inherit)
        self._twin.start(trial.ordinal, trial.architecture)
        trial.facts, verdict = judging.before(self._setup, trial.architecture)
        if verdict is not None:
            ended = Ending(
                verdict.outcome, verdict.metrics, verdict.violation, failure=verdict.failure
            )
            return self._end(trial, ended)
        recorded = self._book.rungs(trial.ordinal)
        if recorded:
            trial.level = self._setup.levels.index(recorded[-1]["epoch"])
            trial.seconds = sum(row["seconds"] for row in recorded)
            trial.trained = trial.seconds > 0
            trial.checkpoint = _artifact(recorded[-1], self._artifacts)
            self._follow(self._halving.measured(trial, recorded[-1]["id"]))
        else:
            self._submit(trial)
        return None

    def _submit(self, trial: Flying) -> None:
        """Answer the next rung from the record, or send it to a worker."""
        until = self._setup.levels[trial.level]
        key = self._cache_key(trial)
        known = self._book.known(key) if key else None
        if known is not None:
            artifact = _artifact(known, self._artifacts)
            return self._measured(trial, Evaluation(until, known["metrics"], 0.0, artifact))
        job = self._setup.job(trial.architecture, self._dataset, self._artifacts, until)
        # A lost checkpoint costs time and nothing else: a shorter run is a prefix of a longer one.
        checkpoint = trial.checkpoint
        resume = checkpoint if checkpoint and intact(checkpoint) else None
        job = replace(job, resume=resume, inherit=self._inherited(trial))
        trial.trained = True
        self._flying[self._executor.submit([job])] = trial
        return None

    def _cache_key(self, trial: Flying) -> str:
        """Of the next rung; empty when weights are inherited, since such results are not shared."""
        until = self._setup.levels[trial.level]
        return "" if trial.inherit is not None else self._setup.cache_key(trial.architecture, until)

    def _inherited(self, trial: Flying) -> Artifact | None:
        """The checkpoint of the trial whose weights this one starts from."""
        if trial.inherit is None:
            return None
        parent = self._store.trial(self._name, trial.inherit)
        return Artifact(self._artifacts, parent.artifact) if parent.artifact else None

    def _measured(self, trial: Flying, evaluation: Evaluation) -> None:
        """Record a rung; end the trial, or let it go on."""
        trial.seconds += evaluation.seconds
        verdict = judging.after(self._setup, trial.facts, evaluation)
        evaluation = replace(evaluation, metrics=verdict.metrics, failure=verdict.failure)
        if verdict.outcome == "failed":
            return self._end(trial, self._ending(trial, "failed", evaluation, 0.0))
        key = self._cache_key(trial)
        if trial.level + 1 < len(self._setup.levels):
            trial.checkpoint = evaluation.artifact
            row = self._book.append(trial.ordinal, evaluation, key)
            return self._follow(self._halving.measured(trial, row))
        ending = self._ending(trial, verdict.outcome, evaluation, verdict.violation)
        return self._end(trial, ending, evaluation, key)

    def _settle(self, *, closing: bool) -> bool:
        """Follow the decisions on a bracket, if there is one to decide on.

        Args:
            closing: whether one that is not full counts: nothing more will join it.
        """
        if self._orphans:  # which may belong to any bracket
            return False
        under_way = (*self._flying.values(), *self._ready)
        decisions = self._halving.settle(under_way, self._begun, closing=closing)
        self._follow(decisions)
        return bool(decisions)

    def _follow(self, decisions: Iterable[Decision[Flying]]) -> None:
        """Prune trials, and line up those that go on."""
        for decision in decisions:
            trial = decision.trial
            if decision.goes_on:
                trial.level += 1
                self._ready.append(trial)
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


def _artifact(row: Any, store: str) -> Artifact | None:
    return Artifact(store, row["artifact"]) if row["artifact"] else None
