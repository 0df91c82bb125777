"""How well supernets rank, in SQL: the last ranking of each study."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from nas.store.new import now
from nas.store.read import Store
from nas.store.schema import rankings as table


def store_ranking(store: Store, study: int, ranking: Mapping[str, Any]) -> None:
    """Record a ranking, in place of an earlier one of the study."""
    with store.writing() as connection:
        connection.execute(sa.delete(table).where(table.c.study_id == study))
        row = {"study_id": study, "ranking": dict(ranking), "measured": now()}
        connection.execute(sa.insert(table).values(**row))


def stored_ranking(store: Store, name: str) -> Mapping[str, Any] | None:
    """The last ranking of a study, or None where there is none."""
    with store.reading() as connection:
        study = store.row(connection, name)["id"]
        found: Mapping[str, Any] | None = connection.scalar(
            sa.select(table.c.ranking).where(table.c.study_id == study)
        )
        return found
