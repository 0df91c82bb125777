"""Local search: evaluate the neighbors of the best architecture, one decision away from it.

White, Nolen and Savani, "Exploring the loss landscape in neural architecture search", 2021: a hard
baseline on tabular benchmarks. Den Ottelander, Dushatskiy, Virgolin and Bosman, "Local search is a
remarkably strong baseline for neural architecture search", 2021, has several objectives. After
`startup` random architectures, each proposal is a random neighbor, not evaluated yet, of the best
trial that has any: it moves on as soon as something better is found, and where a neighborhood is
used up, it goes on from the next best trial instead of starting again. A best-first search over
the record, in short, which never ends before the space does.

A neighbor differs in exactly one active decision; what such a change switches on is drawn once for
each architecture and change, so a neighborhood is finite. Several objectives and constraints:
feasible beats infeasible, a smaller violation beats a larger, then the non-dominated rank, then the
crowding distance, then chance. Failed trials have no neighbors, and are not tried again.

Limit: of the trials that are not used up, the best `WIDTH` and those that ended lately are kept in
mind; where all of them are used up, a random architecture follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated

import numpy as np
from annotated_types import Ge

from nas.strategies._base import STARTUP, Finished, Problem, Proposal, Strategy
from nas.strategies._log import Log
from nas.strategies._ranking import preferences, usable
from search_spaces import Architecture

WIDTH = 100


@dataclass(frozen=True)
class Explored:
    """All that has ended, how many of it taught something, and from which of it to go on."""

    log: Log = field(default_factory=Log)
    informed: int = 0
    best: tuple[Finished, ...] = ()


class LocalSearch(Strategy[Explored]):
    """Best-first local search as a fold."""

    def __init__(self, problem: Problem, startup: int) -> None:
        super().__init__(problem)
        self.startup = startup
        # A function of its argument, remembered for those that are looked at again and again.
        self._neighbors = lru_cache(maxsize=4 * WIDTH)(self._all_neighbors)

    def initial(self) -> Explored:
        return Explored()

    def fold(self, state: Explored, finished: Finished) -> Explored:
        log = state.log.append(finished)
        if not usable(finished):
            return Explored(log, state.informed, state.best)
        best = (*state.best, finished)
        if len(best) >= 2 * WIDTH:
            best = self._worth_keeping(best, log)
        return Explored(log, state.informed + 1, best)

    def propose(
        self,
        state: Explored,
        ordinal: int,
        pending: Sequence[Architecture],
        rng: np.random.Generator,
    ) -> Proposal:
        if state.informed >= self.startup:
            waiting = {architecture.key for architecture in pending}
            shuffled = [state.best[i] for i in rng.permutation(len(state.best)).tolist()]
            for trial in _by_preference(shuffled):
                new = [a for a in self._open(trial, state.log) if a.key not in waiting]
                if new:
                    return Proposal(ordinal, new[int(rng.integers(len(new)))])
        note = STARTUP if state.informed < self.startup else {}
        return Proposal(ordinal, self.problem.space.sample(rng), note=note)

    def _worth_keeping(self, trials: tuple[Finished, ...], log: Log) -> tuple[Finished, ...]:
        """The best, without the used-up ones at the top."""
        ranked = _by_preference(trials)
        used_up = 0
        while used_up < len(ranked) and not self._open(ranked[used_up], log):
            used_up += 1
        return tuple(ranked[used_up : used_up + WIDTH])

    def _open(self, trial: Finished, log: Log) -> list[Architecture]:
        return [a for a in self._neighbors(trial.architecture) if not log.has(a.key)]

    def _all_neighbors(self, architecture: Architecture) -> tuple[Architecture, ...]:
        rng = np.random.default_rng([self.problem.seed, int(architecture.key, 16)])
        return self.problem.space.neighbors(architecture, rng)


def _by_preference(trials: Sequence[Finished]) -> list[Finished]:
    """The most preferred first; of equal ones, the order stays."""
    keys = preferences(trials)
    return [trials[i] for i in sorted(range(len(trials)), key=keys.__getitem__)]


def build(problem: Problem, *, startup: Annotated[int, Ge(1)] = 20) -> LocalSearch:
    """Make the strategy.

    Args:
        problem: what to search.
        startup: random trials before the first neighbor; failed ones do not count.
    """
    return LocalSearch(problem, startup)
