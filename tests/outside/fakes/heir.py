"""Random search in which each trial starts from the weights of trial 0."""

from collections.abc import Sequence

import numpy as np

from nas.strategies import Finished, Problem, Proposal, Strategy
from search_spaces import Architecture


class Heir(Strategy[bool]):
    def initial(self) -> bool:
        return False

    def fold(self, state: bool, finished: Finished) -> bool:
        return True

    def propose(
        self, state: bool, ordinal: int, pending: Sequence[Architecture], rng: np.random.Generator
    ) -> Proposal:
        return Proposal(ordinal, self.problem.space.sample(rng), 0 if state else None)


def build(problem: Problem) -> Heir:
    return Heir(problem)
