"""The report of a comparison: strategies beside random search, over seeds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from nas.compare import BASELINE, Comparison, Row, Run, checked_point, example
from nas.reporting._closing import environment_rows
from nas.reporting._report import Chart, Report, Section, Table
from nas.reporting._shown import time, value
from nas.strategies import Objective
from search_spaces import UsageError

# So many numbers of evaluations have a point on a curve.
_POINTS = 40
# The reference point of hypervolumes lies so far behind the worst that is known.
_ROOM = 0.1
_LOSS = "loss {}"


def comparison_of(
    name: str, rows: Sequence[Mapping[str, Any]], reference: Mapping[str, float] | None
) -> Comparison:
    """The comparison that was recorded, with the seeds that all of its strategies have.

    Args:
        reference: the point of hypervolumes; None for one that is worse than all that is known.

    Raises:
        UsageError: nothing can be compared: random search, or a common seed, is missing; or the
            point does not fit.
    """
    objectives = _objectives(rows[0])
    if reference is not None:
        reference = checked_point([o.metric for o in objectives], reference)
    runs: dict[str, dict[int, Run]] = {}
    for row in rows:
        content = {key: row[key] for key in ("seed", "trials", "counts", "trace", "seconds")}
        run = Run.from_json(content, row["label"], objectives)
        runs.setdefault(row["label"], {})[run.seed] = run
    seeds = sorted(set.intersection(*(set(of) for of in runs.values())))
    if BASELINE not in runs or not seeds:
        raise UsageError(
            f'the comparison "{name}" has not got far enough: expected random search and a seed '
            f"that all strategies have ended, got {', '.join(runs)}; the same nas compare goes on"
        )
    labels = [BASELINE, *(label for label in runs if label != BASELINE)]
    kept = {label: [runs[label][seed] for seed in seeds] for label in labels}
    trials = max(run.trials for of in kept.values() for run in of)
    if reference is None:
        reference = _behind(kept, objectives) if len(objectives) > 1 else {}
    return Comparison(objectives, trials, kept, BASELINE, reference)


def _objectives(row: Mapping[str, Any]) -> tuple[Objective, ...]:
    """As recorded; of earlier versions the losses have no names."""
    if row["objectives"]:
        return tuple(Objective(metric, direction) for metric, direction in row["objectives"])
    losses = len(row["trace"][0][1]) if row["trace"] else 1
    return tuple(Objective(_LOSS.format(i + 1), "minimize") for i in range(losses))


def _behind(runs: Mapping[str, Sequence[Run]], objectives: Sequence[Objective]) -> dict[str, float]:
    """A little worse than the worst in every objective."""
    points = [step.losses for of in runs.values() for run in of for step in run.steps]
    found = {}
    for place, objective in enumerate(objectives):
        losses = [point[place] for point in points] or [0.0]
        worst, room = max(losses), _ROOM * (max(losses) - min(losses))
        found[objective.metric] = objective.loss(worst + (room or 1.0))
    return found


def comparison_report(
    name: str,
    recorded: Sequence[Mapping[str, Any]],
    installed: Mapping[str, str],
    reference: Mapping[str, float] | None = None,
) -> Report:
    """The report of a comparison.

    Args:
        name: of the study file.
        recorded: the rows of its runs.
        installed: {what: version}, of what writes this.
        reference: the point of hypervolumes; None for one of the report's own.

    Raises:
        UsageError: as for `comparison_of`.
    """
    comparison = comparison_of(name, recorded, reference)
    seeds = len(comparison.runs[comparison.baseline])
    rows = comparison.rows()
    sections = (
        _summary(comparison, rows, _point_of(comparison, reference is not None)),
        _progress(comparison),
        _by_seed(comparison),
        _failures(comparison),
        _cost(comparison),
        Section(
            "environment",
            "Environment",
            ("The record of a comparison does not say what its runs were made on.",),
            tables=(Table("Environment", ("what", "is"), environment_rows(installed)),),
        ),
    )
    subtitle = (
        f"A comparison of {len(comparison.runs)} strategies over {seeds} seeds, "
        f"{comparison.trials:,} evaluations each."
    )
    return Report(name, "comparison", subtitle, sections)


def _compared(comparison: Comparison) -> str:
    if len(comparison.objectives) == 1:
        objective = comparison.objectives[0]
        larger = "larger" if objective.direction == "maximize" else "smaller"
        return f"best {objective.metric} ({larger} is better)"
    point = ", ".join(f"{metric} {value(at)}" for metric, at in comparison.reference.items())
    return f"hypervolume (larger is better) up to {point}"


def _point_of(comparison: Comparison, is_given: bool) -> list[str]:
    """Whose the reference point is, for the numbers of a hypervolume are of one point alone."""
    if not comparison.reference:
        return []
    if is_given:
        return ["The reference point of the hypervolume is the one that this report was given."]
    return [
        "The reference point of the hypervolume is this report's own, a tenth behind the worst of "
        "all runs: the one that nas compare was given is not kept, and its numbers are others. "
        f"For those: nas report NAME --comparison {example(comparison.reference)}."
    ]


def _is_larger_better(comparison: Comparison) -> bool:
    return len(comparison.objectives) > 1 or comparison.objectives[0].direction == "maximize"


def _summary(comparison: Comparison, rows: Sequence[Row], point: Sequence[str]) -> Section:
    table_rows = tuple(
        (row.strategy, value(row.mean), value(row.stderr), *_against(row)) for row in rows
    )
    head = (
        "strategy",
        "mean",
        "standard error",
        "difference to random",
        "95 % interval",
        "p (Holm)",
    )
    table = Table("After all evaluations", head, table_rows, frozenset(range(1, 6)))
    sign = 1 if _is_larger_better(comparison) else -1
    better = [
        row.strategy
        for row in rows
        if row.p_holm is not None
        and row.p_holm < 0.05
        and sign * (row.difference_to_random or 0) > 0
    ]
    verdict = (
        f"Better than random search: {', '.join(better)}."
        if better
        else "No strategy is shown to be better than random search."
    )
    words = (
        f"Compared: the {_compared(comparison)}, mean over seeds; differences are paired by seed.",
        *point,
        *_unnamed(comparison),
        f"Was it worth it? {verdict} (p < 0.05 after Holm's correction for all rows.)",
    )
    return Section("summary", "Summary", words, tables=(table,))


def _unnamed(comparison: Comparison) -> list[str]:
    if comparison.objectives[0].metric != _LOSS.format(1):
        return []
    return [
        "An earlier version recorded this without the names of its objectives: losses are shown, "
        "smaller is better, with the sign of what is maximized turned."
    ]


def _against(row: Row) -> tuple[str, str, str]:
    if row.difference_to_random is None:
        return "-", "-", "-"
    between = "-" if row.interval is None else f"{row.interval[0]:+.4g} to {row.interval[1]:+.4g}"
    return f"{row.difference_to_random:+.4g}", between, value(row.p_holm)


def _progress(comparison: Comparison) -> Section:
    step = max(1, comparison.trials // _POINTS)
    at = sorted({*range(step, comparison.trials + 1, step), comparison.trials})
    rows = comparison.rows(at)
    series = [
        {
            "name": label,
            "x": at,
            "y": [row.mean for row in rows if row.strategy == label],
        }
        for label in comparison.runs
    ]
    what = _compared(comparison)
    listed = tuple(
        (row.strategy, f"{row.trials:,}", value(row.mean), value(row.stderr)) for row in rows
    )
    head = ("strategy", "evaluations", "mean", "standard error")
    table = Table("Means by evaluations", head, listed, frozenset({1, 2, 3}))
    data = {"x": "evaluations", "y": "mean over seeds", "shape": "linear", "series": series}
    ends = "; ".join(f"{row.strategy} {value(row.mean)}" for row in rows[-len(comparison.runs) :])
    chart = Chart("progress-chart", "lines", f"Mean of the {what}: {ends}", data, table)
    words = (
        f"The mean over seeds of the {what}, by evaluations. The random row is the strategy "
        "random, in the same space, with the same seeds and as many evaluations. There is no mean "
        "where a run had found nothing yet.",
    )
    return Section("progress", "Progress", words, (chart,))


def _by_seed(comparison: Comparison) -> Section:
    point = [
        o.loss(comparison.reference[o.metric])
        for o in comparison.objectives
        if comparison.reference
    ]
    found = {
        label: [run.value_at(comparison.trials, point) for run in runs]
        for label, runs in comparison.runs.items()
    }
    seeds = [run.seed for run in comparison.runs[comparison.baseline]]
    series = [
        {"name": label, "x": [f"seed {seed}" for seed in seeds], "y": values}
        for label, values in found.items()
    ]
    rows = tuple(
        (str(seed), *(value(values[place]) for values in found.values()))
        for place, seed in enumerate(seeds)
    )
    table = Table("Each run", ("seed", *found), rows, frozenset(range(len(found) + 1)))
    places = [f"seed {seed}" for seed in seeds]
    data = {"x": "", "y": "after all evaluations", "places": places, "series": series}
    chart = Chart(
        "seeds-chart", "points", f"Each run of {len(seeds)} seeds", data, table, 90 * len(seeds)
    )
    return Section(
        "seeds", "Runs by seed", (f"Each point is the {_compared(comparison)} of a run.",), (chart,)
    )


def _failures(comparison: Comparison) -> Section:
    counts = Counter(
        {label: sum(run.failed for run in runs) for label, runs in comparison.runs.items()}
    )
    if not counts.total():
        return Section("failures", "Failures", ("No evaluation has failed.",))
    rows = tuple((label, f"{n:,}") for label, n in counts.items())
    table = Table("Failed evaluations", ("strategy", "failed"), rows, frozenset({1}))
    return Section(
        "failures", "Failures", ("Of a comparison kinds are not kept.",), tables=(table,)
    )


def _cost(comparison: Comparison) -> Section:
    rows = tuple(
        (
            label,
            f"{sum(run.trials for run in runs):,}",
            f"{sum(run.repeated for run in runs):,}",
            f"{sum(run.infeasible for run in runs):,}",
            f"{sum(run.charged for run in runs):,}",
            time(sum(run.seconds for run in runs)),
        )
        for label, runs in comparison.runs.items()
    )
    head = (
        "strategy",
        "evaluations",
        "repeated",
        "infeasible",
        "charged for preparing",
        "wall time",
    )
    table = Table("Cost, over all seeds", head, rows, frozenset(range(1, 6)))
    return Section(
        "cost", "Cost", ("Every evaluation is charged, repeated ones too.",), tables=(table,)
    )
