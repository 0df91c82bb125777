"""Reading preparations: how far each is, epoch by epoch, and what the complete ones have left."""

from collections.abc import Sequence

import sqlalchemy as sa

from evaluators import Artifact, Preparation, Prepared, PreparedEpoch
from nas.record import PreparationRecord
from nas.store.schema import preparation_epochs as epochs
from nas.store.schema import preparations as table
from search_spaces.plugins import Plugin


def preparations_of(connection: sa.Connection, study: int) -> list[PreparationRecord]:
    """The preparations of a study."""
    query = sa.select(table).where(table.c.study_id == study).order_by(table.c.key)
    return [
        PreparationRecord(
            key=row["key"],
            plugin=row["plugin"]["name"],
            options=row["plugin"]["options"],
            epoch=row["epoch"],
            epochs=row["epochs"],
            passes=row["passes"],
            seconds=round(row["seconds"], 3),
            artifact=row["artifact"],
        )
        for row in connection.execute(query).mappings()
    ]


def epochs_of(connection: sa.Connection, study: int, key: str) -> Sequence[PreparedEpoch]:
    """What was recorded of a preparation, epoch by epoch."""
    query = sa.select(epochs).where(epochs.c.study_id == study, epochs.c.key == key)
    rows = connection.execute(query.order_by(epochs.c.epoch)).mappings()
    return [PreparedEpoch(row["epoch"], row["metrics"], row["distribution"]) for row in rows]


def prepared(connection: sa.Connection, study: int, store: str) -> dict[str, Prepared]:
    """{key: what it has left} of a study's preparations that are complete.

    Args:
        store: URL of its artifact store.
    """
    found: dict[str, Prepared] = {}
    for row in preparations_of(connection, study):
        if row.is_complete and row.artifact is not None:
            what = Preparation(Plugin(row.plugin, row.options), row.epochs, row.passes)
            last = epochs_of(connection, study, row.key)[-1]
            found[row.key] = Prepared(what, Artifact(store, row.artifact), last)
    return found
