"""Optuna's own tables, kept in step with ours, so that Optuna's tools can read a study.

Our tables are the record. A trial's twin is written by plain statements in the transaction that
writes the trial, so that one commit is good for both. Optuna's API would commit 18 times for a
trial of 12 decisions, each time before or after ours.
"""

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import sqlalchemy as sa

from nas.constraints import Constraint
from nas.record import ENDED, TrialRecord, TrialState
from nas.store.optuna_tables import make_study, make_tables, optuna_tables
from nas.store.read import Store
from nas.store.schema import trials as ours
from search_spaces import Architecture

if TYPE_CHECKING:
    from search_spaces import SearchSpace

ORDINAL = "nas:ordinal"
ARCHITECTURE = "nas:architecture"
Mark: TypeAlias = Literal["RUNNING", "WAITING"]
# How many missing trials are made at a time: one has a row for each decision.
_CHUNK = 1000
_OPEN: tuple[Mark, Mark] = ("RUNNING", "WAITING")


class Twin:
    """The Optuna study of one of our studies; it is made where there is none.

    Whoever calls holds the lock of the study's row in our tables: numbers are consecutive.

    Raises:
        StoreError: Optuna's tables are of a version that is not known here.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        space: "SearchSpace",
        objectives: Mapping[str, str],
        constraints: Sequence[Constraint] = (),
    ) -> None:
        from optuna.distributions import distribution_to_json
        from optuna.storages._rdb.models import TrialValueModel

        from nas.strategies._suggest import distributions

        self._objectives = tuple(objectives)
        self._constraints = tuple(constraints)
        self._parameters = {
            name: (distribution, distribution_to_json(distribution))
            for name, distribution in distributions(space).items()
        }
        self._stored = TrialValueModel.value_to_stored_repr
        tables = optuna_tables()
        self._trials, self._params = tables["trials"], tables["trial_params"]
        self._is_open = sa.or_(*(self._trials.c.state == state for state in _OPEN))
        self._values = tables["trial_values"]
        self._user = tables["trial_user_attributes"]
        self._system = tables["trial_system_attributes"]
        with store.writing() as connection:
            make_tables(connection, store.storage)
            self._ours: int = store.row(connection, name)["id"]
            self._study = make_study(connection, name, objectives)
        # Built once: SQLAlchemy takes longer to build a statement than SQLite to run it.
        theirs = self._trials
        last = sa.select(theirs.c.number).where(theirs.c.study_id == self._study)
        self._last_number = last.order_by(theirs.c.trial_id.desc()).limit(1)
        self._begun = sa.insert(theirs).returning(theirs.c.trial_id, sort_by_parameter_order=True)
        self._ended = (
            sa.update(theirs)
            .where(theirs.c.trial_id == sa.bindparam("of"), self._is_open)
            .values(state=sa.bindparam("to"), datetime_complete=sa.bindparam("at"))
        )

    def begin(self, connection: sa.Connection, ordinal: int, architecture: Architecture) -> int:
        """Write the RUNNING row of a trial; returns its id, which our row keeps."""
        return self._make(connection, {ordinal: architecture})[ordinal]

    def end(self, connection: sa.Connection, twin: int, record: TrialRecord) -> None:
        """Close the row of a trial that has ended; a second time changes nothing."""
        self._close(connection, [(twin, record.state, record.metrics)])

    def mark(self, connection: sa.Connection, twins: Collection[int], state: Mark) -> None:
        """Say of trials that have not ended whether a driver has them."""
        start = {self._trials.c.datetime_start.name: _now()} if state == "RUNNING" else {}
        other = "WAITING" if state == "RUNNING" else "RUNNING"
        where = (self._trials.c.trial_id.in_(twins), self._trials.c.state == other)
        connection.execute(sa.update(self._trials).where(*where).values(state=state, **start))

    def repair(self, connection: sa.Connection) -> None:
        """Bring the study in step with our table, whatever was missed; one that is stays as it is.

        Older versions of this program kept no id of the twin in our table, and an imported study
        has none to keep.
        """
        self._adopt(connection)
        ended = ours.c.state.in_(ENDED)
        rows = connection.execute(self._pairs().where(ended, self._is_open))
        if to_close := [(pair.twin, pair.state, pair.metrics) for pair in rows]:
            # Older versions wrote the constraints before the state, not at once.
            halves = sa.delete(self._system).where(self._system.c.trial_id == sa.bindparam("of"))
            connection.execute(halves, [{"of": twin} for twin, _, _ in to_close])
            self._close(connection, to_close)
        for state, other in (_OPEN, _OPEN[::-1]):
            apart = (ours.c.state == state.lower(), self._trials.c.state == other)
            if to_mark := [pair.twin for pair in connection.execute(self._pairs().where(*apart))]:
                self.mark(connection, to_mark, state)

    def _pairs(self) -> "sa.Select[Any]":
        """Our proposed trials, each with its row here, in the order in which they ended."""
        mine, theirs = (ours.c.study_id == self._ours, ours.c.key.is_not(None)), self._trials
        here = sa.and_(theirs.c.trial_id == ours.c.twin, theirs.c.study_id == self._study)
        query = sa.select(ours).select_from(ours.outerjoin(theirs, here)).where(*mine)
        return query.order_by(ours.c.seq, ours.c.ordinal)

    def _adopt(self, connection: sa.Connection) -> None:
        """Give each trial the row that carries its ordinal, or a new one, where it has none."""
        none = connection.execute(self._pairs().where(self._trials.c.trial_id.is_(None)))
        missing = {pair.ordinal: Architecture.from_json(pair.architecture) for pair in none}
        if not missing:
            return
        query = (
            sa.select(self._user.c.value_json, self._user.c.trial_id)
            .join(self._trials, self._trials.c.trial_id == self._user.c.trial_id)
            .where(self._trials.c.study_id == self._study, self._user.c.key == ORDINAL)
        )
        twins = {int(ordinal): int(twin) for ordinal, twin in connection.execute(query)}
        lost = [n for n in sorted(missing) if n not in twins]
        for first in range(0, len(lost), _CHUNK):
            twins |= self._make(connection, {n: missing[n] for n in lost[first : first + _CHUNK]})
        which = (ours.c.study_id == self._ours, ours.c.ordinal == sa.bindparam("of"))
        change = sa.update(ours).where(*which).values(twin=sa.bindparam("to"))
        connection.execute(change, [{"of": n, "to": twins[n]} for n in missing])

    def _make(
        self, connection: sa.Connection, begun: Mapping[int, Architecture]
    ) -> Mapping[int, int]:
        """Write RUNNING rows; returns {ordinal: id of the row}."""
        number = connection.scalar(self._last_number)
        first = 0 if number is None else number + 1
        row = {"study_id": self._study, "state": "RUNNING", "datetime_start": _now()}
        rows = [{**row, "number": n} for n, _ in enumerate(begun, first)]
        twins = connection.scalars(self._begun, rows).all()
        made = list(zip(twins, begun.items(), strict=True))
        parameters = [p for twin, (_, a) in made for p in self._parameters_of(twin, a)]
        connection.execute(sa.insert(self._params), parameters)
        attributes = [
            {"trial_id": twin, "key": key, "value_json": json.dumps(value)}
            for twin, (ordinal, architecture) in made
            for key, value in ((ORDINAL, ordinal), (ARCHITECTURE, architecture.key))
        ]
        connection.execute(sa.insert(self._user), attributes)
        return dict(zip(begun, twins, strict=True))

    def _parameters_of(self, twin: int, architecture: Architecture) -> Iterable[dict[str, Any]]:
        for name, choice in architecture.choices.items():
            distribution, as_json = self._parameters[name]
            yield {
                "trial_id": twin,
                "param_name": name,
                "param_value": distribution.to_internal_repr(choice),
                "distribution_json": as_json,
            }

    def _close(
        self,
        connection: sa.Connection,
        ended: Iterable[tuple[int, TrialState, Mapping[str, float]]],
    ) -> None:
        """Write state, values and constraints of rows, where they are open."""
        states, values, constraints = [], [], []
        for twin, state, metrics in ended:
            # Optuna has no value for what was not measured or is no number.
            measured = all(not math.isnan(metrics.get(m, math.nan)) for m in self._objectives)
            closed = {"failed": "FAIL", "pruned": "PRUNED"}.get(
                state, "COMPLETE" if measured else "PRUNED"
            )
            states.append({"of": twin, "to": closed, "at": _now()})
            if closed == "COMPLETE":
                values += [self._value(twin, i, metrics[m]) for i, m in enumerate(self._objectives)]
            for constraint in self._constraints:
                violation = constraint.violation(metrics)
                if violation is not None:
                    key, as_json = f"constraints:{constraint}", json.dumps(violation)
                    constraints.append({"trial_id": twin, "key": key, "value_json": as_json})
        if not connection.execute(self._ended, states).rowcount:
            return
        for table, rows in ((self._values, values), (self._system, constraints)):
            if rows:
                connection.execute(sa.insert(table), rows)

    def _value(self, twin: int, objective: int, value: float) -> dict[str, Any]:
        stored, kind = self._stored(value)
        return {"trial_id": twin, "objective": objective, "value": stored, "value_type": kind}


def _now() -> datetime:
    """Optuna keeps naive times, in UTC."""
    return datetime.now(UTC).replace(tzinfo=None)
