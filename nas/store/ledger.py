"""Writing a study: one driver's reservations, proposals, evaluations and endings.

Each method is one transaction of the run (see `nas.store.study_run`). What has ended is never
written again. A trial is written to by the run that owns it (`run_id`); the trials of a run that is
gone, or has left, are claimed by another.
"""

import math
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from evaluators import Evaluation
from nas.record import TrialRecord
from nas.store.alive import OWN_RUNS, open_runs
from nas.store.owned import Company, Ending, Reserved, reserved
from nas.store.rows import UNENDED, trial_record
from nas.store.schema import evaluations, runs, studies, trials
from nas.store.study_run import StudyRun, TakenOverError
from search_spaces import Architecture

# Built once: SQLAlchemy takes longer to build a statement than to run it.
_OF_STUDY = trials.c.study_id == sa.bindparam("of_study")
_MINE = sa.update(trials).where(
    _OF_STUDY,
    trials.c.ordinal == sa.bindparam("of_ordinal"),
    trials.c.run_id == sa.bindparam("of_run"),
    trials.c.state.in_(UNENDED),
)
_MINE_BACK = _MINE.returning(*trials.c)
_UNDER_WAY = sa.select(trials.c.ordinal).where(_OF_STUDY, trials.c.state.in_(UNENDED))
_SAME = (
    sa.select(trials.c.ordinal)
    .where(trials.c.key == sa.bindparam("key"), trials.c.ordinal != sa.bindparam("of_ordinal"))
    .where(_OF_STUDY)
)
# Two queries in one: of an OR, SQLite reads the whole study.
_MEANWHILE = sa.union_all(
    _SAME.where(trials.c.state.in_(UNENDED)), _SAME.where(trials.c.seq > sa.bindparam("last_seq"))
).limit(1)


