"""Comparisons in SQL: one row a run, written when the run has ended."""

from collections.abc import Mapping, Sequence
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


def stored_comparison(store: Store, study: str) -> list[dict[str, Any]]:
    """The rows of the comparison, of those of a study file's name, that was last added to."""
    last = sa.select(table.c.comparison).where(table.c.study == study)
    last = last.order_by(table.c.created.desc(), table.c.comparison).limit(1)
    with store.reading() as connection:
        query = sa.select(table).where(table.c.comparison == connection.scalar(last))
        query = query.order_by(table.c.label, table.c.seed)
        return [dict(row) for row in connection.execute(query).mappings()]


def store_run(
    store: Store,
    comparison: str,
    strategy: str,
    labels: tuple[str, str],
    run: Mapping[str, Any],
    objectives: Sequence[tuple[str, str]],
) -> None:
    """Record a run that has ended; one that another process has recorded meanwhile is kept.

    Args:
        comparison, strategy: the hashes by which it is found again.
        labels: of the study and of the strategy, for people.
        run: as JSON: seed, trials, counts, trace, seconds.
        objectives: (metric, direction) of each loss of its trace.
    """
    study, label = labels
    values = {name: run[name] for name in _CONTENT}
    values |= {"comparison": comparison, "strategy": strategy, "study": study, "label": label}
    values["objectives"] = [list(pair) for pair in objectives]
    with suppress(sa.exc.IntegrityError), store.writing() as connection:
        connection.execute(sa.insert(table).values(**values, created=now()))
