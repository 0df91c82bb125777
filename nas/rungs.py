"""Rungs: at which epochs a trial is measured, and whether it goes on (a fold over the record)."""

from collections.abc import Sequence
from typing import TypeAlias

from nas.pareto import ranks_and_crowding

# (violation, rank, -crowding distance); lower is better.
Standing: TypeAlias = tuple[float, float, float]


def levels(rungs: Sequence[int], epochs: int) -> tuple[int, ...]:
    """The epochs at which a trial is measured, the last of them the full `epochs`."""
    return (*(rung for rung in rungs if rung < epochs), epochs)


def goes_on(
    losses: Sequence[tuple[float, ...]], violations: Sequence[float], reduction: int
) -> bool:
    """Whether the last of these trials, in the order measured at one rung, goes on to the next.

    Asynchronous successive halving (L. Li, K. Jamieson, A. Rostamizadeh, E. Gonina, M. Hardt,
    B. Recht, A. Talwalkar, "A System for Massively Parallel Hyperparameter Tuning", 2020), stopping
    variant: it goes on when it is among the best `1 / reduction` of what the rung has seen so far,
    at least one. Because only earlier rows count, the decision is the same whenever it is asked
    again.

    Args:
        losses: one tuple a trial, lower is better.
        violations: by how much each breaks its constraints at this rung; 0 when feasible.
        reduction: one in so many goes on.
    """
    *others, mine = standings(losses, violations)
    return sum(other <= mine for other in others) < _places(len(losses), reduction)


def best(
    losses: Sequence[tuple[float, ...]], violations: Sequence[float], reduction: int
) -> list[int]:
    """The indices of the trials of one bracket that go on: the best `1 / reduction`, at least one.

    Successive halving (K. Jamieson, A. Talwalkar, "Non-stochastic Best Arm Identification and
    Hyperparameter Optimization", 2016). Of equal trials the earlier goes on.

    Args:
        losses, violations, reduction: as for `goes_on`, of all that the bracket has at this rung.
    """
    keys = standings(losses, violations)
    return sorted(range(len(keys)), key=keys.__getitem__)[: _places(len(keys), reduction)]


def standings(losses: Sequence[tuple[float, ...]], violations: Sequence[float]) -> list[Standing]:
    """A key for each trial of a rung, lower is better: constrained domination (Deb et al., 2002).

    Feasible trials come first, by non-dominated rank (of one objective the order of its losses),
    then by crowding distance. Then come the infeasible ones, by their violation.
    """
    keys: list[Standing] = [(violation, 0.0, 0.0) for violation in violations]
    feasible = [i for i, violation in enumerate(violations) if violation <= 0]
    if feasible:
        ranks, crowding = ranks_and_crowding([losses[i] for i in feasible])
        for i, rank, distance in zip(feasible, ranks, crowding, strict=True):
            keys[i] = (0.0, float(rank), -float(distance))
    return keys


def _places(trials: int, reduction: int) -> int:
    return max(1, trials // reduction)
