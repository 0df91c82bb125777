"""Simulated annealing: one walk through the space that at first also goes to what is worse.

S. Kirkpatrick, C. D. Gelatt, M. P. Vecchi: Optimization by Simulated Annealing (1983). A neighbor
that is better is taken; one that is worse by `d` is taken with probability exp(-d / temperature).
The temperature, in units of the objective, is multiplied by `cooling` with each trial: 0.05 begins
by forgiving some points of accuracy, and after 100 trials at 0.97 forgives two thousandths.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp
from typing import Annotated

import numpy as np
from annotated_types import Gt, Le

from nas.strategies import Finished, Problem, Proposal, Strategy, StrategyError
from search_spaces import Architecture


@dataclass(frozen=True)
class Walk:
    """Where the walk is, with what loss, and how many trials it has seen."""

    here: Architecture | None = None
    loss: float = 0.0
    seen: int = 0


class Annealing(Strategy[Walk]):
    def __init__(self, problem: Problem, temperature: float, cooling: float) -> None:
        super().__init__(problem)
        if len(problem.objectives) != 1:
            raise StrategyError(
                f"annealing is for one objective, got {len(problem.objectives)}; give one, or "
                "choose nsga2"
            )
        self.temperature, self.cooling = temperature, cooling

    def initial(self) -> Walk:
        return Walk()

    def fold(self, state: Walk, finished: Finished) -> Walk:
        if finished.outcome != "complete" or finished.losses is None:
            return replace(state, seen=state.seen + 1)
        (loss,) = finished.losses
        # A fold has no random numbers but those that it makes from what it is given.
        draw = np.random.default_rng([self.problem.seed, finished.ordinal]).random()
        heat = self.temperature * self.cooling**state.seen
        if state.here is None or loss <= state.loss or draw < exp((state.loss - loss) / heat):
            return Walk(finished.architecture, loss, state.seen + 1)
        return replace(state, seen=state.seen + 1)

    def propose(
        self, state: Walk, ordinal: int, pending: Sequence[Architecture], rng: np.random.Generator
    ) -> Proposal:
        space = self.problem.space
        if state.here is None or not space.mutable(state.here):
            return Proposal(ordinal, space.sample(rng))
        heat = self.temperature * self.cooling**state.seen
        return Proposal(ordinal, space.mutate(state.here, rng), note={"temperature": heat})


def build(
    problem: Problem,
    *,
    temperature: Annotated[float, Gt(0)] = 0.05,
    cooling: Annotated[float, Gt(0), Le(1)] = 0.97,
) -> Annealing:
    return Annealing(problem, temperature, cooling)
