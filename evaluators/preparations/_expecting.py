"""What the architectures of a distribution cost on average, to be differentiated.

    E[cost] = E over a of (cost(a) with formats that are drawn)

Some architectures are drawn. Over the formats of each the expectation is exact, where the cost adds
up over them; in everything else its gradient is estimated by the scores of what was drawn (Ronald
J. Williams: Simple statistical gradient-following algorithms for connectionist reinforcement
learning, 1992), each beside the mean of the others.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from evaluators.preparations._pricing import Pricing
from evaluators.preparations._sizing import Row, Sizes
from search_spaces import Architecture, PluginError, SearchSpace, Task
from search_spaces.relaxation import learned

CostOf: TypeAlias = Callable[[Architecture], Row]
_DRAWN, _EVEN = 8, 64


def cost_of(
    space: SearchSpace,
    task: Task,
    cost: str,
    examples: Sequence[Sequence[int]] = (),
    costs: Sequence[float] = (),
) -> CostOf:
    """What each architecture costs, fast: bytes exactly, all else as learned from examples.

    Args:
        space, task: of the architectures.
        cost: "model_bytes", or any that examples are given of.
        examples: architectures, encoded by the space.
        costs: what they cost.

    Raises:
        SpaceError: the modules of the space's networks are not known.
        PluginError: no examples.
    """
    if cost == "model_bytes":
        return Sizes(space, task).row
    if not examples:
        raise PluginError(f'cost: expected examples of "{cost}", and what they cost; got none')
    pricing = Pricing.fitted(space, task, [space.decode(row) for row in examples], costs)
    return lambda architecture: Row(pricing.cost(architecture), {})


def by_scores(values: Tensor, scores: Tensor) -> Tensor:
    """[] whose gradient estimates that of the expectation of values.

    Args:
        values: [n] of what was drawn, two or more, each held beside the mean of the others.
        scores: [n] the logarithms of their probabilities.
    """
    better = values - (values.sum() - values) / (len(values) - 1)
    return (better * scores).mean()


class Expected:
    """The expectation of a cost.

    Args:
        space: of the architectures.
        cost: of each.
    """

    def __init__(self, space: SearchSpace, cost: CostOf) -> None:
        self._space, self._cost = space, cost
        self._decisions = learned(space)
        rng = np.random.default_rng(0)
        even = {d.name: torch.full((len(d.choices),), 1 / len(d.choices)) for d in space.decisions}
        drawn = [cost(space.sample(rng)).expected(even) for _ in range(_EVEN)]
        # Of the even distribution.
        self.even = float(torch.stack(drawn).mean())

    def of(self, architecture: Architecture) -> float:
        """What one costs."""
        return self._cost(architecture).value

    def value(self, logits: Mapping[str, Tensor]) -> Tensor:
        """[] of the distribution of these logits, one row for each learned decision.

        By torch's random numbers.
        """
        p = {name: row.softmax(0) for name, row in logits.items()}
        drawn = self._drawn(p)
        rows = [self._cost(architecture) for architecture in drawn]
        values = torch.stack([row.expected(p) for row in rows])
        scores = [self._score(a, row, logits) for a, row in zip(drawn, rows, strict=True)]
        estimate = by_scores(values.detach(), torch.stack(scores))
        return values.mean() + estimate - estimate.detach()

    def _drawn(self, p: Mapping[str, Tensor]) -> list[Architecture]:
        with torch.no_grad():
            indices = {
                d.name: torch.multinomial(p[d.name], _DRAWN, replacement=True).tolist()
                for d in self._decisions
            }
        return [
            self._space.fill(lambda d: d.choices[indices[d.name][i] if d.name in indices else 0])  # noqa: B023 - it is called at once
            for i in range(_DRAWN)
        ]

    def _score(self, architecture: Architecture, row: Row, logits: Mapping[str, Tensor]) -> Tensor:
        """The logarithm of the probability of what is not expected exactly."""
        return score(
            logits,
            {
                d.name: d.choices.index(architecture.choices[d.name])
                for d in self._decisions
                if d.name in architecture.choices and d.name not in row.other
            },
        )


def score(logits: Mapping[str, Tensor], chosen: Mapping[str, int]) -> Tensor:
    """[] the logarithm of the probability of some choices."""
    terms = [logits[name].log_softmax(0)[index] for name, index in chosen.items()]
    return torch.stack(terms).sum() if terms else torch.zeros(())
