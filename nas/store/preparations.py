"""Preparations in SQL: one row each, leased by the run that is at it, and a row for each epoch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from evaluators import Artifact
from evaluators.preparation import Advance, Preparation, Prepared, PreparedEpoch
from nas.store.ledger import Ledger
from nas.store.read import Store
from nas.store.schema import preparation_epochs as epochs
from nas.store.schema import preparations as table
from search_spaces.plugins import Plugin


@dataclass(frozen=True)
class Lease:
    """Where a preparation stands, and whether this run may go on with it.

    Attributes:
        epoch: up to where it is recorded.
        artifact: the hash of its checkpoint there.
        seconds: that it has taken.
        is_ours: False while another live run is at it.
    """

    epoch: int
    artifact: str | None
    seconds: float
    is_ours: bool


def lease(book: Ledger, preparation: Preparation) -> Lease:
    """Take a preparation over, unless another live run is at it."""

    def body(connection: sa.Connection, _study: Mapping[str, Any]) -> Lease:
        row = connection.execute(sa.select(table).where(*_which(book, preparation))).mappings()
        found = row.first()
        if found is None:
            connection.execute(sa.insert(table), _begun(book, preparation))
            return Lease(0, None, 0.0, True)
        others = {run for run in book.live_runs(connection) if run != book.run_id}
        ours = found["run_id"] not in others
        if ours:
            change = sa.update(table).where(*_which(book, preparation))
            connection.execute(change.values(run_id=book.run_id))
        return Lease(found["epoch"], found["artifact"], found["seconds"], ours)

    return book.write(body)


def record(book: Ledger, preparation: Preparation, advance: Advance, since: int) -> None:
    """Record a stretch of a preparation that this run has the lease of.

    Args:
        since: the epoch that it went on from. What was recorded behind that, with a checkpoint
            that has been lost, is replaced.
    """

    def body(connection: sa.Connection, _study: Mapping[str, Any]) -> None:
        change = sa.update(table).where(*_which(book, preparation), table.c.run_id == book.run_id)
        connection.execute(
            change.values(
                epoch=advance.epoch,
                artifact=advance.artifact.sha256 if advance.artifact else None,
                seconds=table.c.seconds + advance.seconds,
            )
        )
        of_it = (epochs.c.study_id == book.study, epochs.c.key == preparation.key)
        connection.execute(sa.delete(epochs).where(*of_it, epochs.c.epoch > since))
        rows = [
            {
                "study_id": book.study,
                "key": preparation.key,
                "epoch": one.epoch,
                "metrics": dict(one.metrics),
                "distribution": {name: list(row) for name, row in one.distribution.items()},
            }
            for one in advance.epochs
        ]
        if rows:
            connection.execute(sa.insert(epochs), rows)

    book.write(body)


def preparations(store: Store, name: str) -> list[dict[str, Any]]:
    """The preparations of a study: plugin, options, epoch, epochs, passes, seconds, artifact."""
    with store.reading() as connection:
        study = store.row(connection, name)["id"]
        query = sa.select(table).where(table.c.study_id == study).order_by(table.c.key)
        return [
            {
                "key": row["key"],
                "plugin": row["plugin"]["name"],
                "options": row["plugin"]["options"],
                **{k: row[k] for k in ("epoch", "epochs", "passes", "seconds", "artifact")},
            }
            for row in connection.execute(query).mappings()
        ]


def prepared_epochs(store: Store, name: str, key: str) -> list[PreparedEpoch]:
    """What was recorded of a preparation, epoch by epoch."""
    with store.reading() as connection:
        study = store.row(connection, name)["id"]
        query = sa.select(epochs).where(epochs.c.study_id == study, epochs.c.key == key)
        rows = connection.execute(query.order_by(epochs.c.epoch)).mappings()
        return [PreparedEpoch(r["epoch"], r["metrics"], r["distribution"]) for r in rows]


def prepared(store: Store, name: str) -> dict[str, Prepared]:
    """{key: what it has left} of a study's preparations that are complete."""
    place = store.artifacts(name)
    found: dict[str, Prepared] = {}
    for row in preparations(store, name):
        if row["epoch"] == row["epochs"] and row["artifact"]:
            what = Preparation(Plugin(row["plugin"], row["options"]), row["epochs"], row["passes"])
            last = prepared_epochs(store, name, row["key"])[-1]
            found[row["key"]] = Prepared(what, Artifact(place, row["artifact"]), last)
    return found


def _which(book: Ledger, preparation: Preparation) -> "tuple[sa.ColumnElement[bool], ...]":
    return table.c.study_id == book.study, table.c.key == preparation.key


def _begun(book: Ledger, preparation: Preparation) -> dict[str, Any]:
    plugin = preparation.plugin
    return {
        "study_id": book.study,
        "key": preparation.key,
        "plugin": {"name": plugin.name, "options": dict(plugin.options)},
        "epochs": preparation.epochs,
        "passes": float(preparation.passes),
        "epoch": 0,
        "seconds": 0.0,
        "run_id": book.run_id,
    }
