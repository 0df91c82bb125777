"""The contract of a strategy: a fold over the record, and a proposal from the folded state.

`initial() -> state`, `fold(state, finished) -> state`, `propose(state, ordinal, pending, rng) ->
Proposal`. The state is a function of the record alone and the generator of the ordinal alone
(`rng(seed, ordinal)`), so a strategy has nothing to save: a resumed study folds its record again
and goes on exactly as it would have.

A strategy may have something done before its first proposal, such as training a network whose
decisions are weights: it says what (`preparation`), the study does it, and `prepared` folds what is
left into the state.

A strategy's module may have a constant `BATCH`: of how many trials its studies propose and evaluate
at a time, unless they say otherwise; without it one. All of a batch see the record before it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np

from evaluators import ALIKE, Preparation, Prepared
from nas.constraints import Constraint, total_violation
from search_spaces import Architecture, SearchSpace, Task, UsageError
from search_spaces.frozen import FrozenMapping

State = TypeVar("State")
Outcome: TypeAlias = Literal["complete", "pruned", "infeasible", "failed"]
# Metrics of an architecture that are computed without training; None where it cannot be built.
Facts: TypeAlias = Callable[[Architecture], Mapping[str, float] | None]


class StrategyError(UsageError):
    """A problem that a strategy cannot handle."""


@dataclass(frozen=True)
class Objective:
    """A metric and its direction: maximize or minimize."""

    metric: str
    direction: str

    def loss(self, value: float) -> float:
        """The value turned so that lower is better."""
        return -value if self.direction == "maximize" else value


@dataclass(frozen=True)
class Problem:
    """What a strategy searches.

    Attributes:
        space: of the architectures.
        objectives: one or several.
        seed: of the study.
        constraints: bounds on metrics; whoever breaks one ends as infeasible.
        known: the metrics that `facts` computes: they are never learned.
        facts: see `Facts`; milliseconds a call, remembered by structure.
        task: what the networks fit; None where nothing is known of it, as in plain Optuna.
    """

    space: SearchSpace
    objectives: tuple[Objective, ...]
    seed: int
    constraints: tuple[Constraint, ...] = ()
    known: tuple[str, ...] = ()
    facts: Facts = lambda _: {}
    task: Task | None = None

    def violation(self, facts: Mapping[str, float]) -> float:
        """By how much the facts break the constraints on them; 0 where they keep all."""
        return total_violation((c for c in self.constraints if c.metric in facts), facts)


# The note of what is drawn at random, as random search would, because nothing is known yet.
STARTUP: Mapping[str, str | int | float] = FrozenMapping({"phase": "startup"})


@dataclass(frozen=True)
class Proposal:
    """What a strategy proposes.

    Attributes:
        ordinal: unique in the study, reserved before the trial exists.
        architecture: what to evaluate.
        inherit: the ordinal of a finished trial whose weights to start from.
        inherit_by: how they are taken over: a plug-in of the kind inheritance.
        note: what the strategy says of it, for the record: its phase, how well its predictor ranks.
    """

    ordinal: int
    architecture: Architecture
    inherit: int | None = None
    inherit_by: str = ALIKE
    note: Mapping[str, str | int | float] = field(default_factory=FrozenMapping)

    def __post_init__(self) -> None:
        object.__setattr__(self, "note", FrozenMapping(self.note))


@dataclass(frozen=True)
class Finished:
    """One ended trial, as strategies see it.

    Attributes:
        ordinal: of its proposal.
        architecture: what was evaluated.
        outcome: complete; pruned (ended at an early rung); infeasible (a constraint is broken);
            failed (its own fault).
        losses: one for each objective, lower is better; None where it was not measured to the end.
        violation: by how much the constraints are broken, summed and relative; 0 when feasible.
    """

    ordinal: int
    architecture: Architecture
    outcome: Outcome
    losses: tuple[float, ...] | None
    violation: float = 0.0


class Strategy(ABC, Generic[State]):
    """A search strategy. It keeps no state of its own; a cache is a function of the arguments."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    @property
    def preparation(self) -> Preparation | None:
        """What is to be done once, before the first proposal of a study; None for most."""
        return None

    @abstractmethod
    def initial(self) -> State:
        """The state before anything has finished."""

    def prepared(self, state: State, prepared: Prepared) -> State:  # noqa: ARG002 - for most
        """The state when its preparation is done; called once, before anything is folded."""
        return state

    @abstractmethod
    def fold(self, state: State, finished: Finished) -> State:
        """The state after one more trial has ended; `state` itself is left as it was."""

    @abstractmethod
    def propose(
        self, state: State, ordinal: int, pending: Sequence[Architecture], rng: np.random.Generator
    ) -> Proposal:
        """The next candidate.

        Args:
            state: folded from all trials that have ended, in the order in which they did.
            ordinal: the number of this proposal.
            pending: what is being evaluated now, in the order of their ordinals.
            rng: of this ordinal; the only source of randomness.
        """


AnyStrategy: TypeAlias = Strategy[Any]


def generator(seed: int, ordinal: int, attempt: int = 0) -> np.random.Generator:
    """The random numbers of one proposal, independent of all others."""
    return np.random.default_rng([seed, ordinal, attempt])
