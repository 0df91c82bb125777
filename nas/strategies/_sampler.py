"""Any strategy as a sampler of plain Optuna.

    study = optuna.create_study(sampler=StrategySampler(evolution.build, space, seed=0))
    study.optimize(lambda trial: accuracy(suggest(trial, space)), n_trials=100)

Parameters that are not decisions of the space are drawn at random.
"""

import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.strategies._base import (
    AnyStrategy,
    Finished,
    Objective,
    Outcome,
    Problem,
    StrategyError,
    generator,
)
from nas.strategies._suggest import distributions, suggest
from search_spaces import Architecture, Choice, SearchSpace

__all__ = ["StrategySampler", "distributions", "finished_from_trial", "suggest"]

_OUTCOMES: Mapping[TrialState, Outcome] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


class StrategySampler(optuna.samplers.BaseSampler):
    """Samples whole architectures from a strategy; a trial's number is the proposal's ordinal.

    The state is folded from the study's ended trials, in the order in which they ended, and folded
    again from the start by a fresh object: nothing is stored. Objectives are called `value0`,
    `value1`, ..., with the study's directions. Trials whose parameters are not those of the space
    are left out. The sampler may propose an architecture again.

    Args:
        build_strategy: makes the strategy of a problem: a strategy module's `build`, or a lambda
            around it that sets options.
        space: what to search; suggest from it with `suggest(trial, space)`.
        seed: equal seeds and equal studies give equal samples.
    """

    def __init__(
        self, build_strategy: Callable[[Problem], AnyStrategy], space: SearchSpace, seed: int = 0
    ) -> None:
        self.build_strategy = build_strategy
        self.space = space
        self.seed = seed
        self._distributions = distributions(space)
        self._lock = threading.Lock()
        self._memo: _Folded | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A lock does not travel to another process, and what is folded can be folded again.
        return {k: v for k, v in self.__dict__.items() if k not in ("_lock", "_memo")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock(), _memo=None)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        del study, trial
        return dict(self._distributions)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
        pending = [
            architecture
            for other in others
            if other.state == TrialState.RUNNING
            and (architecture := _architecture(other, self.space)) is not None
        ]
        with self._lock:
            if self._memo is None or not self._memo.serves(study.directions, others):
                problem = Problem(self.space, _objectives(study.directions), self.seed)
                self._memo = _Folded(_unprepared(self.build_strategy(problem)))
            self._memo.extend(others)
            proposal = self._memo.strategy.propose(
                self._memo.state, trial.number, pending, generator(self.seed, trial.number)
            )
        return {n: c for n, c in proposal.architecture.choices.items() if n in search_space}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        entropy = (self.seed, trial.number, zlib.crc32(param_name.encode()))
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        return optuna.samplers.RandomSampler(seed=seed).sample_independent(
            study, trial, param_name, param_distribution
        )


def _unprepared(strategy: AnyStrategy) -> AnyStrategy:
    """The strategy, where plain Optuna can use it."""
    if (preparation := strategy.preparation) is not None:
        raise StrategyError(
            f"the strategy trains {preparation.plugin.name} before its first proposal, which plain "
            "Optuna has no place for; use nas.search"
        )
    return strategy


class _Folded:
    """A strategy with the state of the trials that were folded so far."""

    def __init__(self, strategy: AnyStrategy) -> None:
        self.strategy = strategy
        self.state = strategy.initial()
        self.numbers: list[int] = []

    def serves(self, directions: Sequence[StudyDirection], trials: Sequence[FrozenTrial]) -> bool:
        """Whether what was folded is how these trials begin."""
        numbers = [trial.number for trial in _in_order_of_ending(trials)]
        return (
            self.strategy.problem.objectives == _objectives(directions)
            and numbers[: len(self.numbers)] == self.numbers
        )

    def extend(self, trials: Sequence[FrozenTrial]) -> None:
        for trial in _in_order_of_ending(trials)[len(self.numbers) :]:
            finished = finished_from_trial(trial, self.strategy.problem)
            if finished is not None:
                self.state = self.strategy.fold(self.state, finished)
            self.numbers.append(trial.number)


def finished_from_trial(trial: FrozenTrial, problem: Problem) -> Finished | None:
    """An ended trial of plain Optuna as strategies see it.

    Constraints are the trial's own (`Trial.set_constraint`): their positive values, summed.

    Returns:
        None where the trial has not ended, or its parameters are not an architecture of the space.
    """
    architecture = _architecture(trial, problem.space)
    if architecture is None or not trial.state.is_finished():
        return None
    violation = float(sum(max(0.0, value) for value in trial.constraints.values()))
    outcome = _OUTCOMES[trial.state]
    losses = None
    if outcome == "complete":
        pairs = zip(problem.objectives, trial.values, strict=True)
        losses = tuple(objective.loss(value) for objective, value in pairs)
        outcome = "infeasible" if violation > 0 else outcome
    return Finished(trial.number, architecture, outcome, losses, violation)


def _architecture(trial: FrozenTrial, space: SearchSpace) -> Architecture | None:
    """The architecture of a trial's active decisions; None if one is missing or not ours."""
    made: dict[str, Choice] = {}
    for decision in space.decisions:
        if decision.is_active(made):
            ours = CategoricalDistribution(decision.choices)
            if trial.distributions.get(decision.name) != ours:
                return None
            made[decision.name] = trial.params[decision.name]
    return space.architecture(made)


def _objectives(directions: Sequence[StudyDirection]) -> tuple[Objective, ...]:
    return tuple(
        Objective(f"value{i}", "maximize" if d == StudyDirection.MAXIMIZE else "minimize")
        for i, d in enumerate(directions)
    )


def _in_order_of_ending(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    ended = [trial for trial in trials if trial.state.is_finished()]
    return sorted(ended, key=lambda t: (cast(datetime, t.datetime_complete), t.number))
