"""The search on predictions alone: an evolution whose children cost no evaluation."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nas.pareto import ranks_and_crowding
from nas.strategies._ranking import mutant
from search_spaces import Architecture, SearchSpace

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
# [n architectures] -> ([n, objectives] losses to hope for, NaN for what cannot be built, and [n]
# violations to expect).
Score: TypeAlias = Callable[[Sequence[Architecture]], tuple[Floats, Floats]]

_CROSSED, _MUTATED_TOO, _TWICE = 1 / 3, 1 / 2, 1 / 4


def order(losses: Floats, violations: Floats, most: int) -> Ints:
    """Indices, best first: the feasible by non-dominated rank and crowding, then by violation.

    Crowding is looked at for the first `most`; behind them a front is in the order given.
    """
    feasible = np.flatnonzero(violations <= 0)
    others = np.flatnonzero(violations > 0)
    others = others[np.argsort(violations[others], kind="stable")]
    ranks, lonely = ranks_and_crowding(losses[feasible], most)
    return np.concatenate([feasible[np.lexsort((-lonely, ranks))], others])


class Pool:
    """Distinct architectures in the order in which they were met, with their scores."""

    def __init__(self, space: SearchSpace, score: Score, n_objectives: int) -> None:
        self._space, self._score = space, score
        self._met: set[tuple[int, ...]] = set()
        self.architectures: list[Architecture] = []
        self.losses = np.empty((0, n_objectives))
        self.violations = np.empty(0)

    def add(self, architectures: Sequence[Architecture]) -> None:
        """Score those that the pool has not met yet; leave out what cannot be built."""
        new: dict[tuple[int, ...], Architecture] = {}
        for architecture in architectures:
            vector = self._space.encode(architecture)
            if vector not in self._met:
                new[vector] = architecture
        if not new:
            return
        self._met.update(new)
        losses, violations = self._score(list(new.values()))
        kept = np.flatnonzero(~np.isnan(losses).any(axis=1))
        scored = list(new.values())
        self.architectures += [scored[i] for i in kept.tolist()]
        self.losses = np.concatenate([self.losses, losses[kept]])
        self.violations = np.concatenate([self.violations, violations[kept]])

    def best(self, most: int) -> list[int]:
        """Indices of all, the `most` best ones first and in their order."""
        return [int(i) for i in order(self.losses, self.violations, most)]


def evolve(
    pool: Pool,
    space: SearchSpace,
    parents: Sequence[Architecture],
    rng: np.random.Generator,
    *,
    generations: int,
    children: int,
) -> None:
    """Fill a pool: the parents, random architectures, then children of the best so far.

    Args:
        pool: what is added to.
        space: of the architectures.
        parents: the best measured ones; as many of the pool's best breed in each generation.
        rng: the only source of randomness.
        generations: how many.
        children: of each generation, and how many random ones there are at first.
    """
    pool.add([*parents, *(space.sample(rng) for _ in range(children))])
    for _ in range(generations):
        n_living = max(2, len(parents))
        living = [pool.architectures[i] for i in pool.best(n_living)[:n_living]]
        if living:
            pool.add([_child(space, living, rng) for _ in range(children)])


def _child(
    space: SearchSpace, living: Sequence[Architecture], rng: np.random.Generator
) -> Architecture:
    """A mutant of one parent or two; the better of two drawn breeds: they are sorted."""
    child = living[int(rng.integers(len(living), size=2).min())]
    if rng.random() < _CROSSED:
        child = space.crossover(child, living[int(rng.integers(len(living)))], rng)
        if rng.random() >= _MUTATED_TOO:
            return child
    child = mutant(space, child, rng)
    return mutant(space, child, rng) if rng.random() < _TWICE else child
