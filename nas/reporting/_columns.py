"""What charts know of trials: each fact once, by columns, choices by their places."""

from collections.abc import Mapping, Sequence
from typing import Any

from nas.record import TrialRecord
from nas.reporting._record import Record
from nas.reporting._startup import is_random

ABSENT = -1
# Digits that are seen in a drawing; more would only make the page larger.
_DIGITS = 6


def columns(record: Record, drawn: Mapping[int, str]) -> dict[str, Any]:
    """The complete, feasible trials, best first.

    Args:
        drawn: {trial: the key of its drawing}, where it has one.

    Returns:
        `number`, `rank`, `random`, and of each metric and decision a list, all in one order. Of
        decisions the place of the choice, or -1 where the decision does not exist.
    """
    best = record.best
    metrics = list(dict.fromkeys(m for trial in best for m in trial.settled))
    used = [name for name in record.decisions if any(_choice(t, name) is not None for t in best)]
    return {
        "number": [trial.number for trial in best],
        "rank": [rank for rank, _ in record.ranked],
        "random": [int(is_random(record.spec, trial)) for trial in best],
        "objectives": [[m, d] for m, d in record.objectives.items()],
        "metrics": {m: [_short(trial.settled.get(m)) for trial in best] for m in metrics},
        "decisions": {name: _decision(record.decisions[name], name, best) for name in used},
        "drawing": {str(number): key for number, key in drawn.items()},
    }


def _decision(choices: Sequence[Any], name: str, trials: Sequence[TrialRecord]) -> dict[str, Any]:
    places = {_hashable(choice): place for place, choice in enumerate(choices)}
    at = [places.get(_hashable(_choice(trial, name)), ABSENT) for trial in trials]
    return {"choices": [str(choice) for choice in choices], "at": at}


def _choice(trial: TrialRecord, name: str) -> Any:
    return trial.architecture.choices.get(name) if trial.architecture else None


def _hashable(choice: Any) -> tuple[str, Any]:
    """True and 1 are choices of their own."""
    return type(choice).__name__, repr(choice)


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")
