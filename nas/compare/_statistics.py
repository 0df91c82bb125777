"""Rows of a comparison: means over seeds, and differences to random search paired by seed.

The interval is Student's t on the differences of runs with equal seeds (W. S. Gosset, "The probable
error of a mean", 1908): where both strategies are equally good it misses 0 in 5 % of comparisons,
as far as differences are normal, or seeds many. `p_holm` is the two-sided p of the same test, made
larger for the number of rows (S. Holm, "A simple sequentially rejective multiple test procedure",
1979): if a row is called different when it is below 0.05, the chance of calling any row different
that is not is at most 5 % over all rows together.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

from nas.compare._run import Run
from nas.intervals import interval as students
from nas.intervals import largest_difference

# Differences of equal numbers differ in their last bits.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Row:
    """One strategy after so many evaluations. None stands for what is not known.

    Attributes:
        strategy: its label.
        trials: evaluations that each run was charged for.
        seeds: runs.
        mean: over seeds, in the metric's own unit and direction; None where a run had found nothing
            feasible.
        stderr: of the mean; needs two seeds.
        difference_to_random: mean over seeds of the value minus that of random with equal seed.
        interval: of the difference, 95 %, low and high, as far as one can be; needs two seeds.
        p_holm: see the module.
        test_mean, test_stderr: of the best trial on test, where the evaluator can tell.
        without: runs that had found nothing complete and feasible.
    """

    strategy: str
    trials: int
    seeds: int
    mean: float | None
    stderr: float | None
    difference_to_random: float | None
    interval: tuple[float, float] | None
    p_holm: float | None
    test_mean: float | None = None
    test_stderr: float | None = None
    without: int = 0

    def to_json(self) -> dict[str, Any]:
        """The object of `nas compare --format json`; test only where something is known of it."""
        value: dict[str, Any] = {
            "strategy": self.strategy,
            "trials": self.trials,
            "seeds": self.seeds,
            "mean": self.mean,
            "stderr": self.stderr,
            "difference_to_random": self.difference_to_random,
            "interval": list(self.interval) if self.interval else None,
            "p_holm": self.p_holm,
        }
        if self.test_mean is not None:
            value |= {"test_mean": self.test_mean, "test_stderr": self.test_stderr}
        return value


def rows(
    runs: Mapping[str, Sequence[Run]],
    baseline: str,
    budgets: Sequence[int],
    reference: Sequence[float] = (),
) -> list[Row]:
    """A row for each budget and strategy, `p_holm` over all of them.

    Args:
        runs: {label: runs}, the seeds of all strategies equal and in the same order.
        baseline: the label of random search.
        budgets: numbers of evaluations.
        reference: the losses of the reference point, for several objectives.
    """
    made, ps = [], []
    for budget in budgets:
        values = {label: _values(own, budget, reference) for label, own in runs.items()}
        for label, own in runs.items():
            row, p = _row(label, own, budget, values[label], values[baseline], label == baseline)
            made.append(row)
            ps.append(p)
    adjusted = iter(holm([p for p in ps if p is not None]))
    return [
        row if p is None else replace(row, p_holm=next(adjusted))
        for row, p in zip(made, ps, strict=True)
    ]


def _values(runs: Sequence[Run], budget: int, reference: Sequence[float]) -> list[float | None]:
    return [run.value_at(budget, reference) for run in runs]


def _row(
    label: str,
    runs: Sequence[Run],
    budget: int,
    values: Sequence[float | None],
    baseline: Sequence[float | None],
    is_baseline: bool,
) -> tuple[Row, float | None]:
    mean, stderr = mean_and_stderr(values)
    test_mean, test_stderr = mean_and_stderr([run.test_at(budget) for run in runs])
    difference, interval, p = None, None, None
    pairs = [(v, b) for v, b in zip(values, baseline, strict=True)]
    known = [v - b for v, b in pairs if v is not None and b is not None]
    if not is_baseline and len(known) == len(pairs):
        difference = fmean(known)
        interval, p = paired_interval(known, _largest(runs[0], [*values, *baseline]))
    row = Row(
        strategy=label,
        trials=budget,
        seeds=len(runs),
        mean=mean,
        stderr=stderr,
        difference_to_random=difference,
        interval=interval,
        p_holm=None,
        test_mean=test_mean,
        test_stderr=test_stderr,
        without=sum(not run.front_at(budget) for run in runs),
    )
    return row, p


def _largest(run: Run, values: Sequence[float | None]) -> float:
    """What no difference between two of the values of a comparison can be more than."""
    if len(run.objectives) > 1:  # a hypervolume
        return math.inf
    return largest_difference(run.objectives[0].metric, [v for v in values if v is not None])


def mean_and_stderr(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """The mean and its standard error; None where a value is, or where one value has no spread."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None, None
    return fmean(known), stdev(known) / math.sqrt(len(known)) if len(known) > 1 else None


def paired_interval(
    differences: Sequence[float], largest: float = math.inf
) -> tuple[tuple[float, float] | None, float | None]:
    """The 95 % t-interval of the mean of paired differences, and the two-sided p of the mean 0.

    None and None for fewer than two. Differences that are all 0 have an interval of no width and a
    p of 1. Others that are all equal, as few seeds on a table can be, have no spread to judge by:
    no interval, and the p of the sign test.

    Args:
        largest: what no difference can be more than: there the interval is cut off.
    """
    n = len(differences)
    if n < 2:
        return None, None
    mean, error = fmean(differences), stdev(differences) / math.sqrt(n)
    if mean == 0 and error == 0:
        return (0.0, 0.0), 1.0
    if error <= ROUNDING * abs(mean):
        return None, 2 * 0.5**n
    from scipy.stats import t

    return students(mean, error, n, (-largest, largest)), 2 * float(t.sf(abs(mean) / error, n - 1))


def holm(ps: Sequence[float]) -> list[float]:
    """The p-values made larger for their number, by Holm's step-down procedure."""
    adjusted = [0.0] * len(ps)
    least = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        least = max(least, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = least
    return adjusted
