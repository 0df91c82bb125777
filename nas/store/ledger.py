"""Writing a study: one driver's reservations, proposals, evaluations and endings.

Each method is one transaction. What has ended is never written again. A trial is written to by the
run that owns it (`run_id`); the trials of a run that is gone are claimed by the next one.
"""

import math
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa

from evaluators import Evaluation, Failure
from nas.record import ENDED, TrialRecord, TrialState
from nas.store.engine import StoreFailedError
from nas.store.new import now
from nas.store.read import Store, trial_record, trial_rows
from nas.store.runs import begin_run
from nas.store.schema import evaluations, runs, studies, trials
from search_spaces import Architecture


@dataclass(frozen=True)
class Reserved:
    """An ordinal that this run owns.

    Attributes:
        ordinal: of the proposal.
        last_seq: the last ended trial that the strategy may see; -1 for none.
        pending: the ordinals that were under way when it was reserved.
        architecture: what was proposed, if a run got as far as that.
        inherit: the trial whose weights it starts from.
    """

    ordinal: int
    last_seq: int
    pending: tuple[int, ...]
    architecture: Architecture | None = None
    inherit: int | None = None


@dataclass(frozen=True)
class Ending:
    """How a trial ended, complete with what is kept of it.

    Attributes:
        notes: of an evaluation that failed; those of the others are in their own rows.
    """

    state: TrialState
    metrics: Mapping[str, float] = field(default_factory=dict)
    violation: float = 0.0
    epochs: int = 0
    seconds: float = 0.0
    cached: bool = False
    artifact: str | None = None
    failure: Failure | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


class TakenOverError(StoreFailedError):
    """This run was taken for dead, and another one drives the study."""


