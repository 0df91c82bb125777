"""How far a distribution over architectures is from a band of costs, to be differentiated.

    E[c(a)],   c = 0 where the cost of a is in the band, else 1 + |log(cost / the band's near end)|

over architectures a whose decisions are drawn independently. Where the distribution is all in the
band it is exactly 0; what is outside pays 1 at least, however near it is, so that the distribution
ends inside. With few decisions that cost anything all combinations are summed up; with many, some
are drawn, and the gradient is estimated by their scores (Ronald J. Williams: Simple statistical
gradient-following algorithms for connectionist reinforcement learning, 1992), each beside the mean
of the others.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from evaluators.preparations._pricing import Pricing
from evaluators.preparations._sampling import largest_architecture, smallest_architecture
from search_spaces import Architecture, Decision, PluginError, SearchSpace
from search_spaces.relaxation import learned

# As many combinations are summed up; of more, so many are drawn at a time.
_FEW, _DRAWN = 4096, 64
# How hard a band is looked for in a space that is too large to try all of it.
_TRIES, _WALKS, _STEPS = 400, 8, 100


@dataclass(frozen=True)
class Band:
    """Costs from `low` to `high`, both above 0."""

    low: float
    high: float

    @classmethod
    def below(cls, target: float, tolerance: float) -> "Band":
        """No more than a target, and less by no more than a share of it."""
        return cls(target * (1 - tolerance), target)

    def distance(self, cost: float) -> float:
        """c of a cost; see above."""
        if self.low <= cost <= self.high:
            return 0.0
        return 1 + abs(math.log(cost / (self.high if cost > self.high else self.low)))


class Costing(Protocol):
    """What a distribution costs; `logits` has those of every learned decision [choices]."""

    def distance(self, logits: Mapping[str, Tensor]) -> Tensor:
        """[] the expected distance from the band, differentiable."""
        ...

    def measured(self, logits: Mapping[str, Tensor]) -> dict[str, float]:
        """`expected_cost`, `in_band_share`; `most_probable_cost` of the most probable choices."""
        ...


def costing(pricing: Pricing, band: Band) -> Costing:
    """By all combinations, where they are few."""
    free = _that_cost(pricing.space)
    if math.prod(len(d.choices) for d in free) <= _FEW:
        return Enumerated(pricing, band)
    return Drawn(pricing, band)


def _that_cost(space: SearchSpace) -> list[Decision]:
    """Learned decisions that may change a cost: activations do no work that is counted."""
    return [d for d in learned(space) if not d.name.endswith(".activation")]


class Enumerated:
    """Exactly, over all combinations of the decisions that may change a cost."""

    def __init__(self, pricing: Pricing, band: Band) -> None:
        space = pricing.space
        self._decisions = _that_cost(space)
        shape = [len(d.choices) for d in self._decisions]
        costs = [pricing.cost(a) for a in _combinations(space, self._decisions)]
        distances = [band.distance(cost) for cost in costs]
        self._costs = torch.tensor(costs, dtype=torch.float64).reshape(shape)
        self._distances = torch.tensor(distances, dtype=torch.float64).reshape(shape)

    def distance(self, logits: Mapping[str, Tensor]) -> Tensor:
        return self._expected(self._distances, logits).float()

    def measured(self, logits: Mapping[str, Tensor]) -> dict[str, float]:
        with torch.no_grad():
            likely = tuple(int(logits[d.name].argmax()) for d in self._decisions)
            return {
                "expected_cost": float(self._expected(self._costs, logits)),
                "in_band_share": float(self._expected((self._distances == 0).double(), logits)),
                "most_probable_cost": float(self._costs[likely]),
            }

    def _expected(self, values: Tensor, logits: Mapping[str, Tensor]) -> Tensor:
        for decision in reversed(self._decisions):
            values = values @ logits[decision.name].double().softmax(0)
        return values


class Drawn:
    """By draws from the distribution, with torch's random numbers."""

    def __init__(self, pricing: Pricing, band: Band) -> None:
        self._pricing, self._band, self._space = pricing, band, pricing.space
        self._names = [d.name for d in _that_cost(self._space)]
        self._known: dict[tuple[int, ...], float] = {}

    def distance(self, logits: Mapping[str, Tensor]) -> Tensor:
        drawn = self._drawn(logits)
        distances = torch.tensor([self._band.distance(cost) for _, cost in drawn])
        scores = torch.stack([self._score(indices, logits) for indices, _ in drawn])
        others = (distances.sum() - distances) / (_DRAWN - 1)
        estimate = ((distances - others) * scores).mean()
        # The value is the mean distance, the gradient the estimate's.
        return distances.mean() + estimate - estimate.detach()

    def measured(self, logits: Mapping[str, Tensor]) -> dict[str, float]:
        costs = [cost for _, cost in self._drawn(logits)]
        likely = {name: int(logits[name].argmax()) for name in self._names}
        inside = [self._band.distance(cost) == 0 for cost in costs]
        return {
            "expected_cost": sum(costs) / len(costs),
            "in_band_share": sum(inside) / len(costs),
            "most_probable_cost": self._cost(likely),
        }

    def _drawn(self, logits: Mapping[str, Tensor]) -> list[tuple[dict[str, int], float]]:
        """Choices by their indices, and what they cost."""
        with torch.no_grad():
            rows = {
                name: torch.multinomial(logits[name].softmax(0), _DRAWN, replacement=True).tolist()
                for name in self._names
            }
        each = [{name: rows[name][i] for name in self._names} for i in range(_DRAWN)]
        return [(indices, self._cost(indices)) for indices in each]

    def _cost(self, indices: Mapping[str, int]) -> float:
        key = tuple(indices[name] for name in self._names)
        if key not in self._known:
            self._known[key] = self._pricing.cost(_architecture(self._space, indices))
        return self._known[key]

    def _score(self, indices: Mapping[str, int], logits: Mapping[str, Tensor]) -> Tensor:
        """The logarithm of the probability of what is decided in that architecture."""
        asked = _architecture(self._space, indices).choices
        terms = [
            logits[name].log_softmax(0)[index] for name, index in indices.items() if name in asked
        ]
        return torch.stack(terms).sum()


