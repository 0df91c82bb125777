"""Network transformation: children grow from the best trials and begin with what those compute.

Cai, Chen, Zhang, Yu and Wang, "Efficient architecture search by network transformation" (EAS),
AAAI 2018, arXiv 1707.04873; how networks grow: Chen, Goodfellow and Shlens, "Net2Net", ICLR 2016
(see `search_spaces.morphism`). First come `starts` small random networks: of the least depth and
widths. Then a child is one of the `parents` best trials that can grow, with some layers wider or
with one layer more, and starts from its weights (the inheritance `morphism`). A controller reads
the parent's layers and decides which (see `nas.strategies._transforming`).

    reward R = tan(objective pi / 2) + entropy bonus;  baseline b <- 0.95 b + 0.05 R
    parameters <- Adam along (R - b) x gradient of log p(step | parent)

Children that were tried are drawn again, of more parents each time; in the end, and where nothing
can grow, a small network begins anew.

The tangent makes differences near 1 count more. It is for an objective that is maximized, of values
from 0 to 1; another value counts as it is. A reward counts for at most 5 mean absolute deviations
from the baseline, as in `reinforce`. A trial teaches as the child of the best trial from which one
step leads to it; one that no step leads to (a start, one that was given) teaches nothing. Pruned
and infeasible trials count as the worst seen so far, failed ones do not count. One objective only.

Other than published: a child is one step from a trial, not ten from the first network, and the
parameters change with every trial, not with every ten. Results are those of inherited weights: a
child needs few epochs, and is better for what its ancestors were trained. `nas confirm` trains the
best from new weights.

Limits: what can grow, and the recipe of a child is its parent's. Space `gnn`, without extensions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from math import exp, pi, tan
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge

from nas.strategies._base import Finished, Problem, Proposal, Strategy
from nas.strategies._controller import Parameters
from nas.strategies._growing import MORPHISM, check_growing
from nas.strategies._ranking import measured
from nas.strategies._reward import Baseline, check_one_objective, reward_of
from search_spaces import Architecture, Choice, Decision

if TYPE_CHECKING:
    from nas.strategies._steps import Steps
    from nas.strategies._transforming import Step, Transformer

# In mean absolute deviations from the baseline.
_FAR = 5.0
# Of trials, so many of the best are remembered, as parents and to find a trial's parent.
_KEPT = 64
# So many children are drawn, at most, to find one that was not tried.
_DRAWS = 16
# The tangent of 1 is none.
_MOST = 1 - 1e-4


@dataclass(frozen=True, eq=False)
class Grove:
    """The controller, the baseline of its rewards, the best trials in order, the worst reward.

    Attributes:
        tried: keys of what has ended.
    """

    parameters: Parameters
    baseline: Baseline = field(default_factory=Baseline)
    best: tuple[Finished, ...] = ()
    worst: float | None = None
    tried: frozenset[str] = frozenset()


class Transformation(Strategy[Grove]):
    """EAS as a fold: the state is the controller and the best trials."""

    def __init__(
        self, problem: Problem, starts: int, parents: int, lr: float, entropy: float
    ) -> None:
        super().__init__(problem)
        check_one_objective("transformation", problem)
        check_growing('name: "transformation"', problem.space)
        self.starts, self.parents, self.lr, self.entropy = starts, parents, lr, entropy

    @cached_property
    def controller(self) -> "Transformer":
        # torch is imported with it: when something is proposed, not when strategies are listed.
        from nas.strategies._transforming import Transformer

        return Transformer(self.problem.space, self.problem.task)

    def initial(self) -> Grove:
        # Four numbers, where the generators of proposals have three.
        rng = np.random.default_rng([self.problem.seed, 0, 0, 1])
        return Grove(self.controller.initial(rng))

    def fold(self, state: Grove, finished: Finished) -> Grove:
        state = replace(state, tried=state.tried | {finished.architecture.key})
        value, worst = reward_of(finished, state.worst)
        if value is None:
            return state
        state = self._taught(replace(state, worst=worst), finished, value)
        if measured(finished) is None:
            return state
        best = sorted((*state.best, finished), key=_loss)[:_KEPT]
        return replace(state, best=tuple(best))

    def _taught(self, state: Grove, finished: Finished, value: float) -> Grove:
        step = self.step_to(state, finished)
        if step is None:
            return state
        reward = self.reward(value) + self.entropy * step.entropy
        baseline, advantage = state.baseline.judged(reward, _FAR)
        parameters = state.parameters.ascended(step.gradient * advantage, self.lr)
        return replace(state, parameters=parameters, baseline=baseline)

    def reward(self, value: float) -> float:
        """Args: value, of the objective, turned so that higher is better."""
        maximized = self.problem.objectives[0].direction == "maximize"
        return tan(min(value, _MOST) * pi / 2) if maximized and 0 <= value <= 1 else value

    def step_to(self, state: Grove, finished: Finished) -> "Step | None":
        """The step to a trial, from the best from which one leads there."""
        from search_spaces.growing import may_lead

        for parent in state.best:
            if not may_lead(self.problem.space, parent.architecture, finished.architecture):
                continue
            steps = self._steps(parent.architecture)
            step = self.controller.followed(state.parameters, steps, finished.architecture)
            if step is not None:
                return step
        return None

    def _steps(self, architecture: Architecture) -> "Steps":
        from nas.strategies._steps import Steps

        return Steps.of(self.problem.space, self.problem.task, architecture)

    def propose(
        self,
        state: Grove,
        ordinal: int,
        pending: Sequence[Architecture],
        rng: np.random.Generator,
    ) -> Proposal:
        if ordinal < self.starts:
            return Proposal(ordinal, self._small(rng), note={"phase": "start"})
        known = state.tried | {architecture.key for architecture in pending}
        able = self._able(state)
        offered = list(islice(able, self.parents))
        for _ in range(_DRAWS if offered else 0):
            parent, steps = offered[int(rng.integers(len(offered)))]
            step = self.controller.sampled(state.parameters, steps, rng)
            if step.child.key not in known:
                return _grown(ordinal, parent, step)
            offered += islice(able, 1)
        return Proposal(ordinal, self._small(rng), note={"phase": "anew"})

    def _able(self, state: Grove) -> Iterator[tuple[Finished, "Steps"]]:
        """The trials that can grow, the best ones first."""
        for parent in state.best:
            if steps := self._steps(parent.architecture):
                yield parent, steps

    def _small(self, rng: np.random.Generator) -> Architecture:
        """A random architecture of the least depth and widths."""
        least = {
            d.name: min(d.choices, key=_number) for d in self.problem.space.decisions if _grows(d)
        }
        return self.problem.space.sample(rng, least)


def _grown(ordinal: int, parent: Finished, step: "Step") -> Proposal:
    note: dict[str, str | int | float] = {
        "phase": "grown",
        "parent": parent.ordinal,
        "step": step.named,
        "probability": exp(step.log_probability),
    }
    return Proposal(ordinal, step.child, parent.ordinal, MORPHISM, note)


def _grows(decision: Decision) -> bool:
    return decision.name == "depth" or decision.name.endswith(".width")


def _number(choice: Choice) -> float:
    return float(choice)


def _loss(trial: Finished) -> float:
    losses = measured(trial) or ()
    return losses[0]


def build(
    problem: Problem,
    *,
    starts: Annotated[int, Ge(1)] = 10,
    parents: Annotated[int, Ge(1)] = 3,
    lr: Annotated[float, Ge(0)] = 2e-3,
    entropy: Annotated[float, Ge(0)] = 1e-5,
) -> Transformation:
    """Make the strategy.

    Args:
        problem: what to search.
        starts: how many small random networks come first.
        parents: of how many of the best that can grow a parent is drawn.
        lr: learning rate of the controller.
        entropy: worth of a nat of the controller's entropy, in units of the reward.

    Raises:
        StrategyError: several objectives, or a space that says nothing of its networks.
    """
    return Transformation(problem, starts, parents, lr, entropy)
