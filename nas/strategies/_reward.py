"""What strategies that learn from rewards make of an ended trial."""

import math
from dataclasses import dataclass
from statistics import median

from nas.strategies._base import Finished, Problem, StrategyError
from nas.strategies._ranking import measured, usable

_DECAY = 0.95
# So many rewards begin a baseline that is not to be misled: any of fewer may be the outlier.
_FIRST = 5


def check_one_objective(strategy: str, problem: Problem) -> None:
    """Raises: StrategyError: the problem has several objectives."""
    metrics = [objective.metric for objective in problem.objectives]
    if len(metrics) > 1:
        raise StrategyError(
            f'name: "{strategy}" is for one objective, got {len(metrics)} '
            f"({', '.join(metrics)}); for several use nsga2 or linas"
        )


def reward_of(finished: Finished, worst: float | None) -> tuple[float | None, float | None]:
    """The reward of a trial, higher is better, and the worst measured so far.

    Pruned and infeasible trials get the worst; it is None, and so is theirs, before anything was
    measured. Failed trials have no reward.
    """
    losses = measured(finished)
    if losses is not None:
        reward = -losses[0]
        return reward, reward if worst is None else min(worst, reward)
    return (worst if usable(finished) else None), worst


@dataclass(frozen=True)
class Baseline:
    """Moving averages of the rewards and of their absolute deviation; None before the first."""

    mean: float | None = None
    deviation: float = 0.0
    first: tuple[float, ...] = ()

    def judged(self, reward: float, far: float = math.inf) -> tuple["Baseline", float]:
        """The baseline with this reward, and by how much the reward is above that.

        A reward counts for at most `far` mean absolute deviations from the baseline. With such a
        bound, the first five only make the baseline, by their medians, and are not above it.
        """
        if far < math.inf and len(self.first) < _FIRST:
            first = (*self.first, reward)
            middle = median(first)
            return Baseline(middle, median(abs(r - middle) for r in first), first), 0.0
        if self.mean is None:
            return Baseline(reward), 0.0
        difference = reward - self.mean
        if self.deviation == 0:
            deviation = abs(difference)
        else:
            difference = max(-far * self.deviation, min(far * self.deviation, difference))
            deviation = _DECAY * self.deviation + (1 - _DECAY) * abs(difference)
        mean = self.mean + (1 - _DECAY) * difference
        return Baseline(mean, deviation, self.first), _DECAY * difference
