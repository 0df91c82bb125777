"""Random search: every candidate drawn anew, without looking at any result.

The baseline of every comparison. Li and Talwalkar, "Random search and reproducibility for neural
architecture search", 2019. Each active decision is uniform over its choices, parents first, so
architectures are uniform only in spaces without conditional decisions.
"""

from collections.abc import Sequence

import numpy as np

from nas.strategies._base import Finished, Problem, Proposal, Strategy
from search_spaces import Architecture

# Proposed and evaluated together, unless the study file says otherwise. It learns nothing from
# results, so nothing is lost by proposing before they are there.
BATCH = 8


class RandomSearch(Strategy[None]):
    """A fold that forgets everything; failed, pruned and infeasible trials make no difference."""

    def initial(self) -> None:
        return None

    def fold(self, state: None, finished: Finished) -> None:
        del state, finished

    def propose(
        self, state: None, ordinal: int, pending: Sequence[Architecture], rng: np.random.Generator
    ) -> Proposal:
        del state, pending
        return Proposal(ordinal, self.problem.space.sample(rng))


def build(problem: Problem) -> RandomSearch:
    return RandomSearch(problem)
