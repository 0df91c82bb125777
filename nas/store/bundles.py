"""The bundles that were written of trials, in SQL: a row for each, by its digest."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from nas.store.new import now
from nas.store.read import Store
from nas.store.schema import bundles as table


def store_bundle(store: Store, name: str, trial: int, digest: str, formats: Sequence[str]) -> None:
    """Record a bundle of a trial; one of the same digest is the same bundle, and stays.

    Args:
        digest: of its manifest.
        formats: the exporters that wrote its programs.
    """
    with store.writing() as connection:
        study = store.row(connection, name, lock=True)["id"]
        key = {"study_id": study, "ordinal": trial, "digest": digest}
        same = (table.c[column] == value for column, value in key.items())
        if connection.execute(sa.select(table.c.digest).where(*same)).first() is None:
            row = {**key, "formats": list(formats), "created": now()}
            connection.execute(sa.insert(table).values(**row))


def stored_bundles(store: Store, name: str, trial: int) -> list[dict[str, Any]]:
    """Of a trial's bundles `digest`, `formats` and `created`, the oldest first."""
    with store.reading() as connection:
        study = store.row(connection, name)["id"]
        query = (
            sa.select(table.c.digest, table.c.formats, table.c.created)
            .where(table.c.study_id == study, table.c.ordinal == trial)
            .order_by(table.c.created, table.c.digest)
        )
        return [dict(row) for row in connection.execute(query).mappings()]
