"""A front traced by cost: proposals aim at costs, and keep near what was learned."""

import math
from collections.abc import Callable, Container, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from nas.strategies._learned import Distribution, drawn, flattened, likeliest
from search_spaces import Architecture, Choice, Decision, SearchSpace

CostOf: TypeAlias = Callable[[Architecture], float]
LossOf: TypeAlias = Callable[[Architecture], float]
_DRAWS = 300
# Draws are by probabilities to the power of 1 / heat, for each of these: the last is nearly even.
_HEATS = (1.0, 4.0, 16.0)
# What is within this of the cost aimed at, in its logarithm, is near.
_NEAR = 0.1


class Ladder:
    """Costs from the smallest of a space to the largest, evenly spaced in their logarithm.

    Args:
        space: of the architectures.
        cost: of each, above 0; fast.
    """

    def __init__(self, space: SearchSpace, cost: CostOf) -> None:
        self._space, self._of, self._known = space, cost, dict[str, float]()
        self._low, self._high = (self.cost(end(space, self.cost, sign)) for sign in (1, -1))

    def rung(self, number: int) -> float:
        """The cost that proposal `number`, from 1, aims at: both ends, then ever finer between."""
        if number <= 2:
            return (self._low, self._high)[number - 1]
        return float(self._low * (self._high / self._low) ** halved(number - 2))

    def widest_gap(self, points: Sequence[tuple[float, float]]) -> float | None:
        """Between two costs of a front: where most could still be gained; None where little could.

        That is where the product of their ratio, in its logarithm, and of their losses' difference
        is largest: the part of the hypervolume that one trial between them might add at most. It is
        shared by those who have tried there in vain, and the next one aims beside them.

        Args:
            points: costs with their losses; those that others dominate do not count.
        """
        ordered = sorted(points)
        kept = [
            point
            for i, point in enumerate(ordered)
            if all(point[1] < before[1] for before in ordered[:i])
        ]
        gaps = []
        for (low, worse), (high, better) in pairwise(kept):
            tried = sum(low < cost < high for cost, _ in points)
            wide = math.log(high / low)
            if wide > 2 * _NEAR * (1 + tried):
                gaps.append((wide * (worse - better) / (1 + tried), low, high, tried))
        if not gaps:
            return None
        _, low, high, tried = max(gaps)
        return float(low * (high / low) ** halved(1 + tried))

    def nearest(
        self,
        aim: float,
        distribution: Distribution,
        loss: LossOf,
        seen: Container[str],
        rng: np.random.Generator,
    ) -> Architecture:
        """What is near a cost, and is expected to lose least.

        The best of some draws, changed choice by choice for as long as that is better. Where none
        is near, that of the nearest cost; one that was not seen, where there is one.
        """

        def likely(decision: Decision) -> Choice:
            return likeliest(distribution, decision)

        def rank(architecture: Architecture) -> tuple[bool, float, float]:
            away = abs(math.log(self.cost(architecture) / aim))
            is_seen = architecture.key in seen
            return is_seen, max(away, _NEAR), loss(architecture)

        flat = [flattened(distribution, heat) for heat in _HEATS]
        best = min((drawn(self._space, flat[i % len(flat)], rng) for i in range(_DRAWS)), key=rank)
        while True:
            before = best
            best = min([before, *_neighbors(self._space, before, likely)], key=rank)
            if rank(best) == rank(before):
                return before

    def cost(self, architecture: Architecture) -> float:
        """Of one, which is remembered."""
        key = architecture.key
        if key not in self._known:
            self._known[key] = self._of(architecture)
        return self._known[key]


def halved(number: int) -> float:
    """1/2, 1/4, 3/4, 1/8, 5/8, ...: van der Corput's sequence, from 1."""
    value, step = 0.0, 0.5
    while number:
        value += step * (number % 2)
        number, step = number // 2, step / 2
    return value


def end(space: SearchSpace, cost: CostOf, sign: int) -> Architecture:
    """What costs least, or with the sign -1 most: change by change, until none is better."""

    def first(decision: Decision) -> Choice:
        return decision.choices[0]

    found = space.fill(first)
    while True:
        best = min(_neighbors(space, found, first), key=lambda a: sign * cost(a), default=found)
        if sign * cost(best) >= sign * cost(found):
            return found
        found = best


def _neighbors(
    space: SearchSpace, found: Architecture, otherwise: Callable[[Decision], Choice]
) -> list[Architecture]:
    """With another choice of one decision; of what is asked then, `otherwise` says the choices."""
    return [
        space.fill(otherwise, {**found.choices, decision.name: choice})
        for decision in space.decisions
        if decision.name in found.choices
        for choice in decision.choices
        if choice != found.choices[decision.name]
    ]
