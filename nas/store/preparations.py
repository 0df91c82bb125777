"""Writing preparations: one row each, leased by the run that is at it, and a row for each epoch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from evaluators import Advance, Preparation
from nas._options import thaw
from nas.store.ledger import Ledger
from nas.store.schema import preparation_epochs as epochs
from nas.store.schema import preparations as table


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


def lease(ledger: Ledger, preparation: Preparation) -> Lease:
    """Take a preparation over, unless another live run is at it."""

    def body(connection: sa.Connection, _study: Mapping[str, Any]) -> Lease:
        row = connection.execute(sa.select(table).where(*_which(ledger, preparation))).mappings()
        found = row.first()
        if found is None:
            connection.execute(sa.insert(table), _begun(ledger, preparation))
            return Lease(0, None, 0.0, True)
        others = {run for run in ledger.live_runs(connection) if run != ledger.run_id}
        ours = found["run_id"] not in others
        if ours:
            change = sa.update(table).where(*_which(ledger, preparation))
            connection.execute(change.values(run_id=ledger.run_id))
        return Lease(found["epoch"], found["artifact"], found["seconds"], ours)

    return ledger.write(body)


def record(ledger: Ledger, preparation: Preparation, advance: Advance, since: int) -> None:
    """Record a stretch of a preparation, unless another run has taken it over meanwhile.

    Args:
        since: the epoch that it went on from. What was recorded behind that, with a checkpoint
            that has been lost, is replaced.
    """

    def body(connection: sa.Connection, _study: Mapping[str, Any]) -> None:
        change = sa.update(table).where(
            *_which(ledger, preparation), table.c.run_id == ledger.run_id
        )
        change = change.values(
            epoch=advance.epoch,
            artifact=advance.artifact.sha256 if advance.artifact else None,
            seconds=table.c.seconds + advance.seconds,
        )
        if not connection.execute(change).rowcount:
            return
        of_it = (epochs.c.study_id == ledger.study, epochs.c.key == preparation.key)
        connection.execute(sa.delete(epochs).where(*of_it, epochs.c.epoch > since))
        rows = [
            {
                "study_id": ledger.study,
                "key": preparation.key,
                "epoch": one.epoch,
                "metrics": dict(one.metrics),
                "distribution": {name: list(row) for name, row in one.distribution.items()},
            }
            for one in advance.epochs
        ]
        if rows:
            connection.execute(sa.insert(epochs), rows)

    ledger.write(body)


def _which(ledger: Ledger, preparation: Preparation) -> "tuple[sa.ColumnElement[bool], ...]":
    return table.c.study_id == ledger.study, table.c.key == preparation.key


def _begun(ledger: Ledger, preparation: Preparation) -> dict[str, Any]:
    plugin = preparation.plugin
    return {
        "study_id": ledger.study,
        "key": preparation.key,
        "plugin": {"name": plugin.name, "options": thaw(plugin.options)},
        "epochs": preparation.epochs,
        "passes": float(preparation.passes),
        "epoch": 0,
        "seconds": 0.0,
        "run_id": ledger.run_id,
    }
