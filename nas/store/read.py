"""Reading studies: the records that people and scripts look at, by SQL alone."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NoReturn

import sqlalchemy as sa

from evaluators import Prepared, PreparedEpoch
from nas.interrupt import uninterrupted
from nas.record import StudyStatus, TrialRecord
from nas.store.alive import host_of, open_runs
from nas.store.engine import (
    StoreError,
    connect,
    hidden_password,
    parse_url,
    reachable,
)
from nas.store.fronts import best_measured, ranked
from nas.store.places import recorded_place, referred_artifacts, resolved_place
from nas.store.prepared import epochs_of, preparations_of, prepared
from nas.store.rows import (
    best_values,
    count_trials,
    objectives_of,
    trial_record,
    trial_rows,
)
from nas.store.schema import database, evaluations, latencies, runs, studies, trials
from search_spaces.errors import did_you_mean

# Optuna's own table of studies, which may not be there yet.
OPTUNA_STUDIES = sa.table("studies", sa.column("study_name"))


class Store:
    """A database of studies.

    Raises:
        StoreError: it cannot be reached, or is not ours; the message has no password.
    """

    def __init__(self, storage: str, *, create: bool = True) -> None:
        self.storage = storage
        self.url = parse_url(storage)
        self.engine = connect(storage, create=create)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Store cannot be pickled: its URL may hold a password; open it again from its URL"
        )

    @classmethod
    def open_existing(cls, storage: str) -> "Store":
        """A database that must be there already, with studies in it."""
        return cls(storage, create=False)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection whose transaction takes no write lock."""
        with (
            uninterrupted(),
            reachable(self.url),
            self.engine.connect().execution_options(read_only=True) as connection,
        ):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that holds the write lock (SQLite) and is committed at the end."""
        with uninterrupted(), reachable(self.url), self.engine.begin() as connection:
            yield connection

    def studies(self) -> list[StudyStatus]:
        """All studies, the last changed first."""
        with self.reading() as connection:
            rows = connection.execute(sa.select(studies).order_by(studies.c.changed.desc()))
            return [self._status(connection, dict(row)) for row in rows.mappings().all()]

    def ids(self) -> dict[str, int]:
        """{name: id} of all studies, the last changed first."""
        with self.reading() as connection:
            query = sa.select(studies.c.name, studies.c.id).order_by(studies.c.changed.desc())
            return {row.name: row.id for row in connection.execute(query)}

    def identity(self, name: str) -> str:
        """What no other study has, in any database: one that is renamed keeps it."""
        with self.reading() as connection:
            row = self.row(connection, name)
            place = connection.scalar(sa.select(database.c.id))
        return f"{place}-{row['id']}-{row['created']}"

    def status(self, name: str) -> StudyStatus:
        """One study at a glance."""
        with self.reading() as connection:
            return self._status(connection, self.row(connection, name))

    def spec(self, name: str) -> dict[str, Any]:
        """The study file as it was stored."""
        with self.reading() as connection:
            return dict(self.row(connection, name)["spec"])

    def choices(self, name: str) -> dict[str, list[Any]]:
        """{decision: its choices} of the space that a study is bound to."""
        with self.reading() as connection:
            decisions = self.row(connection, name)["space"]["decisions"]
        return {name: decision["choices"] for name, decision in decisions.items()}

    def artifacts(self, name: str) -> str:
        """The URL of a study's artifact store."""
        with self.reading() as connection:
            return resolved_place(self.engine, self.row(connection, name)["artifacts"])

    def prepared(self, name: str) -> dict[str, Prepared]:
        """What the complete preparations of a study have left, by their keys."""
        with self.reading() as connection:
            row = self.row(connection, name)
            place = resolved_place(self.engine, row["artifacts"])
            return prepared(connection, row["id"], place)

    def prepared_epochs(self, name: str, key: str) -> Sequence[PreparedEpoch]:
        """What was recorded of a preparation of a study, epoch by epoch."""
        with self.reading() as connection:
            return epochs_of(connection, self.row(connection, name)["id"], key)

    def new_artifacts(self) -> str:
        """The URL of the artifact store that a new study would have."""
        return resolved_place(self.engine, recorded_place(self.engine))

    def trials(self, name: str) -> list[TrialRecord]:
        """All trials of a study, by number."""
        with self.reading() as connection:
            study = self.row(connection, name)["id"]
            return self._trials(connection, study)

    def _trials(self, connection: sa.Connection, study: int) -> list[TrialRecord]:
        query = trial_rows(study).order_by(trials.c.ordinal)
        return [trial_record(row) for row in connection.execute(query).mappings()]

    def trial(self, name: str, number: int) -> TrialRecord:
        """One trial.

        Raises:
            StoreError: the study has no trial of that number.
        """
        with self.reading() as connection:
            study = self.row(connection, name)
            query = trial_rows(study["id"]).where(trials.c.ordinal == number)
            row = connection.execute(query).mappings().first()
        if row is None:
            raise StoreError(
                f'study "{name}" has {study["next_ordinal"]} trials, numbered from 0; '
                f"there is no trial {number}"
            )
        return trial_record(row)

    def evaluations(self, name: str, number: int) -> list[dict[str, Any]]:
        """The rungs of a trial: one row for each epoch at which it was measured."""
        with self.reading() as connection:
            study = self.row(connection, name)["id"]
            query = (
                sa.select(evaluations)
                .where(evaluations.c.study_id == study, evaluations.c.ordinal == number)
                .order_by(evaluations.c.epoch)
            )
            kept = ("epoch", "metrics", "seconds", "artifact")
            rows = connection.execute(query).mappings()
            return [{k: row[k] for k in kept} | {"notes": row["notes"] or {}} for row in rows]

    def front(self, name: str) -> list[TrialRecord]:
        """The feasible, complete trials that no other dominates; best first objective first.

        Where latency was measured on the device that counts, for constraints too, and not what was
        predicted. Of trials with equal architectures the first one stands for all.
        """
        return [trial for rank, trial in self._ranked(name) if rank == 0]

    def fronts(self, name: str) -> list[TrialRecord]:
        """All feasible, complete trials: the front, then what it leaves, front after front."""
        return [trial for _, trial in self._ranked(name)]

    def _ranked(self, name: str) -> list[tuple[int, TrialRecord]]:
        return ranked(self.spec(name), self.trials(name))

    def refuse_running(self, name: str | None = None) -> None:
        """Raise when a live process drives this study, or any study of the database."""
        with self.reading() as connection:
            study = None if name is None else self.row(connection, name)["id"]
            for run in open_runs(connection, study):
                if run.is_alive:
                    query = sa.select(studies.c.name).join(runs, runs.c.study_id == studies.c.id)
                    driven = connection.scalar(query.where(runs.c.id == run.id))
                    raise StoreError(
                        f'study "{driven}" is being run by process {run.pid} on '
                        f"{host_of(run.host)}; wait for its end, or stop it"
                    )

    def referenced_artifacts(self) -> dict[str, set[str]]:
        """{store URL: hashes that some row refers to}, over all studies."""
        found: dict[str, set[str]] = {self.new_artifacts(): set()}
        with self.reading() as connection:
            for row in connection.execute(sa.select(studies)).mappings():
                kept = found.setdefault(resolved_place(self.engine, row["artifacts"]), set())
                # A graph that came from Python's memory is an artifact too.
                path = row["spec"].get("dataset", {}).get("path", "")
                kept |= {row["dataset"], Path(path).name}
                kept |= referred_artifacts(connection, row["id"])
        return found

    def row(self, connection: sa.Connection, name: str, *, lock: bool = False) -> Mapping[str, Any]:
        """The row of a study; with `lock`, locked until the transaction ends.

        Raises:
            StoreError: there is none of that name; the nearest one is suggested.
        """
        query = sa.select(studies).where(studies.c.name == name)
        query = query.with_for_update() if lock else query
        row = connection.execute(query).mappings().first()
        if row is not None:
            return dict(row)
        known = list(connection.scalars(sa.select(studies.c.name)))
        hint = did_you_mean(name, known) if known else "it holds no study yet"
        raise StoreError(f'no study "{name}" in {hidden_password(self.storage)}; {hint}')

    def refuse_existing(self, connection: sa.Connection, name: str) -> None:
        """Raise when a study of that name is there."""
        if connection.scalar(sa.select(studies.c.id).where(studies.c.name == name)) is not None:
            raise StoreError(
                f'there is a study "{name}" in {hidden_password(self.storage)} already; continue '
                f"it with: nas resume {name}, or choose another name with --name"
            )
        foreign = sa.select(OPTUNA_STUDIES).where(OPTUNA_STUDIES.c.study_name == name)
        if sa.inspect(connection).has_table(OPTUNA_STUDIES.name) and connection.scalar(foreign):
            raise StoreError(
                f'{hidden_password(self.storage)} has a study "{name}" that Optuna made without '
                "this program; choose another name with --name"
            )

    def _status(self, connection: sa.Connection, row: Mapping[str, Any]) -> StudyStatus:
        objectives = objectives_of(row["spec"])
        state: Literal["new", "running", "stopped", "finished"] = row["state"]
        alive = [run.id for run in open_runs(connection, row["id"]) if run.is_alive]
        reason = row["reason"]
        if state == "running" and not alive:
            state, reason = "stopped", "its process ended without a word; nas resume goes on"
        return StudyStatus(
            name=row["name"],
            state=state,
            reason=reason,
            objectives=objectives,
            target=row["target"],
            trials=count_trials(connection, row["id"], alive),
            best=self._best(connection, row),
            seconds=round(row["seconds"], 3),
            created=row["created"],
            changed=row["changed"],
            storage=hidden_password(self.storage),
            drivers=len(alive),
            preparations=tuple(preparations_of(connection, row["id"])),
        )

    def _best(self, connection: sa.Connection, row: Mapping[str, Any]) -> dict[str, float]:
        """By one query; by all trials only where some were measured."""
        query = sa.select(latencies.c.ordinal).where(latencies.c.study_id == row["id"]).limit(1)
        if connection.execute(query).first() is None:
            return best_values(connection, row["id"], objectives_of(row["spec"]))
        return best_measured(row["spec"], self._trials(connection, row["id"]))
