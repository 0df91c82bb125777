"""What a driver reads of its study while it runs; asked again when the connection is lost."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from nas.record import TrialRecord
from nas.store.patience import Patience
from nas.store.places import resolved_place
from nas.store.read import Store
from nas.store.rows import trial_record, trial_rows
from nas.store.schema import evaluations, studies, trials
from search_spaces import Architecture

# Trials that are read at once, of a long record.
_AT_ONCE = 1000
# Built once: SQLAlchemy takes longer to build a statement than to run it.
_ENDED = (
    trial_rows(sa.bindparam("of_study", type_=sa.Integer))
    .where(trials.c.seq > sa.bindparam("last"))
    .order_by(trials.c.seq)
    .limit(_AT_ONCE)
)
_PROPOSED = (
    sa.select(trials.c.architecture)
    .where(trials.c.study_id == sa.bindparam("of_study"), trials.c.key.is_not(None))
    .where(trials.c.ordinal.in_(sa.bindparam("ordinals", expanding=True)))
    .order_by(trials.c.ordinal)
)
_KNOWN = (
    sa.select(evaluations)
    .join(studies, studies.c.id == evaluations.c.study_id)
    .where(evaluations.c.cache_key == sa.bindparam("cache_key"))
    .where(studies.c.artifacts == sa.bindparam("artifacts"))
    .order_by(evaluations.c.id)
    .limit(1)
)
T = TypeVar("T")


class StudyReader:
    """The rows of one study.

    Args:
        row: of the study.
        patience: with a database that cannot be reached.

    Attributes:
        study, name: its id and its name.
        artifacts: URL of its artifact store.
        start: the architectures that it begins with.
        begun: how many ordinals had been given out when it was opened.
    """

    def __init__(self, store: Store, row: Mapping[str, Any], patience: Patience) -> None:
        self.store, self.patience = store, patience
        self.study: int = row["id"]
        self.name: str = row["name"]
        self.artifacts = resolved_place(store.engine, row["artifacts"])
        self.start = [Architecture.from_json(value) for value in row["start"]]
        self.begun: int = row["next_ordinal"]
        self._recorded_place: str = row["artifacts"]

    def read(self, query: Callable[[sa.Connection], T]) -> T:
        """The result of a query, which may be asked more than once."""

        def attempt() -> T:
            with self.store.reading() as connection:
                return query(connection)

        return self.patience(attempt)

    def ended_after(self, seq: int) -> Iterator[TrialRecord]:
        """The trials that ended after another, in that order; read bit by bit."""
        of = {"of_study": self.study, "last": seq}
        found = self.read(lambda c: c.execute(_ENDED, of).mappings().all())
        yield from map(trial_record, found)
        if len(found) == _AT_ONCE:
            yield from self.ended_after(found[-1]["seq"])

    def architectures(self, ordinals: Sequence[int]) -> list[Architecture]:
        """What was proposed under the given ordinals, where anything was."""
        if not ordinals:
            return []
        of = {"of_study": self.study, "ordinals": list(ordinals)}
        return self.read(lambda c: [*map(Architecture.from_json, c.scalars(_PROPOSED, of))])

    def rungs(self, ordinal: int) -> list[dict[str, Any]]:
        """What has been measured of a trial so far, by epoch."""
        query = (
            sa.select(evaluations)
            .where(evaluations.c.study_id == self.study, evaluations.c.ordinal == ordinal)
            .order_by(evaluations.c.epoch)
        )
        return self.read(lambda c: [dict(row) for row in c.execute(query).mappings()])

    def rung_until(self, epoch: int, row: int) -> list[Mapping[str, float]]:
        """The metrics at a rung of the study, in the order recorded, up to a row's id."""
        query = self._rung(epoch).where(evaluations.c.id <= row).order_by(evaluations.c.id)
        return self.read(lambda c: [dict(metrics) for _, metrics in c.execute(query)])

    def rung_of(self, epoch: int, ordinals: range) -> dict[int, Mapping[str, float]]:
        """{ordinal: metrics at a rung} of a range of trials, in the order of the ordinals."""
        ordinal = evaluations.c.ordinal
        query = self._rung(epoch).where(ordinal >= ordinals.start, ordinal < ordinals.stop)
        query = query.order_by(ordinal)
        return self.read(lambda c: {number: dict(metrics) for number, metrics in c.execute(query)})

    def _rung(self, epoch: int) -> "sa.Select[tuple[int, Any]]":
        return sa.select(evaluations.c.ordinal, evaluations.c.metrics).where(
            evaluations.c.study_id == self.study, evaluations.c.epoch == epoch
        )

    def known(self, cache_key: str) -> dict[str, Any] | None:
        """An evaluation of the same key by any study with the same artifacts."""
        of = {"cache_key": cache_key, "artifacts": self._recorded_place}
        row = self.read(lambda c: c.execute(_KNOWN, of).mappings().first())
        return dict(row) if row is not None else None
