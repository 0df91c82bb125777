"""Numbers and choices as text, and steps of the best so far."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from nas.cards._numbers import number
from nas.record import TrialRecord

Point: TypeAlias = tuple[float, float]


def value(of: float | None) -> str:
    """A number for people; a dash for none."""
    return "-" if of is None else number(of)


def time(seconds: float) -> str:
    """In the unit that is read best."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def decisions(trial: TrialRecord) -> str:
    choices = trial.architecture.choices if trial.architecture else {}
    return ", ".join(f"{name}={choice}" for name, choice in choices.items())


def direction(objectives: Mapping[str, str], metric: str) -> str:
    return "larger is better" if objectives[metric] == "maximize" else "smaller is better"


def steps(values: Iterable[tuple[float, float | None]], maximize: bool) -> list[Point]:
    """(x, best so far) wherever it gets better, and at the last x."""
    found: list[Point] = []
    last = None
    for x, y in values:
        last = x
        if y is not None and (not found or (y > found[-1][1] if maximize else y < found[-1][1])):
            found.append((x, y))
    if found and last is not None and found[-1][0] != last:
        found.append((last, found[-1][1]))
    return found
