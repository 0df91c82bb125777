"""What a search has spent: rungs, failures, cost; and whether latency was predicted well."""

from collections import Counter
from statistics import median

from evaluators import PREDICTED
from nas.record import ENDED, TrialRecord
from nas.reporting._record import Record
from nas.reporting._report import Chart, Section, Table
from nas.reporting._shown import time, value

_MESSAGE = 300


def rungs(record: Record) -> Section:
    key, title = "rungs", "Rungs"
    halving = record.spec.get("halving")
    if not halving:
        return Section(key, title, ("The study has no [halving]: every trial trains to the end.",))
    metric = next(iter(record.objectives))
    at: dict[int, list[float]] = {}
    for rung in record.rungs:
        if metric in rung.metrics:
            at.setdefault(rung.epoch, []).append(rung.metrics[metric])
    if not at:
        return Section(key, title, ("No rung has been measured yet.",))
    best = max if record.objectives[metric] == "maximize" else min
    epochs = sorted(at)
    rows = tuple(
        (str(e), f"{len(at[e]):,}", value(median(at[e])), value(best(at[e]))) for e in epochs
    )
    head = ("epoch", "trials measured", f"median {metric}", f"best {metric}")
    table = Table("Rungs", head, rows, frozenset(range(4)))
    measured = [len(at[epoch]) for epoch in epochs]
    series = [{"name": "trials", "x": [f"epoch {e}" for e in epochs], "y": measured}]
    told = f"Trials measured at each of {len(epochs)} rungs, from {measured[0]} to {measured[-1]}"
    data = {"x": "", "y": "trials measured", "mode": "group", "series": series}
    words = (
        f"One trial in {halving['reduction']} goes on at each rung but the last "
        f"({halving.get('mode', 'asynchronous')}); the others are pruned.",
    )
    return Section(key, title, words, (Chart("rungs-chart", "bars", told, data, table),))


def failures(record: Record) -> Section:
    key, title = "failures", "Failures"
    failed = [trial for trial in record.trials if trial.failure]
    if not failed:
        return Section(key, title, ("No trial has failed.",))
    kinds = Counter(_failure(trial, "kind") for trial in failed)
    first = {kind: next(t for t in failed if _failure(t, "kind") == kind) for kind in kinds}
    rows = tuple(
        (kind, str(n), str(first[kind].number), _failure(first[kind], "message"))
        for kind, n in kinds.most_common()
    )
    table = Table("Failures", ("kind", "trials", "first", "its message"), rows, frozenset({1, 2}))
    series = [{"name": "trials", "x": [r[0] for r in rows], "y": [int(r[1]) for r in rows]}]
    told = f"{len(failed)} failed trials, by kind"
    data = {"x": "", "y": "trials", "mode": "group", "series": series}
    chart = Chart("failures-chart", "bars", told, data)
    return Section(key, title, (), (chart,), (table,))


def _failure(trial: TrialRecord, what: str) -> str:
    said = str((trial.failure or {}).get(what, ""))
    return said if len(said) <= _MESSAGE else f"{said[:_MESSAGE]}…"


def cost(record: Record) -> Section:
    ended = [trial for trial in record.trials if trial.state in ENDED]
    rows = [_cost(state, [t for t in ended if t.state == state]) for state in ENDED]
    rows = [row for row in rows if row[1] != "0"]
    words = [f"Searching took {time(record.status.seconds)} of wall time, over all runs."]
    for done in record.status.preparations:
        words.append(
            f"Before the first trial: {done.plugin}, {done.epoch} epochs, {done.passes:g} passes "
            f"over the training data, {time(done.seconds)}."
        )
    if not rows:
        return Section("cost", "Cost", (*words, "No trial has ended yet."))
    head = ("state", "trials", "answered from the record", "epochs", "seconds")
    table = Table("Cost by state", head, (*rows, _cost("all", ended)), frozenset(range(1, 5)))
    seconds = [round(sum(t.seconds for t in ended if t.state == row[0]), 3) for row in rows]
    if not any(seconds):
        words.append("No trial that ended took any time to evaluate: nothing to draw.")
        return Section("cost", "Cost", tuple(words), tables=(table,))
    series = [{"name": "seconds", "x": [row[0] for row in rows], "y": seconds}]
    data = {"x": "", "y": "seconds of evaluation, summed", "mode": "group", "series": series}
    told = f"Seconds of evaluation by how trials ended: {time(sum(seconds))} in all"
    return Section("cost", "Cost", tuple(words), (Chart("cost-chart", "bars", told, data, table),))


def _cost(name: str, trials: list[TrialRecord]) -> tuple[str, ...]:
    return (
        name,
        f"{len(trials):,}",
        f"{sum(trial.cached for trial in trials):,}",
        f"{sum(trial.epochs for trial in trials):,}",
        f"{sum(trial.seconds for trial in trials):,.1f}",
    )


def latency(record: Record) -> Section:
    key, title, metric = "latency", "Predicted and measured latency", PREDICTED[0]
    both = [t for t in record.trials if t.measured.get(metric) and metric in t.metrics]
    if not both:
        said = "No latency was both predicted and measured: for that, see [latency] of the study."
        return Section(key, title, (said,))
    rows = tuple(
        (
            str(t.number),
            value(t.metrics[metric]),
            value(t.measured[metric]),
            f"{t.measured[metric] / t.metrics[metric]:.2f}",
            "yes" if t.measured.get("noisy") else "no",
        )
        for t in both
    )
    head = ("trial", "predicted ms", "measured ms", "measured / predicted", "noisy")
    trials = tuple(t.number for t in both)
    table = Table("Latency", head, rows, frozenset(range(4)), trials)
    groups = {"quiet": [t for t in both if t.is_measured_well]}
    groups["noisy"] = [t for t in both if not t.is_measured_well]
    series = [
        {
            "name": name,
            "x": [t.metrics[metric] for t in of],
            "y": [t.measured[metric] for t in of],
            "text": [f"trial {t.number}" for t in of],
        }
        for name, of in groups.items()
        if of
    ]
    off = median(t.measured[metric] / t.metrics[metric] for t in both)
    told = (
        f"Measured against predicted latency of {len(both)} trials: the median ratio is {off:.2f}"
    )
    data = {"x": "predicted ms", "y": "measured ms", "diagonal": True, "series": series}
    words = (f"On the dashed line a prediction is right. {told}.",)
    return Section(key, title, words, (Chart("latency-chart", "points", told, data, table),))