class Ledger:
    """One run of one study: the only writer of the trials that it owns.

    Raises:
        StoreError: no such study, or another driver is alive.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        # The heartbeat's thread and the driver's both account for time.
        self._clock = threading.Lock()
        self._counted = time.monotonic()
        with store.writing() as connection:
            self.study: int = store.row(connection, name, lock=True)["id"]
            self.run_id = begin_run(connection, self.study, name)
            self._change(connection, state="running", reason="")

    @contextmanager
    def _owning(self) -> Iterator[tuple[sa.Connection, Mapping[str, Any]]]:
        """A transaction with the study's row locked, for as long as this run is not ended.

        A driver that was silent for too long (a suspended laptop) may find, when it wakes, that
        another has taken over: it must not write any more.

        Raises:
            TakenOverError: another run has ended this one.
        """
        with self.store.writing() as connection:
            query = sa.select(studies).where(studies.c.id == self.study).with_for_update()
            study = dict(connection.execute(query).mappings().one())
            if connection.scalar(sa.select(runs.c.ended).where(runs.c.id == self.run_id)):
                raise TakenOverError(
                    f'study "{study["name"]}" was silent for too long and has been taken over by '
                    "another process; nothing is lost, that one goes on"
                )
            yield connection, study

    def claim(self) -> list[Reserved]:
        """Take over the trials that no live run owns, in the order of their ordinals."""
        with self._owning() as (connection, _):
            where = (trials.c.study_id == self.study, trials.c.state.not_in(ENDED))
            query = sa.select(trials).where(*where).order_by(trials.c.ordinal)
            orphans = [_reserved(row) for row in connection.execute(query).mappings()]
            change = sa.update(trials).where(*where)
            connection.execute(change.values(run_id=self.run_id, state="running"))
        return orphans

    def reserve(self, batch: int, target: int | None) -> list[Reserved]:
        """The next ordinals, up to a multiple of `batch`; none when `target` have been given out.

        All of them or none are recorded. Each may see what has ended by now; those before it are
        pending.
        """
        with self._owning() as (connection, study):
            first = study["next_ordinal"]
            end = first - first % batch + batch
            end = end if target is None else min(end, target)
            if end <= first:
                return []
            under_way = sa.select(trials.c.ordinal).where(
                trials.c.study_id == self.study, trials.c.state.not_in(ENDED)
            )
            pending, last_seq = sorted(connection.scalars(under_way)), study["next_seq"] - 1
            reserved = [
                Reserved(ordinal, last_seq, (*pending, *range(first, ordinal)))
                for ordinal in range(first, end)
            ]
            connection.execute(sa.insert(trials), [self._begun(one) for one in reserved])
            self._change(connection, next_ordinal=end)
        return reserved

    def _begun(self, reserved: Reserved) -> dict[str, Any]:
        """The row of a trial of which nothing but its ordinal is known."""
        return {
            "study_id": self.study,
            "ordinal": reserved.ordinal,
            "state": "running",
            "run_id": self.run_id,
            "last_seq": reserved.last_seq,
            "pending": list(reserved.pending),
            "cached": False,
            "metrics": {},
            "violation": 0.0,
            "epochs": 0,
            "seconds": 0.0,
        }

    def propose(
        self,
        ordinal: int,
        architecture: Architecture,
        inherit: int | None,
        note: Mapping[str, str | int | float],
    ) -> None:
        """Record what was proposed under an ordinal, and what the strategy said of it."""
        with self._owning() as (connection, _):
            connection.execute(
                self._mine(ordinal).values(
                    architecture=architecture.to_json(),
                    key=architecture.key,
                    inherit=inherit,
                    note={name: _json(value) for name, value in note.items()} or None,
                )
            )

    def withdraw(self, ordinals: Collection[int]) -> int:
        """Give ordinals back: nothing could be proposed under them; returns the next one."""
        with self._owning() as (connection, _):
            connection.execute(
                sa.delete(trials).where(
                    trials.c.study_id == self.study,
                    trials.c.ordinal.in_(ordinals),
                    trials.c.key.is_(None),
                )
            )
            last = connection.scalar(
                sa.select(sa.func.max(trials.c.ordinal)).where(trials.c.study_id == self.study)
            )
            following = 0 if last is None else last + 1
            self._change(connection, next_ordinal=following)
        return following

    def append(self, ordinal: int, evaluation: Evaluation, cache_key: str) -> int:
        """Record a rung that the trial may go on from; returns the row's id, which orders rungs."""
        with self._owning() as (connection, _):
            return self._append(connection, ordinal, evaluation, cache_key)

    def end(
        self,
        ordinal: int,
        ending: Ending,
        evaluation: Evaluation | None = None,
        cache_key: str = "",
    ) -> TrialRecord:
        """End a trial with its last evaluation, and give it its place in the order."""
        with self._owning() as (connection, study):
            if evaluation is not None:
                self._append(connection, ordinal, evaluation, cache_key)
            connection.execute(
                self._mine(ordinal).values(
                    state=ending.state,
                    seq=study["next_seq"],
                    cached=ending.cached,
                    metrics=dict(ending.metrics),
                    violation=ending.violation,
                    epochs=ending.epochs,
                    seconds=ending.seconds,
                    artifact=ending.artifact,
                    failure=asdict(ending.failure) if ending.failure else None,
                    evaluated=dict(ending.notes) or None,
                )
            )
            self._change(
                connection,
                next_seq=study["next_seq"] + 1,
                seconds=study["seconds"] + self._elapsed(),
            )
            query = trial_rows(self.study).where(trials.c.ordinal == ordinal)
            return trial_record(connection.execute(query).mappings().one())

    def ended_after(self, seq: int) -> list[TrialRecord]:
        """The trials that ended after another, in that order."""
        query = trial_rows(self.study).where(trials.c.seq > seq).order_by(trials.c.seq)
        with self.store.reading() as connection:
            return [trial_record(row) for row in connection.execute(query).mappings()]

    def architectures(self, ordinals: Iterable[int]) -> list[Architecture]:
        """What was proposed under the given ordinals, where anything was."""
        query = (
            sa.select(trials.c.architecture)
            .where(trials.c.study_id == self.study, trials.c.ordinal.in_(list(ordinals)))
            .where(trials.c.key.is_not(None))
            .order_by(trials.c.ordinal)
        )
        with self.store.reading() as connection:
            return [Architecture.from_json(value) for value in connection.scalars(query)]

    def rungs(self, ordinal: int) -> list[dict[str, Any]]:
        """What has been measured of a trial so far, by epoch."""
        query = (
            sa.select(evaluations)
            .where(evaluations.c.study_id == self.study, evaluations.c.ordinal == ordinal)
            .order_by(evaluations.c.epoch)
        )
        with self.store.reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def rung_until(self, epoch: int, row: int) -> list[Mapping[str, float]]:
        """The metrics at a rung of the study, in the order recorded, up to a row's id."""
        query = self._rung(epoch).where(evaluations.c.id <= row).order_by(evaluations.c.id)
        with self.store.reading() as connection:
            return [dict(metrics) for _, metrics in connection.execute(query)]

    def rung_of(self, epoch: int, ordinals: range) -> dict[int, Mapping[str, float]]:
        """{ordinal: metrics at a rung} of a range of trials, in the order of the ordinals."""
        ordinal = evaluations.c.ordinal
        query = self._rung(epoch).where(ordinal >= ordinals.start, ordinal < ordinals.stop)
        with self.store.reading() as connection:
            rows = connection.execute(query.order_by(ordinal))
            return {number: dict(metrics) for number, metrics in rows}

    def _rung(self, epoch: int) -> "sa.Select[tuple[int, Any]]":
        return sa.select(evaluations.c.ordinal, evaluations.c.metrics).where(
            evaluations.c.study_id == self.study, evaluations.c.epoch == epoch
        )

    def known(self, cache_key: str) -> dict[str, Any] | None:
        """An evaluation of the same key by any study with the same artifacts."""
        mine = sa.select(studies.c.artifacts).where(studies.c.id == self.study)
        query = (
            sa.select(evaluations)
            .join(studies, studies.c.id == evaluations.c.study_id)
            .where(evaluations.c.cache_key == cache_key)
            .where(studies.c.artifacts == mine.scalar_subquery())
            .order_by(evaluations.c.id)
            .limit(1)
        )
        with self.store.reading() as connection:
            row = connection.execute(query).mappings().first()
        return dict(row) if row is not None else None

    def set_budget(self, budget: Mapping[str, Any], target: int | None) -> None:
        """Record the totals wanted, so that the next run goes on towards the same."""
        with self._owning() as (connection, study):
            spec = {**study["spec"], "budget": dict(budget)}
            self._change(connection, spec=spec, target=target)

    def beat(self) -> None:
        """A sign of life, for all trials in flight, and the time spent so far."""
        with self._owning() as (connection, study):
            seconds = study["seconds"] + self._elapsed()
            change = sa.update(runs).where(runs.c.id == self.run_id)
            connection.execute(change.values(beat=time.time()))
            self._change(connection, seconds=seconds)

    def close(self, state: str, reason: str) -> None:
        """End this run; trials that it had under way wait for the next one."""
        with suppress(TakenOverError), self._owning() as (connection, study):
            mine = sa.update(trials).where(
                trials.c.study_id == self.study,
                trials.c.run_id == self.run_id,
                trials.c.state.not_in(ENDED),
            )
            connection.execute(mine.values(state="waiting", run_id=None))
            connection.execute(sa.update(runs).where(runs.c.id == self.run_id).values(ended=True))
            seconds = study["seconds"] + self._elapsed()
            self._change(connection, state=state, reason=reason, seconds=seconds)

    def _change(self, connection: sa.Connection, **values: Any) -> None:
        change = sa.update(studies).where(studies.c.id == self.study)
        connection.execute(change.values(**values, changed=now()))

    def _mine(self, ordinal: int) -> "sa.Update":
        return sa.update(trials).where(
            trials.c.study_id == self.study,
            trials.c.ordinal == ordinal,
            trials.c.run_id == self.run_id,
            trials.c.state.not_in(ENDED),
        )

    def _append(
        self, connection: sa.Connection, ordinal: int, evaluation: Evaluation, cache_key: str
    ) -> int:
        inserted = connection.execute(
            sa.insert(evaluations).values(
                study_id=self.study,
                ordinal=ordinal,
                epoch=evaluation.epoch,
                cache_key=cache_key,
                metrics=dict(evaluation.metrics),
                seconds=evaluation.seconds,
                artifact=evaluation.artifact.sha256 if evaluation.artifact else None,
                notes=dict(evaluation.notes) or None,
            )
        )
        return int(inserted.inserted_primary_key[0])  # type: ignore[index]

    def _elapsed(self) -> float:
        with self._clock:
            now = time.monotonic()
            elapsed, self._counted = now - self._counted, now
        return elapsed


def _json(value: str | int | float) -> str | int | float | None:
    """A value that JSON has: a correlation that is not defined is a NaN, and becomes null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _reserved(row: Mapping[Any, Any]) -> Reserved:
    value = row["architecture"]
    return Reserved(
        ordinal=row["ordinal"],
        last_seq=row["last_seq"],
        pending=tuple(row["pending"]),
        architecture=Architecture.from_json(value) if value else None,
        inherit=row["inherit"],
    )
