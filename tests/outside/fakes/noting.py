"""Random search that says something of each proposal, as strategies with predictors do."""

from collections.abc import Sequence

import numpy as np

from nas.strategies import Finished, Problem, Proposal, Strategy
from search_spaces import Architecture


class Noting(Strategy[int]):
    def initial(self) -> int:
        return 0

    def fold(self, state: int, finished: Finished) -> int:
        return state + 1

    def propose(
        self, state: int, ordinal: int, pending: Sequence[Architecture], rng: np.random.Generator
    ) -> Proposal:
        architecture = self.problem.space.sample(rng)
        if ordinal == 0:
            return Proposal(ordinal, architecture)
        tau = float("nan") if state < 2 else 0.5
        return Proposal(ordinal, architecture, note={"phase": "learned", "seen": state, "tau": tau})


def build(problem: Problem) -> Noting:
    return Noting(problem)
