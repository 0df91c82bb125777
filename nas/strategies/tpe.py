"""Tree-structured Parzen estimator: Optuna's TPE sampler on a mirror of the record.

Bergstra, Bardenet, Bengio and Kegl, "Algorithms for hyper-parameter optimization", 2011; Watanabe,
"Tree-structured Parzen estimator: understanding its algorithm components and their roles for better
empirical performance", 2023. With several objectives, it is Ozaki et al., "Multiobjective
tree-structured Parzen estimator", 2022. All decisions are sampled jointly: to be inactive is one
more choice of a conditional decision; where that is sampled for an active one, its choice is drawn
at random. (Sampled one by one, as Optuna would by default with several objectives or conditions,
the best of 24 candidates for a few choices is always the same, and most proposals repeat.)

The sampler is made anew for each proposal, seeded by the proposal's generator, so nothing depends
on what was proposed before. Trials being evaluated count as bad ("constant liar"), so that workers
do not all try the same. Pruned trials rank behind those that ran to their end, infeasible ones
behind these by their violation, failed ones last: the sampler learns to keep away from them.
Proposals are random until `startup` trials have a loss or a violation to compare.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Annotated

import numpy as np
import optuna
from annotated_types import Ge
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.strategies._base import STARTUP, Finished, Problem, Proposal, Strategy
from nas.strategies._log import Log
from nas.strategies._ranking import measured, usable
from search_spaces import Architecture, Choice, SearchSpace

# Past this many trials that are no part of the record, and as many as the record has, a mirror is
# made anew: Optuna's storage in memory cannot delete a trial.
_MOST_SCRATCH = 1000


class _Joint(optuna.samplers.TPESampler):
    """TPE over all decisions jointly, as every trial of a mirror has them all.

    Optuna would find that out by going through all trials for every proposal.
    """

    def __init__(
        self, distributions: Mapping[str, BaseDistribution], candidates: int, seed: int
    ) -> None:
        super().__init__(
            n_startup_trials=0,
            n_ei_candidates=candidates,
            multivariate=True,
            constant_liar=True,
            seed=seed,
        )
        self._asked = {n: d for n, d in sorted(distributions.items()) if not d.single()}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        del study, trial
        return dict(self._asked)


class _Mirror:
    """An Optuna study in memory with the trials of a record, all objectives minimized."""

    def __init__(self, space: SearchSpace, n_objectives: int) -> None:
        self.record: tuple[Finished, ...] = ()
        self.scratch = 0
        self.distributions: dict[str, BaseDistribution] = {
            d.name: CategoricalDistribution((*d.choices, None) if d.needs else d.choices)
            for d in space.decisions
        }
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self.study = optuna.create_study(directions=["minimize"] * n_objectives)
        finally:
            optuna.logging.set_verbosity(verbosity)

    def serves(self, record: Sequence[Finished]) -> bool:
        """Whether it can be extended to this record, and is not full of trials told as failed."""
        is_prefix = tuple(record[: len(self.record)]) == self.record
        return is_prefix and self.scratch <= max(_MOST_SCRATCH, len(record))

    def extend(self, record: Sequence[Finished]) -> None:
        for finished in record[len(self.record) :]:
            self.study.add_trial(self._ended(finished))
        self.record = tuple(record[:])

    def suggest(
        self, sampler: optuna.samplers.BaseSampler, pending: Sequence[Architecture]
    ) -> dict[str, Choice]:
        """Choices of the decisions that the sampler would have active, given the pending ones."""
        self.study.sampler = sampler
        try:
            for architecture in pending:
                self.study.add_trial(self._trial(TrialState.RUNNING, architecture))
            params = self.study.ask(self.distributions).params
            return {name: choice for name, choice in params.items() if choice is not None}
        finally:
            # Samplers leave failed trials out; that is as good as deleting them.
            for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                self.study.tell(trial.number, state=TrialState.FAIL)
                self.scratch += 1

    def _ended(self, finished: Finished) -> FrozenTrial:
        losses = measured(finished)
        violation = finished.violation if usable(finished) else math.inf
        state = TrialState.PRUNED if losses is None else TrialState.COMPLETE
        return self._trial(state, finished.architecture, losses, violation)

    def _trial(
        self,
        state: TrialState,
        architecture: Architecture,
        losses: Sequence[float] | None = None,
        violation: float = 0.0,
    ) -> FrozenTrial:
        return create_trial(
            state=state,
            values=losses,
            params={name: architecture.choices.get(name) for name in self.distributions},
            distributions=self.distributions,
            system_attrs={"constraints:violation": violation},
        )


class Tpe(Strategy[Log]):
    """TPE as a fold: the state is the record, the mirror a memo of it."""

    def __init__(self, problem: Problem, startup: int, candidates: int) -> None:
        super().__init__(problem)
        self.startup = startup
        self.candidates = candidates
        self._memo = self._empty()

    def _empty(self) -> _Mirror:
        return _Mirror(self.problem.space, len(self.problem.objectives))

    def initial(self) -> Log:
        return Log()

    def fold(self, state: Log, finished: Finished) -> Log:
        return state.append(finished)

    def propose(
        self,
        state: Sequence[Finished],
        ordinal: int,
        pending: Sequence[Architecture],
        rng: np.random.Generator,
    ) -> Proposal:
        space = self.problem.space
        informed = islice((t for t in state if _is_informative(t)), self.startup)
        if sum(1 for _ in informed) < self.startup:
            return Proposal(ordinal, space.sample(rng), note=STARTUP)
        if not self._memo.serves(state):
            self._memo = self._empty()
        self._memo.extend(state)
        seed = int(rng.integers(2**32))
        sampler = _Joint(self._memo.distributions, self.candidates, seed)
        return Proposal(ordinal, space.sample(rng, self._memo.suggest(sampler, pending)))


def _is_informative(finished: Finished) -> bool:
    return measured(finished) is not None or (usable(finished) and finished.violation > 0)


def build(
    problem: Problem,
    *,
    startup: Annotated[int, Ge(1)] = 10,
    candidates: Annotated[int, Ge(1)] = 24,
) -> Tpe:
    """Make the strategy.

    Args:
        problem: what to search.
        startup: random trials before the first estimate; those pruned or failed do not count.
        candidates: how many are drawn from the good trials' density, of which the best is proposed.
    """
    return Tpe(problem, startup, candidates)
