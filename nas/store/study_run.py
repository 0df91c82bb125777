"""One run of a study: it begins, beats, and runs transactions, each of them once.

Where the connection is lost in a commit, nobody knows whether it came through. So a run counts its
transactions in its own row (`step`), in the transactions themselves; when the database is back, it
looks there, and repeats only what is not there.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import sqlalchemy as sa

from nas.store.alive import GRACE_SECONDS, open_runs
from nas.store.clock import database_time
from nas.store.engine import StoreFailedError
from nas.store.new import now
from nas.store.patience import Patience, wait_aloud
from nas.store.read import Store
from nas.store.reader import StudyReader
from nas.store.runs import begin_run
from nas.store.schema import runs, studies
from nas.store.twin import Twin

# Built once: SQLAlchemy takes longer to build a statement than to run it.
_STUDY = (
    sa.select(
        *(studies.c[name] for name in ("next_ordinal", "next_seq", "seconds", "accounted")),
        database_time().label("now"),
    )
    .where(studies.c.id == sa.bindparam("of"))
    .with_for_update(of=studies)
)
_CHANGE = sa.update(studies).where(studies.c.id == sa.bindparam("of"))
_MINE = sa.update(runs).where(runs.c.id == sa.bindparam("of"), sa.not_(runs.c.ended))
_BEAT = _MINE.values(beat=database_time())
_STEP = _BEAT.where(runs.c.step == sa.bindparam("to") - 1).values(step=sa.bindparam("to"))
_TAKEN = sa.select(runs.c.step).where(runs.c.id == sa.bindparam("of"), sa.not_(runs.c.ended))

T = TypeVar("T")
Body = Callable[[sa.Connection, Mapping[str, Any]], T]


class TakenOverError(StoreFailedError):
    """This run was taken for dead, and others drive the study."""


class StudyRun(StudyReader):
    """A run, begun.

    Args:
        twin: Optuna's side, which is written in the same transactions.
        patience: with a database that cannot be reached.
        join: whether other runs may be alive.

    Attributes:
        last_seq: of the study's ended trials, as the last transaction saw it.
        seconds: spent on the study, likewise.

    Raises:
        StoreError: no such study; another driver is alive, and this one must be alone.
    """

    def __init__(
        self, store: Store, name: str, twin: Twin, patience: Patience, *, join: bool = False
    ) -> None:
        wait_aloud(store.engine)
        with store.writing() as connection:
            row = store.row(connection, name, lock=True)
            super().__init__(store, row, patience)
            self.run_id = begin_run(connection, self.study, name, join=join)
            twin.repair(connection)
            self.change(connection, state="running", reason="")
            if len([run for run in open_runs(connection, self.study) if run.is_alive]) == 1:
                connection.execute(_CHANGE.values(accounted=database_time()), {"of": self.study})
        self.twin = twin
        self._step = 0
        self.last_seq: int = row["next_seq"] - 1
        self.seconds: float = row["seconds"]

    def write(self, body: Body[T]) -> T:
        """Run a transaction once, with the study's row locked, as long as this run is not ended.

        A driver that was silent for too long (a suspended laptop) may find, when it wakes, that
        others have taken over: it must not write any more.

        Args:
            body: gets the connection, and of the study's row what trials change; it may be called
                again, and changes nothing but the database.

        Raises:
            TakenOverError: another run has ended this one.
            UnreachableError: the database could not be reached for longer than patience has.
        """
        results: list[T] = []

        def attempt() -> T:
            with self.store.writing() as connection:
                study = self._locked(connection)
                if self._sign(connection, step=self._step + 1):
                    results.append(body(connection, study))
                # Else an attempt whose commit seemed lost has come through: its result stands.
            return results[-1]

        result = self.patience(attempt)
        self._step += 1
        return result

    def _locked(self, connection: sa.Connection) -> Mapping[str, Any]:
        """The study's row, locked, with `seconds` counted up to now.

        Time that no driver accounted for, as none was alive, is not counted.
        """
        study = dict(connection.execute(_STUDY, {"of": self.study}).mappings().one())
        silent = study["now"] - study["accounted"]
        study["seconds"] += silent if 0 < silent < GRACE_SECONDS else 0.0
        self.last_seq, self.seconds = study["next_seq"] - 1, study["seconds"]
        return study

    def _sign(self, connection: sa.Connection, *, step: int) -> bool:
        """Give a sign of life and take a step; False where that step is taken already."""
        if connection.execute(_STEP, {"of": self.run_id, "to": step}).rowcount:
            return True
        if connection.scalar(_TAKEN, {"of": self.run_id}) == step:
            return False
        raise TakenOverError(
            f'study "{self.name}" was silent for too long and has been taken over by another '
            "process; nothing is lost, that one goes on"
        )

    def beat(self) -> None:
        """A sign of life, for all trials in flight, and the time spent so far."""
        with self.store.writing() as connection:
            study = self._locked(connection)
            if connection.execute(_BEAT, {"of": self.run_id}).rowcount:
                self.change(connection, seconds=study["seconds"], accounted=study["now"])

    def change(self, connection: sa.Connection, **values: Any) -> None:
        """Change the study's row."""
        connection.execute(_CHANGE, {"of": self.study, **values, "changed": now()})
