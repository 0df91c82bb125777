"""REINFORCE: a recurrent controller that is rewarded for good architectures.

Gao, Yang, Zhang, Zhou and Hu, "Graph neural architecture search" (GraphNAS), IJCAI 2020, arXiv
1904.09981; the gradient is Williams, "Simple statistical gradient-following algorithms for
connectionist reinforcement learning", 1992. The tokens are the decisions of the space in their
order; one that the earlier choices leave inactive is skipped.

    reward R = objective + entropy bonus;  baseline b <- 0.95 b + 0.05 R
    parameters <- Adam along (R - b) x gradient of log p(architecture)

The published learning rate is 3.5e-4, for a thousand trials and more; on published tables it has
hardly begun to learn after 200, and 10 times as much, the default, is better from 100 to 500.
The objective is turned so that higher is better, and is not scaled: Adam's step does not depend on
the scale of the rewards. What depends on it is the entropy bonus, 1e-4 a nat, meant for accuracies
in [0, 1]: for an objective with much smaller differences set `entropy = 0`. A diverged candidate,
with a loss of 1e6 say, would make all others look equally good for hundreds of trials, so a reward
counts for at most 5 mean absolute deviations from the baseline (moving averages both, which begin
with the medians of five trials).

The probability is that under the present controller, also of results that come out of order and of
architectures that were given. Where several descriptions are one architecture, the one that teaches
is drawn by their probabilities. Pruned and infeasible trials get the worst reward seen so far: they
had none, and the controller is to leave them; failed ones may be the machine's fault and do not
count. One objective only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from annotated_types import Ge

from nas.strategies._base import Finished, Problem, Proposal, Strategy
from nas.strategies._controller import Controller, Parameters, Walk
from nas.strategies._reward import Baseline, check_one_objective, reward_of
from search_spaces import Architecture, Choice, Decision

# In mean absolute deviations from the baseline.
_FAR = 5.0
# Of an architecture with more descriptions, so many are looked at.
_DESCRIPTIONS = 24


@dataclass(frozen=True, eq=False)
class Learned:
    """The controller, the baseline of its rewards, the worst reward that was measured."""

    parameters: Parameters
    baseline: Baseline = field(default_factory=Baseline)
    worst: float | None = None


class Reinforce(Strategy[Learned]):
    """GraphNAS as a fold: the state is the controller's parameters, replaced by each trial."""

    def __init__(self, problem: Problem, lr: float, entropy: float) -> None:
        super().__init__(problem)
        self.lr = lr
        self.entropy = entropy
        self._controller = Controller(problem.space.decisions)

    def initial(self) -> Learned:
        # Four numbers, where the generators of proposals have three.
        rng = np.random.default_rng([self.problem.seed, 0, 0, 1])
        return Learned(self._controller.initial(rng))

    def fold(self, state: Learned, finished: Finished) -> Learned:
        reward, worst = reward_of(finished, state.worst)
        if reward is None:
            return state
        walk = self.walk_of(state, finished)
        reward += self.entropy * walk.entropy
        baseline, advantage = state.baseline.judged(reward, _FAR)
        gradient = walk.gradient()
        gradient *= advantage
        return Learned(state.parameters.ascended(gradient, self.lr), baseline, worst)

    def walk_of(self, state: Learned, finished: Finished) -> Walk:
        """The present controller's walk to an architecture, by the description that it may take."""
        descriptions = list(self.problem.space.descriptions(finished.architecture))
        if len(descriptions) == 1:
            return self._followed(state, descriptions[0])
        # Five numbers, where the generators of proposals have three and that of weights has four.
        rng = np.random.default_rng([self.problem.seed, finished.ordinal, 0, 0, 1])
        if len(descriptions) > _DESCRIPTIONS:
            drawn = rng.choice(len(descriptions), _DESCRIPTIONS, replace=False)
            descriptions = [descriptions[i] for i in drawn.tolist()]
        walks = [self._followed(state, choices) for choices in descriptions]
        chances = np.exp(np.array([walk.log_probability for walk in walks]))
        return walks[int(rng.choice(len(walks), p=chances / chances.sum()))]

    def _followed(self, state: Learned, choices: Mapping[str, Choice]) -> Walk:
        walk = self._controller.walk(state.parameters)
        for decision in self.problem.space.decisions:
            if decision.name in choices:
                walk.follow(decision, choices[decision.name])
        return walk

    def propose(
        self,
        state: Learned,
        ordinal: int,
        pending: Sequence[Architecture],
        rng: np.random.Generator,
    ) -> Proposal:
        del pending
        walk = self._controller.walk(state.parameters)

        def choose(decision: Decision) -> Choice:
            return decision.choices[walk.sample(decision, rng)]

        return Proposal(ordinal, self.problem.space.fill(choose))


def build(
    problem: Problem,
    *,
    lr: Annotated[float, Ge(0)] = 3.5e-3,
    entropy: Annotated[float, Ge(0)] = 1e-4,
) -> Reinforce:
    """Make the strategy.

    Args:
        problem: what to search.
        lr: learning rate of the controller; 3.5e-4 is slower and less likely to settle early.
        entropy: worth of a nat of the controller's entropy, in units of the objective.

    Raises:
        StrategyError: several objectives.
    """
    check_one_objective("reinforce", problem)
    return Reinforce(problem, lr, entropy)
