"""When a study stops: folds over its ended trials."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from nas.record import TrialRecord

FAULTS_IN_A_ROW = 10


class StudyFailedError(Exception):
    """The study cannot go on: its candidates, or what it prepares, fail by their own fault."""


@dataclass(frozen=True)
class Budget:
    """The bounds of a study; None is no bound.

    Attributes:
        trials: how many in all.
        seconds: of searching, over all runs.
        target: {metric: value} that one trial reaches.
        no_progress: so many trials in a row without a new member of the front.
    """

    trials: int | None = None
    seconds: float | None = None
    target: Mapping[str, float] | None = None
    no_progress: int | None = None


@dataclass(frozen=True)
class Standing:
    """What the bounds are compared with, folded over the ended trials in their order."""

    ended: int = 0
    faults_in_a_row: int = 0
    last_fault: str = ""
    since_progress: int = 0
    front: tuple[tuple[float, ...], ...] = field(default=())
    reached: bool = False


def fold(
    standing: Standing,
    trial: TrialRecord,
    losses: tuple[float, ...] | None,
    target: tuple[float, ...] | None,
) -> Standing:
    """The standing after one more trial.

    Args:
        losses: of a complete, feasible trial, lower is better; else None.
        target: the losses to reach, infinite where an objective has none; None without a target.
    """
    failed = trial.state == "failed"
    progress = losses is not None and not any(_covers(old, losses) for old in standing.front)
    front = standing.front
    if progress and losses is not None:
        front = (*(old for old in front if not _covers(losses, old)), losses)
    reached = (
        losses is not None
        and target is not None
        and all(loss <= bound for loss, bound in zip(losses, target, strict=True))
    )
    return Standing(
        ended=standing.ended + 1,
        faults_in_a_row=standing.faults_in_a_row + 1 if failed else 0,
        last_fault=(trial.failure or {}).get("message", "") if failed else standing.last_fault,
        since_progress=0 if progress else standing.since_progress + 1,
        front=front,
        reached=standing.reached or reached,
    )


def _covers(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True))


def stop_reason(budget: Budget, standing: Standing, seconds: float) -> str:
    """Why no further trial is started, or the empty string."""
    if budget.trials is not None and standing.ended >= budget.trials:
        return f"{budget.trials} trials"
    if standing.reached:
        wanted = ", ".join(f"{m} {v:g}" for m, v in (budget.target or {}).items())
        return f"the target is reached: {wanted}"
    if budget.no_progress is not None and standing.since_progress >= budget.no_progress:
        return f"{budget.no_progress} trials without progress"
    if budget.seconds is not None and seconds >= budget.seconds:
        return f"{budget.seconds:g} seconds"
    return ""


def target_losses(
    target: Mapping[str, float] | None, objectives: Mapping[str, str]
) -> tuple[float, ...] | None:
    """The target as losses in the order of the objectives; infinite where none is given."""
    if target is None:
        return None
    return tuple(
        math.inf
        if metric not in target
        else (-target[metric] if direction == "maximize" else target[metric])
        for metric, direction in objectives.items()
    )
