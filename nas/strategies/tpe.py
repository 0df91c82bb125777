"""Tree-structured Parzen estimator: Optuna's TPE sampler on a mirror of the record.

Bergstra, Bardenet, Bengio and Kegl, "Algorithms for hyper-parameter optimization", 2011; Watanabe,
"Tree-structured Parzen estimator: understanding its algorithm components and their roles for better
empirical performance", 2023. With one objective, decisions that every architecture has are sampled
jointly and conditional ones by themselves; with several objectives (Ozaki et al., "Multiobjective
tree-structured Parzen estimator", 2022) each is sampled by itself.

The sampler is made anew for each proposal, seeded by the proposal's generator, so nothing depends
on what was proposed before. Trials being evaluated count as bad ("constant liar"), so that workers
do not all try the same. Pruned trials rank behind those that ran to their end, infeasible ones
behind these by their violation, failed ones last: the sampler learns to keep away from them.
"""

import math
from collections.abc import Sequence
from typing import Annotated, TypeAlias

import numpy as np
import optuna
from annotated_types import Ge
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.strategies._base import Finished, Problem, Proposal, Strategy
from nas.strategies._ranking import measured, usable
from nas.strategies._suggest import distributions, suggest
from search_spaces import Architecture, SearchSpace

# All that have ended, in the order in which they did.
Record: TypeAlias = tuple[Finished, ...]

# Past this many trials that are no part of the record, and as many as the record has, a mirror is
# made anew: Optuna's storage in memory cannot delete a trial.
_MOST_SCRATCH = 1000


class _Mirror:
    """An Optuna study in memory with the trials of a record, all objectives minimized."""

    def __init__(self, space: SearchSpace, n_objectives: int) -> None:
        self.space = space
        self.record: Record = ()
        self.scratch = 0
        self.distributions = distributions(space)
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self.study = optuna.create_study(directions=["minimize"] * n_objectives)
        finally:
            optuna.logging.set_verbosity(verbosity)

    def serves(self, record: Record) -> bool:
        """Whether it can be extended to this record, and is not full of trials told as failed."""
        is_prefix = record[: len(self.record)] == self.record
        return is_prefix and self.scratch <= max(_MOST_SCRATCH, len(record))

    def extend(self, record: Record) -> None:
        for finished in record[len(self.record) :]:
            self.study.add_trial(self._ended(finished))
        self.record = record

    def suggest(
        self, sampler: optuna.samplers.BaseSampler, pending: Sequence[Architecture]
    ) -> Architecture:
        """What the sampler suggests beside the pending ones, of which no trace stays behind."""
        self.study.sampler = sampler
        try:
            for architecture in pending:
                self.study.add_trial(self._running(architecture))
            return suggest(self.study.ask(), self.space)
        finally:
            # Samplers leave failed trials out; that is as good as deleting them.
            for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                self.study.tell(trial.number, state=TrialState.FAIL)
                self.scratch += 1

    def _running(self, architecture: Architecture) -> FrozenTrial:
        return create_trial(
            state=TrialState.RUNNING,
            params=dict(architecture.choices),
            distributions=self._active(architecture),
        )

    def _active(self, architecture: Architecture) -> dict[str, BaseDistribution]:
        return {name: self.distributions[name] for name in architecture.choices}

    def _ended(self, finished: Finished) -> FrozenTrial:
        losses = measured(finished)
        violation = finished.violation if usable(finished) else math.inf
        return create_trial(
            state=TrialState.PRUNED if losses is None else TrialState.COMPLETE,
            values=losses,
            params=dict(finished.architecture.choices),
            distributions=self._active(finished.architecture),
            system_attrs={"constraints:violation": violation},
        )


class Tpe(Strategy[Record]):
    """TPE as a fold: the state is the record, the mirror a memo of it."""

    def __init__(self, problem: Problem, startup: int, candidates: int) -> None:
        super().__init__(problem)
        self.startup = startup
        self.candidates = candidates
        self._memo = self._empty()

    def _empty(self) -> _Mirror:
        return _Mirror(self.problem.space, len(self.problem.objectives))

    def initial(self) -> Record:
        return ()

    def fold(self, state: Record, finished: Finished) -> Record:
        return (*state, finished)

    def propose(
        self, state: Record, ordinal: int, pending: Sequence[Architecture], rng: np.random.Generator
    ) -> Proposal:
        if not self._memo.serves(state):
            self._memo = self._empty()
        self._memo.extend(state)
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=self.startup,
            n_ei_candidates=self.candidates,
            constant_liar=True,
            seed=int(rng.integers(2**32)),
        )
        return Proposal(ordinal, self._memo.suggest(sampler, pending))


def build(
    problem: Problem,
    *,
    startup: Annotated[int, Ge(0)] = 10,
    candidates: Annotated[int, Ge(1)] = 24,
) -> Tpe:
    """Make the strategy.

    Args:
        problem: what to search.
        startup: random trials before the first estimate; failed ones count.
        candidates: how many are drawn from the good trials' density, of which the best is proposed.
    """
    return Tpe(problem, startup, candidates)
