"""Measured latencies in SQL: one row for a trial, written once and kept."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from nas.store.new import now
from nas.store.read import Store
from nas.store.schema import latencies as table


def store_latencies(store: Store, name: str, timings: Mapping[int, Mapping[str, Any]]) -> None:
    """Record what was measured of trials, by their numbers; what is there already stays.

    Args:
        timings: of each trial, as `Timing.to_json` has it.
    """
    with store.writing() as connection:
        study = store.row(connection, name, lock=True)["id"]
        query = sa.select(table.c.ordinal).where(table.c.study_id == study)
        there = set(connection.scalars(query))
        rows = [
            {
                "study_id": study,
                "ordinal": number,
                "latency_ms": timing["latency_ms"],
                "timing": dict(timing),
                "measured": now(),
            }
            for number, timing in timings.items()
            if number not in there
        ]
        if rows:
            connection.execute(sa.insert(table), rows)
