"""A strategy that breaks its contract: it mutates what it remembers to have proposed last."""

from collections.abc import Sequence

import numpy as np

from nas.strategies import Finished, Problem, Proposal, Strategy
from search_spaces import Architecture


class Forgetful(Strategy[None]):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._last: Architecture | None = None

    def initial(self) -> None:
        return None

    def fold(self, state: None, finished: Finished) -> None:
        return None

    def propose(
        self, state: None, ordinal: int, pending: Sequence[Architecture], rng: np.random.Generator
    ) -> Proposal:
        space = self.problem.space
        self._last = space.mutate(self._last, rng) if self._last else space.sample(rng)
        return Proposal(ordinal, self._last)


def build(problem: Problem) -> Forgetful:
    return Forgetful(problem)
