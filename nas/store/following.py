"""Following a study while it runs: each trial that ends, once, in the order of their ends."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from nas.record import TrialRecord
from nas.store.read import Store
from nas.store.rows import UNENDED, trial_record, trial_rows
from nas.store.schema import evaluations, trials

_AT_ONCE = 500
# Optuna's own, which may not be there yet; times are kept there alone, in UTC.
_TWINS = sa.table(
    "trials",
    sa.column("trial_id"),
    sa.column("datetime_start", sa.DateTime()),
    sa.column("datetime_complete", sa.DateTime()),
)


@dataclass(frozen=True)
class Followed:
    """A trial, as it stands.

    Attributes:
        rungs: {epoch: what was measured there}, ascending.
        began, ended: in UTC, without a zone; None where they are not known.
    """

    record: TrialRecord
    rungs: Mapping[int, Mapping[str, float]]
    began: datetime | None = None
    ended: datetime | None = None


class Following:
    """What has ended of a study since one looked last; a fold over it needs no other reading.

    Raises:
        StoreError: there is no such study.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._last = store, -1
        with store.reading() as connection:
            self._study: int = store.row(connection, name)["id"]

    def ended(self) -> list[Followed]:
        """The next trials that have ended, at most some hundreds; none where there is no other."""
        query = trial_rows(self._study).where(trials.c.seq > self._last).order_by(trials.c.seq)
        found = self._followed(query.limit(_AT_ONCE))
        for followed in found:
            if followed.record.seq is not None:
                self._last = followed.record.seq
        return found

    def under_way(self) -> list[Followed]:
        """The trials that have been proposed and have not ended, by number."""
        query = trial_rows(self._study).where(
            trials.c.state.in_(UNENDED), trials.c.key.is_not(None)
        )
        return self._followed(query.order_by(trials.c.ordinal))

    def _followed(self, query: "sa.Select[Any]") -> list[Followed]:
        with self._store.reading() as connection:
            rows = connection.execute(query).mappings().all()
            rungs = self._rungs(connection, [row["ordinal"] for row in rows])
            times = self._times(connection, [row["twin"] for row in rows])
        return [
            Followed(trial_record(row), rungs[row["ordinal"]], *times.get(row["twin"], ()))
            for row in rows
        ]

    def _rungs(
        self, connection: sa.Connection, ordinals: Sequence[int]
    ) -> Mapping[int, Mapping[int, Mapping[str, float]]]:
        found: dict[int, dict[int, Mapping[str, float]]] = defaultdict(dict)
        query = (
            sa.select(evaluations.c.ordinal, evaluations.c.epoch, evaluations.c.metrics)
            .where(evaluations.c.study_id == self._study, evaluations.c.ordinal.in_(ordinals))
            .order_by(evaluations.c.epoch)
        )
        for ordinal, epoch, metrics in connection.execute(query) if ordinals else ():
            found[ordinal][epoch] = metrics
        return found

    def _times(
        self, connection: sa.Connection, twins: Sequence[int | None]
    ) -> Mapping[int | None, tuple[datetime | None, datetime | None]]:
        known = [twin for twin in twins if twin is not None]
        if not known or not sa.inspect(connection).has_table(_TWINS.name):
            return {}
        query = sa.select(_TWINS).where(_TWINS.c.trial_id.in_(known))
        return {
            row.trial_id: (row.datetime_start, row.datetime_complete)
            for row in connection.execute(query)
        }
