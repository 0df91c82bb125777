"""What is true of every study's rows, whoever wrote them and wherever they were interrupted."""

from typing import Any

import sqlalchemy as sa

from nas.record import ENDED
from nas.store.schema import (
    bundles,
    confirmations,
    evaluations,
    latencies,
    preparation_epochs,
    preparations,
    studies,
    trials,
)


def broken_invariants(connection: sa.Connection, study: int) -> list[str]:
    """What does not hold of a study, in words; nothing where all does."""
    mine = trials.c.study_id == study
    ended = trials.c.state.in_(ENDED)

    def count(*where: "sa.ColumnElement[bool]") -> int:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(trials).where(*where)))  # type: ignore[arg-type]

    row = connection.execute(sa.select(studies).where(studies.c.id == study)).mappings().one()
    limits = sa.select(sa.func.min(trials.c.seq), sa.func.max(trials.c.seq)).where(mine)
    first, last = connection.execute(limits).one()
    n_ended = count(mine, ended)
    last_ordinal = connection.scalar(sa.select(sa.func.max(trials.c.ordinal)).where(mine))
    broken = {
        f"next_seq is {row['next_seq']}, {n_ended} trials have ended": row["next_seq"] != n_ended,
        f"the order of endings goes from {first} to {last}, not from 0 to {n_ended - 1}": (
            n_ended > 0 and (first, last) != (0, n_ended - 1)
        ),
        f"next_ordinal is {row['next_ordinal']}, and there is a trial {last_ordinal}": (
            last_ordinal is not None and last_ordinal >= row["next_ordinal"]
        ),
    }
    found = {
        "trials have ended and have no place in the order": count(mine, ended, _no(trials.c.seq)),
        "trials are under way and have a place in the order": count(
            mine, sa.not_(ended), sa.not_(_no(trials.c.seq))
        ),
        "trials have ended with nothing proposed": count(mine, ended, _no(trials.c.key)),
        "evaluations have no trial": _without_trial(connection, evaluations, study),
        "confirmations have no trial": _without_trial(connection, confirmations, study),
        "measured latencies have no trial": _without_trial(connection, latencies, study),
        "bundles have no trial": _without_trial(connection, bundles, study),
        "preparations lack epochs that they have had": _with_gaps(connection, study),
    }
    return [
        *(what for what, is_broken in broken.items() if is_broken),
        *(f"{n} {what}" for what, n in found.items() if n),
    ]


def _with_gaps(connection: sa.Connection, study: int) -> int:
    """How many preparations have another number of epochs than they say."""
    table, one = preparation_epochs, preparations
    recorded = (
        sa.select(sa.func.count())
        .where(table.c.study_id == one.c.study_id, table.c.key == one.c.key)
        .scalar_subquery()
    )
    query = sa.select(sa.func.count()).select_from(one)
    query = query.where(one.c.study_id == study, recorded != one.c.epoch)
    return int(connection.scalar(query))  # type: ignore[arg-type]


def _no(column: "sa.Column[Any]") -> "sa.ColumnElement[bool]":
    return column.is_(None)


def _without_trial(connection: sa.Connection, table: sa.Table, study: int) -> int:
    same = (trials.c.study_id == table.c.study_id) & (trials.c.ordinal == table.c.ordinal)
    query = sa.select(sa.func.count()).select_from(table.outerjoin(trials, same))
    query = query.where(table.c.study_id == study, trials.c.ordinal.is_(None))
    return int(connection.scalar(query))  # type: ignore[arg-type]
