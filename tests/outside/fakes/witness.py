"""Random search that says of each proposal how much of the record it saw."""

from collections.abc import Sequence

import numpy as np

from nas.strategies import Finished, Problem, Proposal, Strategy
from search_spaces import Architecture

BATCH = 4


class Witness(Strategy[int]):
    def initial(self) -> int:
        return 0

    def fold(self, state: int, finished: Finished) -> int:
        return state + 1

    def propose(
        self, state: int, ordinal: int, pending: Sequence[Architecture], rng: np.random.Generator
    ) -> Proposal:
        architecture = self.problem.space.sample(rng)
        return Proposal(ordinal, architecture, note={"ended": state, "pending": len(pending)})


def build(problem: Problem) -> Witness:
    return Witness(problem)
