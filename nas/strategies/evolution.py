"""Regularized (aging) evolution: mutate the best of a sample by one decision; the oldest leaves.

Real, Aggarwal, Huang and Le, "Regularized evolution for image classifier architecture search",
2019. The population is the last `population` trials that ended; it begins with random ones. A
child is the best of `sample` individuals, drawn with replacement, with exactly one active decision
changed. Because the oldest leaves, whatever its loss, a lucky measurement does not stay forever.

Several objectives and constraints: within the sample, feasible beats infeasible, a smaller
violation beats a larger, then the non-dominated rank, then the crowding distance, then chance.
Pruned and infeasible trials join the population, where they win only against their like; failed
ones never join, so they neither breed nor push anybody out.
"""

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import numpy as np
from annotated_types import Ge, Le

from nas.strategies._base import Finished, Problem, Proposal, Strategy
from nas.strategies._ranking import mutant, preferences, usable, winner
from search_spaces import Architecture

# The living, oldest first.
Population: TypeAlias = tuple[Finished, ...]


class Evolution(Strategy[Population]):
    """Aging evolution as a fold: the state is the living, oldest first."""

    def __init__(self, problem: Problem, population: int, sample: int, crossover: float) -> None:
        super().__init__(problem)
        self.population = population
        self.sample = sample
        self.crossover = crossover

    def initial(self) -> Population:
        return ()

    def fold(self, state: Population, finished: Finished) -> Population:
        return (*state, finished)[-self.population :] if usable(finished) else state

    def propose(
        self,
        state: Population,
        ordinal: int,
        pending: Sequence[Architecture],
        rng: np.random.Generator,
    ) -> Proposal:
        del pending
        space = self.problem.space
        if len(state) < self.population:
            return Proposal(ordinal, space.sample(rng))
        child = self._parent(state, rng)
        if self.crossover and rng.random() < self.crossover:
            child = space.crossover(child, self._parent(state, rng), rng)
        return Proposal(ordinal, mutant(space, child, rng))

    def _parent(self, state: Population, rng: np.random.Generator) -> Architecture:
        drawn = [state[int(i)] for i in rng.integers(len(state), size=self.sample)]
        return winner(drawn, preferences(drawn), rng).architecture


def build(
    problem: Problem,
    *,
    population: Annotated[int, Ge(1)] = 20,
    sample: Annotated[int, Ge(1)] = 10,
    crossover: Annotated[float, Ge(0), Le(1)] = 0.0,
) -> Evolution:
    """Make the strategy.

    Args:
        problem: what to search.
        population: how many live at a time, and how many random trials come first. The default
            suits budgets of 50 to 500 evaluations; with more, a larger one searches wider.
        sample: size of the tournament; 1 makes a random walk.
        crossover: probability that the child is first crossed with a second parent.
    """
    return Evolution(problem, population, sample, crossover)
