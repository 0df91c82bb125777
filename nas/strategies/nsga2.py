"""NSGA-II: an elitist genetic algorithm for several objectives, here over architectures.

Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II",
2002. Parents win binary tournaments by constrained domination, non-dominated rank and crowding
distance; children come from uniform crossover and the mutation of one decision; when as many
children have ended as the population holds, the best of parents and children together become the
next parents.

Results may come in any order and from any generation: whatever ends joins the children of the
present one. Pruned and infeasible trials count, and rank behind the feasible ones that ran to their
end; failed ones do not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from nas.strategies._base import STARTUP, Finished, Problem, Proposal, Strategy
from nas.strategies._ranking import Preference, mutant, preferences, usable, winner
from search_spaces import Architecture


@dataclass(frozen=True)
class Generation:
    """The parents, none in the first generation, with their preferences; children so far."""

    parents: tuple[Finished, ...] = ()
    preferences: tuple[Preference, ...] = ()
    children: tuple[Finished, ...] = ()


class Nsga2(Strategy[Generation]):
    """NSGA-II as a fold over ended trials."""

    def __init__(
        self, problem: Problem, population: int, crossover: float, mutation: float
    ) -> None:
        super().__init__(problem)
        self.population = population
        self.crossover = crossover
        self.mutation = mutation

    def initial(self) -> Generation:
        return Generation()

    def fold(self, state: Generation, finished: Finished) -> Generation:
        if not usable(finished):
            return state
        children = (*state.children, finished)
        if len(children) < self.population:
            return Generation(state.parents, state.preferences, children)
        parents = self._survivors(state.parents + children)
        return Generation(parents, tuple(preferences(parents)))

    def _survivors(self, everybody: tuple[Finished, ...]) -> tuple[Finished, ...]:
        keys = preferences(everybody)
        # Of equal ones the earlier stays: sorting is stable.
        best = sorted(range(len(everybody)), key=keys.__getitem__)[: self.population]
        return tuple(everybody[i] for i in sorted(best))

    def propose(
        self,
        state: Generation,
        ordinal: int,
        pending: Sequence[Architecture],
        rng: np.random.Generator,
    ) -> Proposal:
        del pending
        space = self.problem.space
        if not state.parents:
            return Proposal(ordinal, space.sample(rng), note=STARTUP)
        first, second = self._parent(state, rng), self._parent(state, rng)
        child = space.crossover(first, second, rng) if rng.random() < self.crossover else first
        # A copy of a parent would tell nothing new, so it mutates in any case.
        if rng.random() < self.mutation or child in (first, second):
            child = mutant(space, child, rng)
        return Proposal(ordinal, child)

    def _parent(self, state: Generation, rng: np.random.Generator) -> Architecture:
        pair = [int(i) for i in rng.integers(len(state.parents), size=2)]
        return winner(
            [state.parents[i] for i in pair], [state.preferences[i] for i in pair], rng
        ).architecture


def build(
    problem: Problem,
    *,
    population: Annotated[int, Ge(2)] = 20,
    crossover: Annotated[float, Ge(0), Le(1)] = 0.9,
    mutation: Annotated[float, Ge(0), Le(1)] = 0.5,
) -> Nsga2:
    """Make the strategy.

    Args:
        problem: what to search.
        population: parents, and children of a generation. The default suits budgets of 50 to 500
            evaluations; a longer search, or three objectives, can fill a larger one.
        crossover: probability that a child has two parents.
        mutation: probability that a child of two mutates; copies of a parent always do.
    """
    return Nsga2(problem, population, crossover, mutation)
