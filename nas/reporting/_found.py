"""The front, all trials as lines, and progress."""

import math

from nas.record import TrialRecord
from nas.reporting._record import Record
from nas.reporting._report import Chart, Section, Table
from nas.reporting._shown import Point, decisions, direction, steps, value
from nas.reporting._startup import is_random, row_of

# Of so many trials, the best first, parallel coordinates have rows; a page has to stay readable.
LISTED = 100
# Lines that can be told apart, more or less, and how many of them are of the best tenth.
LINES, BEST_LINES = 300, 40
_AXIS_PX = 96


def front(record: Record) -> Section:
    if not record.best:
        said = ["No trial is complete and feasible: no front yet."]
        if record.nearest is not None:
            said.append(f"Trial {record.nearest.number} came nearest to the constraints.")
        return Section("front", "Front", tuple(said))
    objectives = list(record.objectives)
    known = list(dict.fromkeys(m for trial in record.best for m in trial.settled))
    up = objectives[0]
    across = objectives[1] if len(objectives) > 1 else "params" if "params" in known else up
    several = len(objectives) > 1
    what = "those that no other trial beats in every objective" if several else "the best one"
    words = (
        f"Each point is a complete, feasible trial; diamonds are the front, {what}. Point at one "
        "for its decisions; click it, or walk with the arrow keys, for its network. Where points "
        "lie on each other, click or tap again for the next one.",
        f"Best first means, wherever it is said on this page: {record.order}.",
    )
    told = f"{len(record.best):,} trials by {up} and {across}; {len(record.front)} are on the front"
    data = {"x": across, "y": up, "metrics": known}
    chart = Chart("front-chart", "front", told, data, _front_table(record))
    return Section("front", "Front", words, (chart,))


def _front_table(record: Record) -> Table:
    head = ("trial", *record.objectives, "decisions")
    numbers = frozenset(range(len(head) - 1))
    return Table("The front", head, _rows(record, record.front), numbers, _numbers(record.front))


def _rows(record: Record, trials: list[TrialRecord]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (str(t.number), *(value(t.settled[m]) for m in record.objectives), decisions(t))
        for t in trials
    )


def _numbers(trials: list[TrialRecord]) -> tuple[int, ...]:
    return tuple(trial.number for trial in trials)


def parallel(record: Record) -> Section:
    key, title = "parallel", "Decisions of all trials"
    names = [
        name
        for name, choices in record.decisions.items()
        if len(choices) > 1
        and any(t.architecture and name in t.architecture.choices for t in record.best)
    ]
    if not record.best:
        said = "No trial is complete and feasible: nothing to set side by side."
        return Section(key, title, (said,))
    if len(record.best) < 2:
        said = "One trial is complete and feasible: nothing to set beside it."
        return Section(key, title, (said,))
    if not names:
        return Section(key, title, ("No decision of these trials has more than one choice.",))
    metric = next(iter(record.objectives))
    drawn, best_drawn = drawn_lines(len(record.best))
    words = (
        f"Each line is a trial: through its choice of each decision to its {metric}. The best "
        f"{best_drawn} ({record.order}) are drawn thick and last, what follows up to the better "
        "half dotted. Where a decision does not exist the line passes below its axis.",
        *(
            [f"Of {len(record.best):,} trials {drawn} are drawn, below the best tenth evenly."]
            if drawn < len(record.best)
            else []
        ),
    )
    best = record.best[:LISTED]
    head = ("trial", *record.objectives, "decisions")
    numbers = frozenset(range(len(head) - 1))
    listed = Table(
        f"The best {len(best)} trials, best first",
        head,
        _rows(record, best),
        numbers,
        _numbers(best),
    )
    data = {"names": names, "metric": metric, "lines": LINES, "best": BEST_LINES}
    told = f"{drawn} trials as lines through {len(names)} decisions to {metric}"
    chart = Chart("parallel-chart", "parallel", told, data, listed, _AXIS_PX * (len(names) + 1))
    return Section(key, title, words, (chart,))


def drawn_lines(trials: int) -> tuple[int, int]:
    """How many trials are lines, and how many of them are of the best tenth."""
    tenth = max(1, math.ceil(trials / 10))
    best = min(tenth, BEST_LINES)
    return best + min(trials - tenth, LINES - best), best


def progress(record: Record) -> Section:
    key, title = "progress", "Progress"
    ended = sorted((t for t in record.trials if t.seq is not None), key=lambda t: t.seq or 0)
    if not record.best:
        return Section(key, title, ("No trial is complete and feasible: nothing to follow yet.",))
    metric = next(iter(record.objectives))
    usable = {trial.number for trial in record.best} | {
        t.number for t in record.trials if t.state == "complete" and t.violation <= 0
    }
    values = [t.settled.get(metric) if t.number in usable else None for t in ended]
    random = [i for i, trial in enumerate(ended) if is_random(record.spec, trial)]
    trials = [float(i + 1) for i in range(len(ended))]
    seconds = _summed([trial.seconds for trial in ended])
    random_seconds = _summed([ended[i].seconds for i in random])
    drawn = [values[i] for i in random]
    maximize = record.objectives[metric] == "maximize"
    by_trials = {"search": steps(zip(trials, values, strict=True), maximize)}
    by_time = {"search": steps(zip(seconds, values, strict=True), maximize)}
    has_random = any(v is not None for v in drawn)
    if has_random:
        by_trials["random"] = steps(zip(trials[: len(random)], drawn, strict=True), maximize)
        by_time["random"] = steps(zip(random_seconds, drawn, strict=True), maximize)
    said = [
        f"The best {metric} so far ({direction(record.objectives, metric)}), by trials that had "
        "ended, and by seconds of evaluation, summed over workers; what was answered from the "
        "record took none.",
        row_of(record.spec, len(random) if has_random else 0),
    ]
    charts = [_lines("progress-trials", by_trials, "trials ended", metric)]
    if seconds[-1] > 0:
        charts.append(_lines("progress-seconds", by_time, "seconds of evaluation, summed", metric))
    else:
        said.append("All was answered from the record: there is no progress by seconds.")
    return Section(key, title, tuple(said), tuple(charts))


def _summed(seconds: list[float]) -> list[float]:
    total, found = 0.0, []
    for each in seconds:
        total += each
        found.append(round(total, 3))
    return found


def _lines(key: str, curves: dict[str, list[Point]], x: str, metric: str) -> Chart:
    series = [
        {"name": name, "x": [p[0] for p in points], "y": [p[1] for p in points]}
        for name, points in curves.items()
    ]
    rows = tuple((name, value(p[0]), value(p[1])) for name, c in curves.items() for p in c)
    ends = "; ".join(f"{name} ends at {value(c[-1][1])}" for name, c in curves.items() if c)
    told = f"Best {metric} so far by {x}: {ends}"
    data = {"x": x, "y": f"best {metric}", "shape": "hv", "series": series}
    table = Table(f"Where the best {metric} changed", ("who", x, metric), rows, frozenset({1, 2}))
    return Chart(key, "lines", told, data, table)