class Ledger(StudyRun):
    """One run of one study: the only writer of the trials that it owns."""

    def claim(self) -> list[Reserved]:
        """Take over the trials that no live run owns, in the order of their ordinals."""

        def body(connection: sa.Connection, _study: Mapping[str, Any]) -> list[Reserved]:
            live = [*self.live_runs(connection), self.run_id]
            gone = sa.update(runs).where(runs.c.study_id == self.study, runs.c.id.not_in(live))
            connection.execute(gone.where(sa.not_(runs.c.ended)).values(ended=True))
            owner = trials.c.run_id
            where = (
                trials.c.study_id == self.study,
                trials.c.state.in_(UNENDED),
                sa.or_(owner.is_(None), owner.not_in(live)),
            )
            query = sa.select(trials).where(*where).order_by(trials.c.ordinal)
            rows = connection.execute(query).mappings().all()
            died = trials.c.deaths + sa.case((owner.is_not(None), 1), else_=0)
            change = sa.update(trials).where(*where)
            connection.execute(change.values(run_id=self.run_id, state="running", deaths=died))
            twins = [row["twin"] for row in rows if row["twin"] is not None]
            self.twin.mark(connection, twins, "RUNNING")
            return [reserved(row, died=row["run_id"] is not None) for row in rows]

        return self.write(body)

    def company(self) -> Company:
        """What other runs have of the study, and whether it is theirs."""
        last = sa.func.max(evaluations.c.epoch)
        rung = sa.and_(
            evaluations.c.study_id == trials.c.study_id, evaluations.c.ordinal == trials.c.ordinal
        )
        others = sa.or_(trials.c.run_id.is_(None), trials.c.run_id != self.run_id)
        query = (
            sa.select(trials.c.ordinal, trials.c.run_id, last)
            .outerjoin(evaluations, rung)
            .where(trials.c.study_id == self.study, trials.c.state.in_(UNENDED), others)
            .group_by(trials.c.ordinal, trials.c.run_id)
        )
        given_out = sa.select(studies.c.next_ordinal).where(studies.c.id == self.study)

        def ask(connection: sa.Connection) -> Company:
            found = connection.execute(query).all()
            begun = int(connection.scalar(given_out) or 0)
            alive = self.live_runs(connection) if found else []
            measured = {ordinal: epoch or 0 for ordinal, _, epoch in found}
            return Company(begun, measured, any(run not in alive for _, run, _ in found))

        return self.read(ask)

    def reserve(self, batch: int, target: int | None) -> list[Reserved]:
        """The next ordinals, up to a multiple of `batch`; none when `target` have been given out.

        All of them or none are recorded. Each may see what has ended by now; those before it are
        pending.
        """

        def body(connection: sa.Connection, study: Mapping[str, Any]) -> list[Reserved]:
            first = study["next_ordinal"]
            end = first - first % batch + batch
            end = end if target is None else min(end, target)
            if end <= first:
                return []
            under_way = connection.scalars(_UNDER_WAY, {"of_study": self.study})
            pending, last_seq = sorted(under_way), study["next_seq"] - 1
            batch_of = [
                Reserved(ordinal, last_seq, (*pending, *range(first, ordinal)))
                for ordinal in range(first, end)
            ]
            connection.execute(sa.insert(trials), [self._begun(one) for one in batch_of])
            self.change(connection, next_ordinal=end)
            return batch_of

        return self.write(body)

    def _begun(self, one: Reserved) -> dict[str, Any]:
        """The row of a trial of which nothing but its ordinal is known."""
        return {
            "study_id": self.study,
            "ordinal": one.ordinal,
            "state": "running",
            "run_id": self.run_id,
            "last_seq": one.last_seq,
            "pending": list(one.pending),
            "cached": False,
            "metrics": {},
            "violation": 0.0,
            "epochs": 0,
            "seconds": 0.0,
            "deaths": 0,
        }

    def propose(
        self,
        proposed: Reserved,
        architecture: Architecture,
        note: Mapping[str, str | int | float],
        *,
        unique: bool,
    ) -> int | None:
        """Record what was proposed under an ordinal, and what the strategy said of it.

        Args:
            proposed: the ordinal, what the proposal knew of, and whose weights it takes over.
            unique: whether to record nothing where another run has proposed the same meanwhile.

        Returns:
            The ordinal of that one; None when the proposal is recorded.
        """
        which = self._which(proposed.ordinal)
        key = {"key": architecture.key, "last_seq": proposed.last_seq}

        def body(connection: sa.Connection, _study: Mapping[str, Any]) -> int | None:
            taken = connection.scalar(_MEANWHILE, which | key) if unique else None
            if taken is None:
                row = {
                    "architecture": architecture.to_json(),
                    "key": architecture.key,
                    "inherit": proposed.inherit,
                    "inherit_by": proposed.inherit_by,
                    "prepared": proposed.prepared,
                    "note": {name: _json(value) for name, value in note.items()} or None,
                    "pending": list(proposed.pending),
                    "twin": self.twin.begin(connection, proposed.ordinal, architecture),
                }
                self._refuse_lost(connection.execute(_MINE, which | row).rowcount, proposed.ordinal)
            return taken

        return self.write(body)

    def withdraw(self, ordinals: Collection[int]) -> int:
        """Give ordinals back: nothing could be proposed under them; returns the next one."""

        def body(connection: sa.Connection, _study: Mapping[str, Any]) -> int:
            connection.execute(
                sa.delete(trials).where(
                    trials.c.study_id == self.study,
                    trials.c.ordinal.in_(ordinals),
                    trials.c.run_id == self.run_id,
                    trials.c.key.is_(None),
                )
            )
            last = connection.scalar(
                sa.select(sa.func.max(trials.c.ordinal)).where(trials.c.study_id == self.study)
            )
            following = 0 if last is None else int(last) + 1
            self.change(connection, next_ordinal=following)
            return following

        return self.write(body)

    def append(self, ordinal: int, evaluation: Evaluation, cache_key: str) -> int:
        """Record a rung that the trial may go on from; returns the row's id, which orders rungs."""
        return self.write(lambda c, _: self._append(c, ordinal, evaluation, cache_key))

    def keep(self, ordinal: int, evaluation: Evaluation, seconds: float) -> None:
        """Record where a trial was stopped, between two rungs; `seconds` since the last of them."""
        artifact = evaluation.artifact.sha256 if evaluation.artifact else None
        checkpoint = {"epoch": evaluation.epoch, "artifact": artifact, "seconds": seconds}
        change = {**self._which(ordinal), "checkpoint": checkpoint}
        self.write(lambda connection, _: connection.execute(_MINE, change).rowcount)

    def end(
        self,
        ordinal: int,
        ending: Ending,
        evaluation: Evaluation | None = None,
        cache_key: str = "",
    ) -> TrialRecord:
        """End a trial with its last evaluation, and give it its place in the order."""

        def body(connection: sa.Connection, study: Mapping[str, Any]) -> TrialRecord:
            if evaluation is not None:
                self._append(connection, ordinal, evaluation, cache_key)
            ended = {
                "state": ending.state,
                "seq": study["next_seq"],
                "cached": ending.cached,
                "metrics": dict(ending.metrics),
                "violation": ending.violation,
                "epochs": ending.epochs,
                "seconds": ending.seconds,
                "artifact": ending.artifact,
                "failure": asdict(ending.failure) if ending.failure else None,
                "evaluated": dict(ending.notes) or None,
                "checkpoint": None,
            }
            found = connection.execute(_MINE_BACK, self._which(ordinal) | ended).mappings().all()
            self._refuse_lost(len(found), ordinal)
            row = dict(found[0])
            row["last_notes"] = evaluation.notes if evaluation else None
            self.change(
                connection,
                next_seq=study["next_seq"] + 1,
                seconds=study["seconds"],
                accounted=study["now"],
            )
            record = trial_record(row)
            self.twin.end(connection, row["twin"], record)
            return record

        record = self.write(body)
        self.last_seq += 1
        return record

    def set_budget(self, budget: Mapping[str, Any], target: int | None) -> None:
        """Record the totals wanted, so that the next run goes on towards the same."""

        def body(connection: sa.Connection, _study: Mapping[str, Any]) -> None:
            query = sa.select(studies.c.spec).where(studies.c.id == self.study)
            spec = {**connection.execute(query).scalar_one(), "budget": dict(budget)}
            self.change(connection, spec=spec, target=target)

        self.write(body)

    def close(self, state: str, reason: str) -> None:
        """End this run; trials that it had under way wait for another.

        Args:
            state, reason: of the study, unless other runs go on with it.
        """

        def body(connection: sa.Connection, study: Mapping[str, Any]) -> None:
            mine = sa.update(trials).where(
                trials.c.study_id == self.study,
                trials.c.run_id == self.run_id,
                trials.c.state.in_(UNENDED),
            )
            left = connection.scalars(
                mine.values(state="waiting", run_id=None).returning(trials.c.twin)
            )
            twins = [twin for twin in left if twin is not None]
            self.twin.mark(connection, twins, "WAITING")
            connection.execute(sa.update(runs).where(runs.c.id == self.run_id).values(ended=True))
            time = {"seconds": study["seconds"], "accounted": study["now"]}
            if self.live_runs(connection):
                self.change(connection, **time)
            else:
                self.change(connection, state=state, reason=reason, **time)

        # Over it is in any case, also where that cannot be written.
        OWN_RUNS.discard(self.run_id)
        with suppress(TakenOverError):
            self.write(body)

    def live_runs(self, connection: sa.Connection) -> list[str]:
        """The runs of the study that may be alive."""
        excuse = self.patience.excuse_seconds
        return [r.id for r in open_runs(connection, self.study) if r.may_live(excuse)]

    def _refuse_lost(self, rows: int, ordinal: int) -> None:
        """Raise where a trial that was to be written to is not this run's, or has ended."""
        if not rows:
            raise TakenOverError(
                f'trial {ordinal} of study "{self.name}" is not of this process any more; nothing '
                "is lost, another one goes on with it"
            )

    def _which(self, ordinal: int) -> dict[str, Any]:
        """The parameters of a statement on a trial of this run."""
        return {"of_study": self.study, "of_ordinal": ordinal, "of_run": self.run_id}

    def _append(
        self, connection: sa.Connection, ordinal: int, evaluation: Evaluation, cache_key: str
    ) -> int:
        row = {
            "study_id": self.study,
            "ordinal": ordinal,
            "epoch": evaluation.epoch,
            "cache_key": cache_key,
            "metrics": dict(evaluation.metrics),
            "seconds": evaluation.seconds,
            "artifact": evaluation.artifact.sha256 if evaluation.artifact else None,
            "notes": dict(evaluation.notes) or None,
        }
        inserted = connection.execute(sa.insert(evaluations), row)
        return int(inserted.inserted_primary_key[0])  # type: ignore[index]


def _json(value: str | int | float) -> str | int | float | None:
    """A value that JSON has: a correlation that is not defined is a NaN, and becomes null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
