"""The driver: takes the trials of one run from their reservation to their end, batch by batch.

Every step is recorded before the next one begins, in this order: a batch's ordinals, the proposal
of each, evaluation and end of each. Whatever moment it is killed at, another run finds its trials,
and goes on with each where the record says. Several drivers may run a study: each owns what it has
reserved, and takes over what one that is gone has left.
"""

import time
from collections.abc import Iterable
from itertools import chain

from evaluators import Artifact, Evaluation, Executor
from nas import budget as stopping
from nas import judging
from nas.apart import apart
from nas.batches import Ready, UnderWay
from nas.budget import StudyFailedError
from nas.fold import RecordFold
from nas.halving import Decision, Halving, Rival
from nas.interrupt import Stop
from nas.jobs import Jobs
from nas.proposing import Proposer
from nas.record import TrialRecord
from nas.recording import Recorder
from nas.setup import Setup
from nas.store.alive import BEAT_SECONDS
from nas.store.fronts import nearest
from nas.store.ledger import Ledger
from nas.store.owned import Company, Reserved
from nas.strategies._base import AnyStrategy
from nas.telling import Teller

# How soon a driver notices that it is to stop; and how often one that has nothing to do looks at
# what the others do.
_TICK_SECONDS, _LOOK_SECONDS = 0.2, 0.5
# A candidate that so many drivers have died with is evaluated in a process of its own.
_DEATHS = 2


