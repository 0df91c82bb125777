"""Regularized (aging) evolution: mutate the best of a sample by one decision; the oldest leaves.

Real, Aggarwal, Huang and Le, "Regularized evolution for image classifier architecture search",
2019. The population is the last `population` trials that ended; it begins with random ones. A
child is the best of `sample` individuals, drawn with replacement, with exactly one active decision
changed. Because the oldest leaves, whatever its loss, a lucky measurement does not stay forever.

Several objectives and constraints: within the sample, feasible beats infeasible, a smaller
violation beats a larger, then the non-dominated rank, then the crowding distance, then chance.
Pruned and infeasible trials join the population, where they win only against their like; failed
ones never join, so they neither breed nor push anybody out.

With `inherit` a child starts from the weights of its parent, of two that were crossed the first: by
`alike` in the layers that are alike, by `morphism` where the parent can grow into it, so that it
begins by computing the same; the others begin with new weights, and their note says why. It then
needs fewer epochs, but a result is no longer that of the architecture alone: it is not shared
between studies, and those are favored whose weights were trained longest.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Le

from nas.strategies._base import STARTUP, Finished, Problem, Proposal, Strategy
from nas.strategies._growing import check_growing, descended
from nas.strategies._ranking import mutant, preferences, usable, winner
from search_spaces import Architecture

# The living, oldest first.
Population: TypeAlias = tuple[Finished, ...]
Inherit: TypeAlias = Literal["none", "alike", "morphism"]


class Evolution(Strategy[Population]):
    """Aging evolution as a fold: the state is the living, oldest first."""

    def __init__(
        self, problem: Problem, population: int, sample: int, crossover: float, inherit: Inherit
    ) -> None:
        super().__init__(problem)
        self.population = population
        self.sample = sample
        self.crossover = crossover
        self.inherit = inherit
        if inherit == "morphism":
            check_growing(f'inherit: "{inherit}"', problem.space)

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
            return Proposal(ordinal, space.sample(rng), note=STARTUP)
        parent = self._parent(state, rng)
        child = parent.architecture
        if self.crossover and rng.random() < self.crossover:
            child = space.crossover(child, self._parent(state, rng).architecture, rng)
        child = mutant(space, child, rng)
        if self.inherit == "none":
            return Proposal(ordinal, child)
        if self.inherit == "morphism":
            return descended(self.problem, ordinal, parent, child)
        note = {"parent": parent.ordinal}
        return Proposal(ordinal, child, parent.ordinal, self.inherit, note)

    def _parent(self, state: Population, rng: np.random.Generator) -> Finished:
        drawn = [state[int(i)] for i in rng.integers(len(state), size=self.sample)]
        return winner(drawn, preferences(drawn), rng)


def build(
    problem: Problem,
    *,
    population: Annotated[int, Ge(1)] = 20,
    sample: Annotated[int, Ge(1)] = 10,
    crossover: Annotated[float, Ge(0), Le(1)] = 0.0,
    inherit: Inherit = "none",
) -> Evolution:
    """Make the strategy.

    Args:
        problem: what to search.
        population: how many live at a time, and how many random trials come first. The default
            suits budgets of 50 to 500 evaluations; with more, a larger one searches wider.
        sample: size of the tournament; 1 makes a random walk.
        crossover: probability that the child is first crossed with a second parent.
        inherit: whether a child starts from its parent's weights: none, alike or morphism.

    Raises:
        StrategyError: morphism, for a space that says nothing of its networks.
    """
    return Evolution(problem, population, sample, crossover, inherit)
