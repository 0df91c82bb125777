"""The report of a study: a pure function of its record."""

from collections.abc import Mapping

from nas.drawing import svg
from nas.reporting import _closing, _found, _importance, _operators, _spent, _summary
from nas.reporting._columns import columns
from nas.reporting._record import Record
from nas.reporting._report import Chosen, Report

# Of so many trials, the best first, networks are drawn; of the front in any case.
DRAWN = 100


def study_report(record: Record) -> Report:
    """The report of a study."""
    drawings, keys = _drawings(record)
    sections = (
        _summary.summary(record),
        _found.front(record),
        _found.progress(record),
        _found.parallel(record),
        _importance.importance(record),
        _operators.operators(record),
        _spent.rungs(record),
        _spent.failures(record),
        _spent.cost(record),
        _spent.latency(record),
        _closing.confirmed(record),
        _closing.environment(record),
        _closing.study_file(record),
    )
    status = record.status
    return Report(
        name=status.name,
        kind="study",
        subtitle=f"A study of {status.trials.ended:,} trials, {status.state}.",
        sections=sections,
        trials=columns(record, keys),
        drawings=drawings,
        chosen=_chosen(record, drawings),
    )


def _drawings(record: Record) -> tuple[dict[str, str], dict[int, str]]:
    """{architecture's key: SVG}, and {trial: its key}."""
    wanted = {trial.number: trial for trial in [*record.front, *record.best[:DRAWN]]}
    drawings: dict[str, str] = {}
    keys = {}
    for number, trial in wanted.items():
        if trial.architecture is not None:
            key = keys[number] = trial.architecture.structure_key
            if key not in drawings:
                drawings[key] = svg(trial.architecture, record.task)
    return drawings, keys


def _chosen(record: Record, drawings: Mapping[str, str]) -> Chosen | None:
    best = next(iter(record.best), None)
    shown = best or record.nearest
    if shown is None or shown.architecture is None:
        return None
    architecture = shown.architecture
    drawing = drawings.get(architecture.structure_key)
    return Chosen(
        trial=shown.number,
        standing="the best" if best else "infeasible, the nearest to the constraints",
        metrics=dict(shown.settled),
        decisions=dict(architecture.choices),
        drawing=svg(architecture, record.task) if drawing is None else drawing,
    )