class Driver:
    """One run of one study, from its first orphan to the end of its budget.

    Args:
        dataset: sealed; None where the evaluator looks results up.
        tell: where the study stands.
    """

    def __init__(
        self,
        setup: Setup,
        strategy: AnyStrategy,
        ledger: Ledger,
        executor: Executor,
        dataset: Artifact | None,
        tell: Teller,
    ) -> None:
        self._setup, self._ledger, self._executor = setup, ledger, executor
        self._teller = tell
        self._jobs = jobs = Jobs(setup, ledger, dataset)
        self._fold = RecordFold(setup, strategy)
        self._proposer = Proposer(setup, ledger, self._fold)
        self._halving = Halving[UnderWay](setup, ledger)
        self._ready = Ready(setup.batch)
        self._recorder = Recorder(setup, ledger, jobs, tell.warn, self._ended)
        # By the executor's handle.
        self._sent: dict[int, list[UnderWay]] = {}
        self._looked, self._told = time.monotonic(), float("-inf")
        self._is_told_of_others = False

    def run(self, stop: Stop) -> str:
        """Run until the budget is spent; returns why it stopped.

        Raises:
            KeyboardInterrupt: it was asked to stop; what was under way is recorded as far as it
                came.
            StudyFailedError: ten candidates in a row failed by their own fault.
            InfrastructureError: workers, or what they work with, kept failing.
        """
        self._fold.advance(self._ledger, last=None)
        self._fold.forgive()
        self._teller.start()
        self._look()
        while not stop.asked:
            reason = self._fill(stop)
            if not self._sent and not stop.asked and not self._wait_for_others(reason):
                return self._finish(reason)
            self._collect()
        self._stop()
        raise KeyboardInterrupt

    def _fill(self, stop: Stop) -> str:
        """Give a batch to every free worker; returns why no trial is begun any more, or nothing.

        With one worker each step follows from the record alone: what a bracket has promoted goes
        before new trials, and one that is not full closes when nothing else can be done.
        """
        reason = ""
        while len(self._sent) < self._executor.workers and not stop.asked:
            reason = self._stop_reason()
            if self._settle(closing=False):
                continue
            if self._ready:
                self._submit(self._ready.take(self._proposer.ahead, self._executor.workers))
                continue
            fresh = [] if reason or self._proposer.exhausted else self._proposer.fresh()
            for reserved in fresh:
                self._begin(reserved)
            if not fresh and (self._sent or not self._settle(closing=True)):
                break
        return reason

    def _collect(self) -> None:
        """Record what has been evaluated, and look after the trials of others now and then."""
        if self._sent:
            if time.monotonic() - self._told > 1.0:  # in this process, a trial is waited for
                self._tell()
            ended = self._executor.wait(_TICK_SECONDS)
            for handle, evaluations in ended.items():
                self._measured(self._sent.pop(handle), evaluations)
            if ended or time.monotonic() - self._told > 1.0:
                self._tell()
        if time.monotonic() - self._looked > BEAT_SECONDS:
            self._look()

    def _stop(self) -> None:
        """Have what runs finished or checkpointed, and record it; the rest waits as it is."""
        self._executor.interrupt()
        if self._sent:
            self._teller.say(
                "stopping: what runs is finished, or checkpointed at its next epoch; "
                "Ctrl-C again stops at once, and loses no more than that"
            )
        self._ledger.patience.hurry()
        while self._sent:
            for handle, evaluations in self._executor.wait(_TICK_SECONDS).items():
                self._measured(self._sent.pop(handle), evaluations)

    def _wait_for_others(self, reason: str) -> bool:
        """Wait a moment for trials that other drivers have, which may be left to this one yet.

        Args:
            reason: why no trial is begun any more: then nobody needs to wait for one either.

        Returns:
            Whether there is anything to wait for.
        """
        if reason:
            return False
        company = self._look()
        if not (company.measured or self._ready):
            return False
        if company.measured and not self._is_told_of_others:
            self._is_told_of_others = True
            self._teller.say(f"{len(company.measured)} trials are under way in other processes")
        if not self._ready:
            time.sleep(_LOOK_SECONDS)
        return True

    def _look(self) -> Company:
        """See what other drivers have, and take over what they have left."""
        self._looked = time.monotonic()
        company = self._ledger.company()
        if company.has_orphans:
            self._take_over()
        return company

    def _take_over(self) -> None:
        """Go on with the trials that no live run owns, where the record has them."""
        orphans = self._ledger.claim()
        # An ordinal that was reserved and not proposed for is proposed for now, from the record as
        # it was then; such orphans come first, in the order of what they had seen.
        begun = [orphan for orphan in orphans if orphan.architecture is not None]
        bare = [orphan for orphan in orphans if orphan.architecture is None]
        begun += self._proposer.proposed(sorted(bare, key=lambda o: (o.last_seq, o.ordinal)))
        for orphan in sorted(begun, key=lambda o: o.ordinal):
            self._begin(orphan)

    def _stop_reason(self) -> str:
        self._fold.advance(self._ledger, last=None)
        standing = self._fold.standing
        if standing.faults_in_a_row >= stopping.FAULTS_IN_A_ROW:
            raise StudyFailedError(
                f"{standing.faults_in_a_row} candidates in a row failed, the last one with: "
                f"{standing.last_fault}; see `nas trials {self._ledger.name}`, mend the cause, "
                f"then go on with: nas resume {self._ledger.name}"
            )
        return stopping.stop_reason(self._fold.budget, standing, self._ledger.seconds)

    def _begin(self, reserved: Reserved) -> None:
        """Cheap facts first; then from the last rung, or checkpoint, that the record has."""
        if reserved.architecture is None:
            return
        trial = UnderWay(
            reserved.ordinal,
            reserved.architecture,
            reserved.inherit,
            reserved.inherit_by,
            deaths=reserved.deaths,
        )
        trial.facts, trial.verdict = judging.before(self._setup, trial.architecture)
        recorded = self._ledger.rungs(trial.ordinal) if reserved.is_orphan else []
        self._jobs.restore(trial, recorded, reserved.checkpoint)
        if not recorded:
            self._ready.add(trial)
            return
        trial.level = self._setup.levels.index(recorded[-1]["epoch"])
        self._follow(self._halving.measured(trial, recorded[-1]["id"]))

    def _submit(self, batch: list[UnderWay]) -> None:
        """Send a batch to a worker, but for what is known of it; with nothing else, record that."""
        for trial in batch:
            trial.known = None if trial.verdict else self._jobs.known(trial)
        asked = [trial for trial in batch if not trial.verdict and not trial.known]
        jobs = [self._jobs.job(trial) for trial in asked]
        if not jobs:
            self._measured(batch, ())
        elif self._executor.in_process and any(trial.deaths >= _DEATHS for trial in asked):
            self._teller.say(
                f"{_DEATHS} processes have died with trial {asked[0].ordinal}: it is evaluated in "
                "one of its own"
            )
            self._measured(batch, apart(jobs))
        else:
            self._sent[self._executor.submit(jobs)] = batch

    def _measured(self, batch: Iterable[UnderWay], evaluations: Iterable[Evaluation]) -> None:
        """Record a batch by its ordinals, so that a killed study has the first of them.

        Args:
            evaluations: of the trials that were sent to a worker.
        """
        answers = iter(evaluations)
        for trial in batch:
            if trial.verdict is not None:
                self._recorder.by_facts(trial, trial.verdict)
            elif trial.known is not None:
                self._record(trial, trial.known)
            else:
                trial.trained = True
                self._record(trial, next(answers))

    def _record(self, trial: UnderWay, evaluation: Evaluation) -> None:
        row = self._recorder.record(trial, evaluation)
        if row is not None:
            self._follow(self._halving.measured(trial, row))

    def _settle(self, *, closing: bool) -> bool:
        """Follow the decisions on a bracket, if there is one to decide on.

        Args:
            closing: whether one that is not full counts: nothing more will join it.
        """
        if not self._halving.is_waiting:
            return False
        company = self._ledger.company()
        others = [
            Rival(ordinal, self._setup.levels.index(epoch) + 1 if epoch else 0)
            for ordinal, epoch in company.measured.items()
        ]
        under_way = [*chain.from_iterable(self._sent.values()), *self._ready, *others]
        decisions = self._halving.settle(
            under_way, company.begun, closing=closing, below=self._ready.level
        )
        self._follow(decisions)
        return bool(decisions)

    def _follow(self, decisions: Iterable[Decision[UnderWay]]) -> None:
        """Prune trials, and line up those that go on."""
        for decision in decisions:
            if decision.goes_on:
                decision.trial.level += 1
                self._ready.add(decision.trial)
            else:
                self._recorder.prune(decision.trial, decision.metrics)

    def _finish(self, reason: str) -> str:
        self._fold.advance(self._ledger, last=None)
        self._tell()
        if self._proposer.exhausted and not reason:
            ended = self._fold.standing.ended
            reason = f"the space is exhausted: all {ended} architectures are evaluated"
        reason = reason or self._stop_reason() or "all trials are given out"
        store, name = self._ledger.store, self._ledger.name
        counts = store.status(name).trials
        closest = None if counts.complete else nearest(store.trials(name))
        if closest is not None:
            bounds = ", ".join(str(c) for c in self._setup.constraints)
            reason += f"; none satisfied {bounds}, trial {closest.number} came nearest"
        return reason

    def _ended(self, record: TrialRecord) -> None:
        self._fold.ended(self._ledger, record)
        self._tell(record)

    def _tell(self, last: TrialRecord | None = None) -> None:
        self._told = time.monotonic()
        under_way = len(self._ready) + sum(map(len, self._sent.values()))
        self._teller(self._fold, self._ledger.seconds, under_way, last)
