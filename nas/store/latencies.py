"""Measured latencies in SQL: one row for a trial, kept once it was measured well."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from nas.store.new import now
from nas.store.read import Store
from nas.store.schema import latencies as table


def store_latencies(store: Store, name: str, timings: Mapping[int, Mapping[str, Any]]) -> None:
    """Record what was measured of trials, by their numbers.

    What is there already stays, unless it is noisy and what comes is not.

    Args:
        timings: of each trial, as `Timing.to_json` has it.
    """
    with store.writing() as connection:
        study = store.row(connection, name, lock=True)["id"]
        query = sa.select(table.c.ordinal, table.c.timing).where(table.c.study_id == study)
        there = {number: timing["noisy"] for number, timing in connection.execute(query)}
        better = [n for n, timing in timings.items() if there.get(n) and not timing["noisy"]]
        if better:
            of_study = table.c.study_id == study
            connection.execute(sa.delete(table).where(of_study, table.c.ordinal.in_(better)))
        rows = [
            {
                "study_id": study,
                "ordinal": number,
                "latency_ms": timing["latency_ms"],
                "timing": dict(timing),
                "measured": now(),
            }
            for number, timing in timings.items()
            if number not in there or number in better
        ]
        if rows:
            connection.execute(sa.insert(table), rows)
