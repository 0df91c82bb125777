"""Connections: one factory for SQLite and PostgreSQL, with the settings that keep trials safe."""

import uuid
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine

from nas.store import schema
from nas.store.failures import StoreFailedError, UnreachableError, reachable, reason_of
from nas.store.urls import StoreError, hidden_password, parse_url, secrets

__all__ = [
    "StoreError",
    "StoreFailedError",
    "UnreachableError",
    "connect",
    "engine_options",
    "harden",
    "hidden_password",
    "parse_url",
    "reachable",
    "secrets",
]

# Of PostgreSQL's advisory locks, which are numbers: ours.
_UPGRADE_LOCK = 0x6E6173
# A connection whose other end is gone is noticed within about a minute.
_POSTGRES = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}


def engine_options(url: URL) -> dict[str, Any]:
    """Arguments of `create_engine`, for our engine and for Optuna's."""
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": 60}}
    # What the URL says itself goes first.
    arguments = {name: value for name, value in _POSTGRES.items() if name not in url.query}
    return {"pool_pre_ping": True, "connect_args": arguments}


def harden(engine: Engine) -> None:
    """SQLite: write-ahead log, and transactions that take the write lock when they begin.

    Without the latter two drivers can both read a row as free before either writes it.
    """
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=wal", "synchronous=normal", "foreign_keys=on"):
            connection.execute(f"pragma {pragma}")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        reading = connection.get_execution_options().get("read_only", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def connect(storage: str, *, create: bool) -> Engine:
    """Open a database and, with `create`, make our tables in it.

    Raises:
        StoreError: unreachable, not ours, of a newer version, or absent and not to be created.
    """
    url = parse_url(storage)
    if url.get_backend_name() == "sqlite":
        file = Path(str(url.database))
        if not create and not file.exists():
            raise StoreError(
                f"there is no database {file}; name one with --storage or NAS_STORAGE, or start a "
                "study with: nas search STUDY.toml"
            )
        if not file.absolute().parent.is_dir():
            raise StoreError(f"the folder {file.absolute().parent} of the database does not exist")
    try:
        engine = sa.create_engine(url, **engine_options(url))
    except ModuleNotFoundError as error:
        raise StoreError(
            f'PostgreSQL needs the driver "{error.name}": pip install "gnn-nas[postgres]"'
        ) from None
    harden(engine)
    with reachable(url, StoreError):
        _check_schema(engine, create)
    return engine


def _check_schema(engine: Engine, create: bool) -> None:
    # Whoever only reads takes no write lock.
    version = _version(engine)
    if version is None and not create:
        raise StoreError("the database holds no studies; start one with: nas search STUDY.toml")
    if version is None:
        version = _bring_up_to_date(engine)
    elif version in schema.UPGRADES:
        try:
            version = _bring_up_to_date(engine)
        except sa.exc.DatabaseError as error:
            raise StoreError(_not_upgraded(engine, version, error)) from None
    if version != schema.VERSION:
        raise StoreError(
            f"the database has tables of version {version}, this program knows {schema.VERSION}; "
            "use the version of gnn-nas that wrote it"
        )


def _version(engine: Engine) -> int | None:
    """The version of our tables, None where there are none."""
    with engine.connect().execution_options(read_only=True) as connection:
        if not sa.inspect(connection).has_table(schema.database.name):
            return None
        version: int | None = connection.scalar(sa.select(schema.database.c.version))
    return version


def _bring_up_to_date(engine: Engine) -> int:
    """Make the tables that are missing, and change old ones step by step; in one transaction.

    Of several processes that open a database at once one does it, and the others wait for it:
    SQLite's transactions begin with the write lock, PostgreSQL needs one of our own.
    """
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
        schema.metadata.create_all(connection)
        found = connection.scalar(sa.select(schema.database.c.version))
        if found is None:
            row = {"id": uuid.uuid4().hex, "version": schema.VERSION}
            connection.execute(sa.insert(schema.database).values(row))
            return schema.VERSION
        version = int(found)
        while version in schema.UPGRADES:
            for statement in schema.UPGRADES[version]:
                connection.exec_driver_sql(statement)
            version += 1
            connection.execute(sa.update(schema.database).values(version=version))
    return version


def _not_upgraded(engine: Engine, version: int, error: sa.exc.DatabaseError) -> str:
    return (
        f"the database has tables of version {version}, which could not be brought up to version "
        f"{schema.VERSION}: {reason_of(engine.url, error)}; open it once where it can be written "
        "to, or use the version of gnn-nas that wrote it"
    )
