"""Whether a database can be relied on: what it is, whether it is whole, what its studies lack."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from evaluators import artifacts
from nas.record import ENDED
from nas.store import schema
from nas.store.alive import open_runs
from nas.store.engine import StoreError, open_engine, reachable
from nas.store.failures import StoreFailedError
from nas.store.filesystems import filesystem_of
from nas.store.invariants import broken_invariants
from nas.store.places import referred_artifacts, resolved_place
from nas.store.read import OPTUNA_STUDIES
from nas.store.rows import count_trials
from nas.store.schema import studies, trials
from nas.store.upgrading import current_version

Verdict: TypeAlias = Literal["ok", "note", "wrong"]
_OPTUNA_TRIALS = sa.table("trials", sa.column("trial_id"), sa.column("state"))


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: "database", or a study's name.
        check: what was looked at.
        verdict: "wrong" needs somebody, a "note" mends itself or is good to know.
        found: in words.
    """

    subject: str
    check: str
    verdict: Verdict
    found: str


def check(storage: str) -> list[Finding]:
    """Look at a database and at all its studies; writes nothing.

    Raises:
        StoreError: the URL is none, or there is no such file or folder.
    """
    engine = open_engine(storage, create=False)
    try:
        return list(_findings(engine))
    finally:
        engine.dispose()


def _findings(engine: Engine) -> Iterator[Finding]:
    try:
        with reachable(engine.url):
            version = current_version(engine)
    except StoreFailedError as error:
        yield Finding("database", "reachable", "wrong", str(error))
        return
    yield Finding("database", "reachable", "ok", engine.dialect.name)
    with (
        reachable(engine.url, StoreError),
        engine.connect().execution_options(read_only=True) as connection,
    ):
        yield from _settings(connection)
        yield _tables(version)
        if version is None:
            return
        whole = _integrity(connection)
        yield whole
        if version != schema.VERSION or whole.verdict == "wrong":
            return
        query = sa.select(studies).order_by(studies.c.name)
        for row in connection.execute(query).mappings().all():
            yield from _study(connection, engine, row)


def _tables(version: int | None) -> Finding:
    verdict: Verdict = "ok" if version == schema.VERSION else "wrong"
    found = f"version {version}"
    if version is None:
        verdict, found = "note", "none yet: no study has been started"
    elif version < schema.VERSION:
        found += f" of {schema.VERSION}; bring them up to date with: nas storage upgrade"
    elif version > schema.VERSION:
        found += f", this program knows {schema.VERSION}; use the version that wrote them"
    return Finding("database", "tables", verdict, found)


def _settings(connection: sa.Connection) -> Iterator[Finding]:
    if connection.dialect.name == "sqlite":
        folder = Path(str(connection.engine.url.database)).absolute().parent
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        verdict: Verdict = "ok" if mode == "wal" else "wrong"
        found = f"journal mode {mode}, on {filesystem_of(folder) or 'a file system unknown'}"
        yield Finding("database", "settings", verdict, found)
        return
    names = ("server_version", "fsync", "full_page_writes", "synchronous_commit")
    values = {name: connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names}
    unsafe = [name for name in names[1:3] if values[name] == "off"]
    found = ", ".join(f"{name} {value}" for name, value in values.items())
    if unsafe:
        found += f"; with {' and '.join(unsafe)} off a power failure may destroy the database"
    yield Finding("database", "settings", "note" if unsafe else "ok", found)


def _integrity(connection: sa.Connection) -> Finding:
    """SQLite looks at every page; PostgreSQL reads every value."""
    try:
        if connection.dialect.name == "sqlite":
            said = list(connection.exec_driver_sql("PRAGMA quick_check(5)").scalars())
            broken = [text for text in said if text != "ok"]
            loose = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            broken += [f"{len(loose)} rows refer to nothing"] if loose else []
            found = "; ".join(broken) or "every page is sound"
            return Finding("database", "integrity", "wrong" if broken else "ok", found)
        present = sa.inspect(connection).get_table_names()
        for name in (name for name in schema.metadata.tables if name in present):
            every = sa.func.sum(sa.func.length(sa.cast(sa.literal_column("t"), sa.Text)))
            connection.execute(sa.select(every).select_from(sa.table(name).alias("t")))
    except sa.exc.DatabaseError as error:
        return Finding("database", "integrity", "wrong", str(error.orig).strip())
    return Finding("database", "integrity", "ok", "every value can be read")


def _study(connection: sa.Connection, engine: Engine, row: "sa.RowMapping") -> Iterator[Finding]:
    name, study = row["name"], row["id"]
    alive = [run.id for run in open_runs(connection, study) if run.is_alive]
    counts = count_trials(connection, study, alive)
    orphans = counts.waiting if not alive else 0
    found = f"{counts.ended} ended of {row['target'] or 'any number'}, {len(alive)} drivers"
    if orphans:
        found += f", {orphans} waiting for: nas resume {name}"
    yield Finding(name, "trials", "note" if orphans else "ok", found)

    broken = broken_invariants(connection, study)
    yield Finding(
        name, "record", "wrong" if broken else "ok", "; ".join(broken) or "holds together"
    )

    missing = _missing_artifacts(connection, resolved_place(engine, row["artifacts"]), study)
    found = f"{missing} are not there: what they held is trained again" if missing else "all there"
    yield Finding(name, "artifacts", "note" if missing else "ok", found)

    apart = _out_of_step(connection, study)
    found = f"{apart} trials are out of step; the study's next run mends that"
    yield Finding(name, "optuna", "note" if apart else "ok", found if apart else "in step")


def _missing_artifacts(connection: sa.Connection, place: str, study: int) -> int:
    folder = artifacts.store_path(place)
    return sum(
        not (folder / sha256[:2] / sha256).exists()
        for sha256 in referred_artifacts(connection, study)
    )


def _out_of_step(connection: sa.Connection, study: int) -> int:
    """The proposed trials whose row in Optuna's tables is missing, or open where ours has ended."""
    mine = (trials.c.study_id == study, trials.c.key.is_not(None))
    query = sa.select(sa.func.count()).select_from(trials).where(*mine)
    if sa.inspect(connection).has_table(OPTUNA_STUDIES.name):
        theirs = _OPTUNA_TRIALS
        joined = trials.outerjoin(theirs, theirs.c.trial_id == trials.c.twin)
        state = sa.cast(theirs.c.state, sa.String)
        is_apart = (trials.c.state.in_(ENDED)) == state.in_(("RUNNING", "WAITING"))
        query = sa.select(sa.func.count()).select_from(joined)
        query = query.where(*mine, sa.or_(theirs.c.trial_id.is_(None), is_apart))
    return int(connection.scalar(query))  # type: ignore[arg-type]
