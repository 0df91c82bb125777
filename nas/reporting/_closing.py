"""What is left to say of a study: confirmed results, the environment, the study file."""

import json
from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from nas.intervals import ends_of, interval
from nas.reporting._record import Record
from nas.reporting._report import Chart, Section, Table
from nas.reporting._shown import value
from nas.study_file import text_of


def confirmed(record: Record) -> Section:
    key, title = "confirmed", "Confirmed on fresh seeds"
    if not record.confirmed:
        said = "Nothing is confirmed, so test is not measured: nas confirm retrains the best."
        return Section(key, title, (said,))
    metrics = list(dict.fromkeys(m for one in record.confirmed for m in one.values))
    # Of the metric that was sought, and its twin on test; the others are in the table.
    sought = next(iter(record.objectives))
    twins = [m for m in (sought, sought.replace("val_", "test_", 1)) if m in metrics] or metrics[:2]
    rows = tuple(
        (str(c.rank), str(c.trial), str(c.seeds), *(_told(m, c.values.get(m, ())) for m in metrics))
        for c in record.confirmed
    )
    trials = tuple(one.trial for one in record.confirmed)
    head = ("rank", "trial", "seeds", *metrics)
    table = Table("Means, and 95 % intervals", head, rows, frozenset(range(len(head))), trials)
    series = []
    for metric in twins:
        found = [c for c in record.confirmed if metric in c.values]
        means = [fmean(c.values[metric]) for c in found]
        between = [_interval(metric, c.values[metric]) for c in found]
        series.append(
            {
                "name": metric,
                "x": [f"trial {c.trial}" for c in found],
                "y": means,
                "low": [None if ends is None else ends[0] for ends in between],
                "high": [None if ends is None else ends[1] for ends in between],
            }
        )
    told = f"{', '.join(twins)} of {len(trials)} retrained trials, with intervals"
    places = [f"trial {trial}" for trial in trials]
    data = {"x": "", "y": ", ".join(twins), "places": places, "series": series}
    words = (
        "Retrained by nas confirm on seeds that the search did not see, ranked by validation; test "
        "was measured after that, once. Intervals are Student's, 95 %, of the mean over seeds, cut "
        "off where the metric ends; a single seed has none.",
    )
    return Section(key, title, words, (Chart("confirmed-chart", "points", told, data, table),))


def _interval(metric: str, values: Sequence[float]) -> tuple[float, float] | None:
    """Of the mean; None for fewer than two values."""
    n = len(values)
    if n < 2:
        return None
    return interval(fmean(values), stdev(values) / sqrt(n), n, ends_of(metric, values))


def _told(metric: str, values: Sequence[float]) -> str:
    if not values:
        return "-"
    between, mean = _interval(metric, values), value(fmean(values))
    return mean if between is None else f"{mean} ({value(between[0])} to {value(between[1])})"


def environment(record: Record) -> Section:
    task, notes = record.task, {}
    graphs = "1 graph" if task.n_graphs == 1 else f"{task.n_graphs:,} graphs"
    for trial in record.best[:1]:
        notes = {f"best trial: {what}": said for what, said in trial.evaluated.items()}
    rows = (
        ("space", f"{record.space[0]}, version {record.space[1]}"),
        ("task", f"{task.kind.replace('_', ' ')}, {task.n_classes} classes"),
        ("data", f"{task.n_nodes:,} nodes, {task.n_edges:,} directed edges, {graphs}"),
        ("split", f"{task.n_train:,} train, {task.n_val:,} validation, {task.n_test:,} test"),
        *((what, str(said)) for what, said in notes.items()),
        *environment_rows(record.environment),
    )
    said = "What the trials were evaluated on, as far as the record says it, and what wrote this."
    table = Table("Environment", ("what", "is"), tuple(rows))
    return Section("environment", "Environment", (said,), tables=(table,))


def environment_rows(installed: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Of what wrote the report."""
    return tuple((f"report written with: {what}", said) for what, said in installed.items())


def study_file(record: Record) -> Section:
    words = ("As stored with the study, with overrides in it; nas search takes it.",)
    return Section("study-file", "Study file", words, code=text(record.spec))


def text(spec: Mapping[str, Any]) -> str:
    """The study file of a stored specification."""
    tables = {name: dict(table) for name, table in spec.items() if isinstance(table, Mapping)}
    tables["study"]["objectives"] = dict(tables["study"]["objectives"])
    named = dict(spec.get("extension", ()))
    tables |= {f"extension.{json.dumps(name)}": options for name, options in named.items()}
    return text_of(tables, f"The study {tables['study']['name']}")
