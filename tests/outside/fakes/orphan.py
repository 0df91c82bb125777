"""A strategy at fault: each trial is to begin with its own weights."""

from collections.abc import Sequence

import numpy as np

from nas.strategies import Finished, Problem, Proposal, Strategy
from search_spaces import Architecture


class Orphan(Strategy[None]):
    def initial(self) -> None:
        return None

    def fold(self, state: None, finished: Finished) -> None:
        del state, finished

    def propose(
        self, state: None, ordinal: int, pending: Sequence[Architecture], rng: np.random.Generator
    ) -> Proposal:
        del state, pending
        return Proposal(ordinal, self.problem.space.sample(rng), inherit=ordinal)


def build(problem: Problem) -> Orphan:
    return Orphan(problem)
