"""Comparisons in SQL: one row a run, written when the run has ended."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from nas.store.new import now
from nas.store.read import Store
from nas.store.schema import comparisons as table


@dataclass(frozen=True)
class Compared:
    """A comparison at a glance.

    Attributes:
        study: the name of its study file.
        runs: {strategy: how many of its runs have ended}.
        changed: when the last one was added.
    """

    study: str
    runs: Mapping[str, int]
    changed: str


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


def last_comparisons(store: Store) -> list[Compared]:
    """Of each study file's name the comparison that `stored_comparison` gives, the last first."""
    count, changed = sa.func.count(), sa.func.max(table.c.created)
    of = (table.c.study, table.c.comparison, table.c.label)
    query = sa.select(*of, count, changed).group_by(*of).order_by(*of)
    with store.reading() as connection:
        rows = connection.execute(query).all()
    found = [
        Compared(study, {label: n for *_, label, n, _ in own}, max(row[-1] for row in own))
        for (study, _), group in groupby(rows, key=lambda row: (row.study, row.comparison))
        for own in [list(group)]
    ]
    last: dict[str, Compared] = {}
    for one in sorted(found, key=lambda one: one.changed, reverse=True):
        last.setdefault(one.study, one)
    return list(last.values())


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
