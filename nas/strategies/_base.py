"""The contract of a strategy: a fold over the record, and a proposal from the folded state.

`initial() -> state`, `fold(state, finished) -> state`, `propose(state, ordinal, pending, rng) ->
Proposal`. The state is a function of the record alone and the generator of the ordinal alone
(`rng(seed, ordinal)`), so a strategy has nothing to save: a resumed study folds its record again
and goes on exactly as it would have.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np

from search_spaces import Architecture, SearchSpace

State = TypeVar("State")
Outcome: TypeAlias = Literal["complete", "pruned", "infeasible", "failed"]


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
    """What a strategy searches: a space, one or several objectives, and the study's seed."""

    space: SearchSpace
    objectives: tuple[Objective, ...]
    seed: int


@dataclass(frozen=True)
class Proposal:
    """What a strategy proposes.

    Attributes:
        ordinal: unique in the study, reserved before the trial exists.
        architecture: what to evaluate.
        inherit: the ordinal of a finished trial whose weights to start from.
    """

    ordinal: int
    architecture: Architecture
    inherit: int | None = None


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

    @abstractmethod
    def initial(self) -> State:
        """The state before anything has finished."""

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
