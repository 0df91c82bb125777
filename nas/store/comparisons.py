"""Comparisons in SQL: one row a run, written when the run has ended."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from nas.store.new import now
from nas.store.read import Store
from nas.store.schema import comparisons as table

_CONTENT = ("seed", "trials", "counts", "trace", "seconds")


def stored_runs(store: Store, comparison: str) -> dict[tuple[str, int], Mapping[str, Any]]:
    """{(the strategy's hash, seed): the run as JSON} of a comparison."""
    query = sa.select(table).where(table.c.comparison == comparison)
    with store.reading() as connection:
        return {
            (row["strategy"], row["seed"]): {name: row[name] for name in _CONTENT}
            for row in connection.execute(query).mappings()
        }


def store_run(
    store: Store, comparison: str, strategy: str, labels: tuple[str, str], run: Mapping[str, Any]
) -> None:
    """Record a run that has ended; one that another process has recorded meanwhile is kept.

    Args:
        comparison, strategy: the hashes by which it is found again.
        labels: of the study and of the strategy, for people.
        run: as JSON: seed, trials, counts, trace, seconds.
    """
    study, label = labels
    values = {name: run[name] for name in _CONTENT}
    values |= {"comparison": comparison, "strategy": strategy, "study": study, "label": label}
    with suppress(sa.exc.IntegrityError), store.writing() as connection:
        connection.execute(sa.insert(table).values(**values, created=now()))