def _architecture(space: SearchSpace, indices: Mapping[str, int]) -> Architecture:
    return space.fill(lambda d: d.choices[indices.get(d.name, 0)])


def _combinations(space: SearchSpace, decisions: list[Decision]) -> Iterator[Architecture]:
    names = [d.name for d in decisions]
    for indices in product(*(range(len(d.choices)) for d in decisions)):
        yield _architecture(space, dict(zip(names, indices, strict=True)))


def check_reachable(pricing: Pricing, band: Band) -> None:
    """Refuse a band that no architecture is in; of a large space, that none was found in.

    Raises:
        PluginError: it says what can be reached.
    """
    costs = sorted(_looked_at(pricing, band))
    if any(band.low <= cost <= band.high for cost in costs):
        return
    below, above = [c for c in costs if c < band.low], [c for c in costs if c > band.high]
    nearest = [f"{cost:.6g}" for cost in (*below[-1:], *above[:1])]
    raise PluginError(
        f"target: no network costs from {band.low:.6g} to {band.high:.6g}; the nearest cost "
        f"{' and '.join(nearest)}, the smallest {costs[0]:.6g}, the largest {costs[-1]:.6g}: "
        "change target, or tolerance"
    )


def _looked_at(pricing: Pricing, band: Band) -> Iterator[float]:
    """Costs of all architectures, or of many, and of what leads from the nearest to the band."""
    space = pricing.space
    free = _that_cost(space)
    if math.prod(len(d.choices) for d in free) <= _FEW:
        yield from map(pricing.cost, _combinations(space, free))
        return
    rng = np.random.default_rng(0)
    first = [largest_architecture(space), smallest_architecture(space)]
    known = [(a, pricing.cost(a)) for a in (*first, *(space.sample(rng) for _ in range(_TRIES)))]
    yield from (cost for _, cost in known)
    for architecture, cost in sorted(known, key=lambda pair: band.distance(pair[1]))[:_WALKS]:
        for _ in range(_STEPS):
            changed = space.mutate(architecture, rng)
            other = pricing.cost(changed)
            yield other
            if band.distance(other) <= band.distance(cost):
                architecture, cost = changed, other
