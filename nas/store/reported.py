"""What only reports ask of a study: all of its rungs at once, and what it is bound to."""

from typing import Any, NamedTuple

import sqlalchemy as sa

from nas.store.read import Store
from nas.store.schema import evaluations


class Rung(NamedTuple):
    """A trial measured at an epoch."""

    trial: int
    epoch: int
    metrics: dict[str, float]


class Bound(NamedTuple):
    """The space and the task of a study, as JSON."""

    space: dict[str, Any]
    task: dict[str, Any]


def all_rungs(store: Store, name: str) -> list[Rung]:
    """All that was measured of a study, by trial and epoch."""
    with store.reading() as connection:
        study = store.row(connection, name)["id"]
        query = sa.select(evaluations.c.ordinal, evaluations.c.epoch, evaluations.c.metrics)
        query = query.where(evaluations.c.study_id == study)
        query = query.order_by(evaluations.c.ordinal, evaluations.c.epoch)
        return [Rung(*row) for row in connection.execute(query)]


def bound_to(store: Store, name: str) -> Bound:
    """The space and the task that a study is bound to."""
    with store.reading() as connection:
        row = store.row(connection, name)
        return Bound(row["space"], row["task"])
