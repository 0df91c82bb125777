"""The record as points of curves: what every logger writes, whatever it writes to.

A point is of a tag and a step, and the same whenever it is made: what was logged twice is the same
twice, and a logger that knows what it has can leave it out.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nas.store.following import Followed
from nas.store.rows import losses_of

# As [study] objectives refuses it: what the name of a metric of the sealed split begins with.
_SEALED = "test"
# What changes from one rung to the next.
_LEARNED = ("val_", "train_")
# The last point of every trial: where it is, all of the trial is.
ENDED = "trial/ended"


@dataclass(frozen=True)
class Point:
    """One value of one curve.

    Attributes:
        tag: of the curve: `trial/val_accuracy`, `best/params`, `decision/depth`, ...
        step: the number of a trial, or an epoch of a preparation.
        value: finite.
        seconds: since 1970; when the trial ended.
    """

    tag: str
    step: int
    value: float
    seconds: float


class Points:
    """A fold over the trials of a study, in the order in which they ended.

    Args:
        objectives: {metric: direction}.
        choices: {decision: its choices}; one that is no number is told by its place among them.
        created: of the study, in seconds since 1970: the time of what has none.
    """

    def __init__(
        self, objectives: Mapping[str, str], choices: Mapping[str, Sequence[Any]], created: float
    ) -> None:
        self._objectives, self._choices, self._created = objectives, choices, created
        self._best: dict[str, float] = {}

    def of_trial(self, followed: Followed) -> list[Point]:
        """The points of a trial that has ended; the last one says that it has."""
        record, ended = followed.record, followed.ended
        seconds = self._created if ended is None else ended.replace(tzinfo=UTC).timestamp()
        values = {f"trial/{name}": value for name, value in _shown(record.metrics)}
        values["trial/seconds"] = record.seconds
        *earlier, _last = [*followed.rungs.items()] or [(0, {})]
        for epoch, metrics in earlier:
            learned = [pair for pair in _shown(metrics) if pair[0].startswith(_LEARNED)]
            values |= {f"rung/{epoch}/{name}": value for name, value in learned}
        if record.architecture is not None:
            for name, choice in record.architecture.choices.items():
                values[f"decision/{name}"] = self._number(name, choice)
        if record.state == "complete":
            self._improve(record.metrics)
        values |= {f"best/{metric}": value for metric, value in self._best.items()}
        values[ENDED] = float(record.seq or 0)
        return [Point(tag, record.number, value, seconds) for tag, value in values.items()]

    def of_epoch(self, plugin: str, epoch: int, metrics: Mapping[str, float]) -> list[Point]:
        """The points of an epoch of a preparation."""
        return [
            Point(f"preparation/{plugin}/{name}", epoch, value, self._created)
            for name, value in _shown(metrics)
        ]

    def _number(self, name: str, choice: object) -> float:
        if isinstance(choice, int | float):
            return float(choice)
        return float(list(self._choices[name]).index(choice))

    def _improve(self, metrics: Mapping[str, float]) -> None:
        for metric, direction in self._objectives.items():
            value = metrics.get(metric)
            if value is None or not math.isfinite(value):
                continue
            one = {metric: direction}
            best = self._best.setdefault(metric, value)
            if losses_of({metric: value}, one) < losses_of({metric: best}, one):
                self._best[metric] = value


def _shown(metrics: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """What is a number, and nothing of the sealed split."""
    for name, value in metrics.items():
        if value is not None and math.isfinite(value) and not name.startswith(_SEALED):
            yield name, float(value)


def settings(spec: Mapping[str, Any], choices: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """What a study was begun with, as text by dotted names; of each decision, its choices."""
    flat: dict[str, str] = {}
    for table, content in spec.items():
        if table == "log":
            continue
        if isinstance(content, Mapping):
            flat |= {f"{table}.{key}": _text(value) for key, value in content.items()}
        else:
            flat[table] = _text(content)
    numbered = {
        name: ", ".join(f"{place} {choice}" for place, choice in enumerate(each))
        for name, each in choices.items()
        if not all(isinstance(choice, int | float) for choice in each)
    }
    return flat | {f"choices.{name}": text for name, text in numbered.items()}


def _text(value: object) -> str:
    if isinstance(value, list) and all(isinstance(pair, list) for pair in value):
        return ", ".join(" ".join(map(str, pair)) for pair in value)
    return str(value)


def seconds_of(iso: str) -> float:
    """Seconds since 1970 of a time of the record."""
    return datetime.fromisoformat(iso).timestamp()
