"""Rows of our tables as values, and the queries that give them."""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from nas.record import TrialCounts, TrialRecord
from nas.store.schema import evaluations, latencies, trials
from search_spaces import Architecture

# The states of trials that have not ended. Named, for an index serves no `NOT IN`.
UNENDED = ("running", "waiting")


def count_trials(connection: sa.Connection, study: int, alive: Collection[str] = ()) -> TrialCounts:
    """How many trials are in each state, by one query.

    Args:
        alive: the runs that live; what any other was at is waiting.
    """
    orphaned = sa.and_(trials.c.state == "running", trials.c.run_id.not_in(alive))
    state = sa.case((orphaned, "waiting"), else_=trials.c.state).label("standing")
    cached = sa.func.sum(sa.cast(trials.c.cached, sa.Integer))
    query = sa.select(state, sa.func.count(), cached).where(trials.c.study_id == study)
    found = connection.execute(query.group_by("standing")).all()
    return TrialCounts(
        **{state: n for state, n, _ in found},
        cached=sum(int(cached or 0) for _, _, cached in found),
    )


def best_values(
    connection: sa.Connection, study: int, objectives: Mapping[str, str]
) -> dict[str, float]:
    """{metric: its value in the best complete trial}, for each objective: the first one decides."""
    values = {metric: trials.c.metrics[metric].as_float() for metric in objectives}
    query = sa.select(*values.values()).where(
        trials.c.study_id == study,
        trials.c.state == "complete",
        *(value.is_not(None) for value in values.values()),
    )
    by = [v.desc() if objectives[metric] == "maximize" else v.asc() for metric, v in values.items()]
    found = connection.execute(query.order_by(*by, trials.c.ordinal).limit(1)).first()
    return {} if found is None else dict(zip(objectives, map(float, found), strict=True))


def objectives_of(spec: Mapping[str, Any]) -> dict[str, str]:
    """{metric: direction} of a stored study file, which keeps them as pairs, in their order."""
    return dict(spec["study"]["objectives"])


def losses_of(metrics: Mapping[str, float], objectives: Mapping[str, str]) -> tuple[float, ...]:
    """The objectives' values turned so that lower is better."""
    return tuple(
        -metrics[metric] if direction == "maximize" else metrics[metric]
        for metric, direction in objectives.items()
    )


def trial_rows(study: "int | sa.BindParameter[int]") -> "sa.Select[Any]":
    """The trials of a study, each with the notes of its last evaluation and what was measured."""
    last = (
        sa.select(evaluations.c.notes)
        .where(evaluations.c.study_id == trials.c.study_id)
        .where(evaluations.c.ordinal == trials.c.ordinal)
        .order_by(evaluations.c.epoch.desc())
        .limit(1)
    )
    measured = (
        sa.select(latencies.c.timing)
        .where(latencies.c.study_id == trials.c.study_id)
        .where(latencies.c.ordinal == trials.c.ordinal)
    )
    query = sa.select(
        trials,
        last.scalar_subquery().label("last_notes"),
        measured.scalar_subquery().label("timing"),
    )
    return query.where(trials.c.study_id == study)


def trial_record(row: Mapping[Any, Any]) -> TrialRecord:
    """A row of `trial_rows` as a value; one of the trials alone, as far as it goes."""
    architecture = row["architecture"]
    return TrialRecord(
        number=row["ordinal"],
        state=row["state"],
        architecture=Architecture.from_json(architecture) if architecture else None,
        metrics=dict(row["metrics"]),
        epochs=row["epochs"],
        # What SQLite gives back from an update is 0 where 0.0 was written.
        seconds=float(row["seconds"]),
        cached=row["cached"],
        failure=row["failure"],
        violation=float(row["violation"]),
        seq=row["seq"],
        artifact=row["artifact"],
        note=row["note"] or {},
        inherit=row["inherit"],
        inherit_by=row["inherit_by"],
        prepared=row["prepared"],
        evaluated=row["evaluated"] or row["last_notes"] or {},
        measured=row.get("timing") or {},
    )
