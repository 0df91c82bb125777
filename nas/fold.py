"""The record, folded: what a study's next proposal and its end are functions of."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from evaluators import Prepared
from evaluators.facts import CandidateError
from nas import budget as stopping
from nas.record import TrialRecord
from nas.setup import Setup
from nas.spec import SpecError
from nas.store.ledger import Ledger
from nas.store.owned import Reserved
from nas.store.rows import losses_of
from nas.strategies import Finished, Objective, Problem, Proposal
from nas.strategies._base import AnyStrategy, Facts
from nas.strategies._distinct import propose_distinct
from search_spaces import Architecture, UsageError, plugins


def build_strategy(setup: Setup, where: str = "the study") -> AnyStrategy:
    """The strategy of a study, which may refuse its problem.

    Args:
        setup: what the strategy is told of, but for how to evaluate.
        where: begins the message: the study file.

    Raises:
        SpecError: the strategy cannot handle the problem.
    """
    spec = setup.spec
    problem = Problem(
        space=setup.space,
        objectives=tuple(Objective(m, d) for m, d in spec.study.objectives.items()),
        seed=spec.study.seed,
        constraints=setup.constraints,
        known=setup.known,
        facts=facts_of(setup),
        task=setup.task,
    )
    try:
        build = plugins.load("strategy", spec.strategy.name).build
        strategy: AnyStrategy = build(problem, **spec.strategy.options)
    except UsageError as error:
        raise SpecError(f"{where}: [strategy] {error}") from error
    return strategy


def facts_of(setup: Setup) -> Facts:
    """The facts of architectures; None of one that has no network."""

    def facts(architecture: Architecture) -> Mapping[str, float] | None:
        try:
            return setup.facts(architecture)
        except CandidateError:
            return None

    return facts


def begun(strategy: AnyStrategy, setup: Setup) -> Any:
    """The state of a strategy before anything has ended, and when what it needs is prepared."""
    state, done = strategy.initial(), prepared_for(strategy, setup)
    return state if done is None else strategy.prepared(state, done)


def prepared_for(strategy: AnyStrategy, setup: Setup) -> Prepared | None:
    """What a strategy's preparation has left; None where it has none, or it is not done."""
    preparation = strategy.preparation
    return None if preparation is None else setup.prepared.get(preparation.key)


class RecordFold:
    """The record folded so far: the strategy's state, the standing of the budget, what was seen."""

    def __init__(self, setup: Setup, strategy: AnyStrategy) -> None:
        self._setup = setup
        self.strategy = strategy
        self._state = begun(self.strategy, setup)
        done = prepared_for(self.strategy, setup)
        # The hash of what it proposes from, besides the record.
        self.prepared = None if done is None else done.artifact.sha256
        self._waiting: deque[TrialRecord] = deque()
        self._seen: set[str] = set()
        self._folded: set[int] = set()
        self.standing = stopping.Standing()
        bounds = setup.spec.budget
        self.budget = stopping.Budget(
            bounds.trials, bounds.seconds, bounds.target, bounds.no_progress
        )
        self._target = stopping.target_losses(bounds.target, setup.objectives)
        self._read = -1
        # As a status has them, without asking the database again for each trial.
        self.counts: Counter[str] = Counter()
        self.best: dict[str, float] = {}
        self._best_is: tuple[float, ...] = ()

    def advance(self, ledger: Ledger, last: int | None) -> None:
        """Read what has ended; fold it into the standing, and into the strategy up to `last`."""
        if ledger.last_seq > self._read:
            for trial in ledger.ended_after(self._read):
                self._take(trial)
        while last is not None and self._waiting and (self._waiting[0].seq or 0) <= last:
            trial = self._waiting.popleft()
            self._state = self.strategy.fold(self._state, self._finished(trial))
            if trial.architecture is not None:
                self._seen.add(trial.architecture.key)
            self._folded.add(trial.number)

    def ended(self, ledger: Ledger, trial: TrialRecord) -> None:
        """Take a trial that this driver has just ended, without reading it again if it can."""
        if trial.seq == self._read + 1:
            self._take(trial)
        else:
            self.advance(ledger, last=None)

    def _take(self, trial: TrialRecord) -> None:
        self._read = trial.seq if trial.seq is not None else self._read
        self._waiting.append(trial)
        losses = self._finished(trial).losses if trial.state == "complete" else None
        self.standing = stopping.fold(self.standing, trial, losses, self._target)
        self._count(trial)

    def _count(self, trial: TrialRecord) -> None:
        self.counts.update([trial.state, *["cached"] * trial.cached])
        if trial.state != "complete":
            return
        objectives = self._setup.objectives
        standing = (*losses_of(trial.metrics, objectives), float(trial.number))
        if not self.best or standing < self._best_is:
            self.best = {metric: trial.metrics[metric] for metric in objectives}
            self._best_is = standing

    def forgive(self) -> None:
        """Count failures in a row from here: their cause may have been mended between two runs."""
        self.standing = replace(self.standing, faults_in_a_row=0)

    def propose(
        self, ledger: Ledger, reserved: Reserved, pending: list[Architecture]
    ) -> Proposal | None:
        """The strategy's proposal for an ordinal, from what the ordinal was allowed to see."""
        self.advance(ledger, reserved.last_seq)
        proposal = propose_distinct(
            self.strategy, self._state, reserved.ordinal, pending, self._seen
        )
        if proposal is not None:
            self._check_inheritance(proposal)
        return proposal

    def _check_inheritance(self, proposal: Proposal) -> None:
        """Raise where a strategy names a trial, or a way, that there is none of: its own fault."""
        if proposal.inherit is None:
            return
        of = (
            f'the strategy "{self._setup.spec.strategy.name}" proposes, as trial {proposal.ordinal}'
        )
        if proposal.inherit not in self._folded:
            raise ValueError(
                f"{of}, to inherit from trial {proposal.inherit}, which is none that it has folded"
            )
        try:
            plugins.load("inheritance", proposal.inherit_by)
        except UsageError as error:
            raise ValueError(f"{of}, to inherit by {proposal.inherit_by}: {error}") from error

    def _finished(self, trial: TrialRecord) -> Finished:
        state = trial.state
        if trial.architecture is None or state == "waiting" or state == "running":
            raise ValueError(f"trial {trial.number} has not ended: {state}")
        objectives = self._setup.objectives
        measured = state != "pruned" and all(m in trial.metrics for m in objectives)
        losses = losses_of(trial.metrics, objectives) if measured else None
        return Finished(trial.number, trial.architecture, state, losses, trial.violation)
