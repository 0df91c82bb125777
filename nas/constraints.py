"""Constraints: bounds on metrics, such as `params <= 50000`."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, TypeAlias, cast

from search_spaces import UsageError

Operator: TypeAlias = Literal["<=", ">="]

_FORM = re.compile(r"\s*([A-Za-z_][\w.]*)\s*([<>=!]+)\s*([^\s<>=!]\S*)\s*")
_NORMAL = NormalDist()
_EXAMPLE = 'write it like "params <= 50_000" or "val_accuracy >= 0.8"'


class ConstraintError(UsageError):
    """A constraint that cannot be read."""


def ends(metric: str) -> tuple[str, str]:
    """The metrics between which 90 % of the measurements of a predicted metric are expected.

    >>> ends("latency_ms")
    ('latency_low_ms', 'latency_high_ms')
    """
    stem, _, unit = metric.rpartition("_")
    return f"{stem}_low_{unit}", f"{stem}_high_{unit}"


@dataclass(frozen=True)
class Constraint:
    """A bound on one metric.

    Attributes:
        metric: its name.
        operator: `<=` or `>=`; a value equal to the bound is feasible.
        bound: finite.
        confidence: the share of measurements that are to keep the bound, where the metric is a
            prediction with a spread (see `ends`): its end there is held against the bound. 0.5 is
            the prediction itself.

    Raises:
        ConstraintError: another operator, or a bound that is not finite.
    """

    metric: str
    operator: Operator
    bound: float
    confidence: float = 0.5

    def __post_init__(self) -> None:
        if self.operator not in ("<=", ">="):
            raise ConstraintError(f'"{self}": expected <= or >=, got {self.operator}; {_EXAMPLE}')
        if not math.isfinite(self.bound):
            raise ConstraintError(
                f'"{self}": expected a finite number, got {self.bound}; {_EXAMPLE}'
            )

    def violation(self, metrics: Mapping[str, float]) -> float | None:
        """By how much the bound is broken, relative to it.

        `max(0, value - bound) / |bound|` for `<=`, and its mirror image for `>=`; where the bound
        is 0, the excess itself. None where the metric has not been measured: nothing is known. A
        NaN satisfies no bound and is infinitely far off.
        """
        if self.metric not in metrics:
            return None
        value = self.judged(metrics)
        if math.isnan(value):
            return math.inf
        excess = value - self.bound if self.operator == "<=" else self.bound - value
        return max(0.0, excess / (abs(self.bound) or 1.0))

    def judged(self, metrics: Mapping[str, float]) -> float:
        """What is held against the bound: of a prediction with a spread, its end on the bad side.

        The logarithm of such a metric is normal, and 90 % of it lie between its two ends.
        """
        value = metrics[self.metric]
        low, high = (metrics.get(end) for end in ends(self.metric))
        if low is None or high is None or not 0 < low <= high:
            return value
        deviation = math.log(high / low) / (2 * _NORMAL.inv_cdf(0.95))
        away = deviation * _NORMAL.inv_cdf(self.confidence)
        return value * math.exp(away if self.operator == "<=" else -away)

    def __str__(self) -> str:
        return f"{self.metric} {self.operator} {self.bound:.15g}"


def parse(text: str) -> Constraint:
    """Read a constraint: a metric, `<=` or `>=`, and a number (`50000`, `50_000` and `5e4` alike).

    Raises:
        ConstraintError: it has another form; the message says what was expected.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ConstraintError(
            f'expected a metric, <= or >=, and a number, got "{text}"; {_EXAMPLE}'
        )
    metric, operator, number = match.groups()
    try:
        bound = float(number)
    except ValueError as error:
        raise ConstraintError(
            f'"{text}": expected a number behind {operator}, got "{number}"; {_EXAMPLE}'
        ) from error
    return Constraint(metric, cast(Operator, operator), bound)


def total_violation(constraints: Iterable[Constraint], metrics: Mapping[str, float]) -> float:
    """The sum of the relative violations: 0 when every measured metric keeps its bound.

    Metrics that have not been measured count 0, so cheap facts can rule a candidate out before the
    expensive ones are known; ask again when they are.
    """
    return sum((c.violation(metrics) or 0.0 for c in constraints), start=0.0)
