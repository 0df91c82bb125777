"""Which of several ended trials is the better parent."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from nas.pareto import ranks_and_crowding
from nas.strategies._base import Finished
from search_spaces import Architecture, SearchSpace

# (tier, violation, rank, -crowding distance); lower is better.
Preference: TypeAlias = tuple[int, float, int, float]

_MEASURED, _UNMEASURED, _INFEASIBLE, _FAILED = range(4)


def usable(trial: Finished) -> bool:
    """Whether anything was learned of the architecture; a failure may be the machine's."""
    return _tier(trial) != _FAILED


def measured(trial: Finished) -> tuple[float, ...] | None:
    """The losses of a feasible trial that ran to its end, all finite; None of any other trial."""
    return trial.losses if _tier(trial) == _MEASURED else None


def preferences(trials: Sequence[Finished]) -> list[Preference]:
    """A key for each trial among these, lower is better: Deb's constrained domination.

    Feasible ones that ran to their end come first, by non-dominated rank and then by crowding
    distance (with one objective there is no crowding); then those that were pruned; then the
    infeasible, by their violation; then the failed.
    """
    keys: list[Preference] = [(_tier(t), t.violation, 0, 0.0) for t in trials]
    complete = [i for i, t in enumerate(trials) if _tier(t) == _MEASURED]
    if not complete:
        return keys
    losses = np.array([trials[i].losses for i in complete], dtype=np.float64)
    ranks, crowding = ranks_and_crowding(losses)
    for index, rank, distance in zip(complete, ranks, crowding, strict=True):
        keys[index] = (_MEASURED, 0.0, int(rank), -float(distance))
    return keys


def winner(
    trials: Sequence[Finished], keys: Sequence[Preference], rng: np.random.Generator
) -> Finished:
    """The most preferred trial; of equal ones, any with equal probability."""
    best = min(keys)
    tied = [trial for trial, key in zip(trials, keys, strict=True) if key == best]
    return tied[int(rng.integers(len(tied)))]


def mutant(
    space: SearchSpace, architecture: Architecture, rng: np.random.Generator
) -> Architecture:
    """The architecture with one decision changed; itself, where it is the only one of its space."""
    return space.mutate(architecture, rng) if space.mutable(architecture) else architecture


def _tier(trial: Finished) -> int:
    if trial.outcome == "failed":
        return _FAILED
    if trial.outcome == "infeasible" or trial.violation > 0:
        return _INFEASIBLE
    if trial.outcome == "pruned" or trial.losses is None:
        return _UNMEASURED
    return _MEASURED if all(math.isfinite(loss) for loss in trial.losses) else _FAILED
