"""Counts its own calls, which a resumed study would have forgotten."""

from collections.abc import Sequence

import numpy as np

from nas.strategies import Finished, Problem, Proposal, Strategy
from search_spaces import Architecture


class Counting(Strategy[None]):
    calls = 0

    def initial(self) -> None:
        return None

    def fold(self, state: None, finished: Finished) -> None:
        return None

    def propose(
        self, state: None, ordinal: int, pending: Sequence[Architecture], rng: np.random.Generator
    ) -> Proposal:
        self.calls += 1
        drawn = np.random.default_rng([ordinal, self.calls])
        return Proposal(ordinal, self.problem.space.sample(drawn))


def build(problem: Problem) -> Counting:
    return Counting(problem)
