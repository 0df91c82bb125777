"""Connections: one factory for SQLite and PostgreSQL, with the settings that keep trials safe."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine

from nas.store import schema
from nas.store.failures import StoreFailedError, UnreachableError, reachable, reason_of
from nas.store.filesystems import refuse_network
from nas.store.upgrading import bring_up_to_date, current_version
from nas.store.urls import StoreError, hidden_password, parse_url

__all__ = [
    "StoreError",
    "StoreFailedError",
    "UnreachableError",
    "connect",
    "engine_options",
    "harden",
    "hidden_password",
    "open_engine",
    "parse_url",
    "reachable",
    "upgrade",
]

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
    """Open a database whose tables are brought up to date or, with `create`, made.

    Raises:
        StoreError: unreachable, not ours, of a newer version, or absent and not to be created.
    """
    engine = open_engine(storage, create=create)
    with reachable(engine.url, StoreError):
        # Whoever only reads takes no write lock.
        version = current_version(engine)
        if version is None and not create:
            raise StoreError("the database holds no studies; start one with: nas search STUDY.toml")
        if version is None:
            version = bring_up_to_date(engine)
        elif version < schema.VERSION:
            version = upgrade(engine, version)
    if version != schema.VERSION:
        raise StoreError(
            f"the database has tables of version {version}, this program knows {schema.VERSION}; "
            "use the version of gnn-nas that wrote it"
        )
    return engine


def open_engine(storage: str, *, create: bool) -> Engine:
    """The engine of a database whatever its tables are; SQLite's file may be absent with `create`.

    Raises:
        StoreError: the file or its folder is not there, the folder is on a network, or a driver is
            missing.
    """
    url = parse_url(storage)
    if url.get_backend_name() == "sqlite":
        _check_file(Path(str(url.database)), create)
    try:
        engine = sa.create_engine(url, **engine_options(url))
    except ModuleNotFoundError as error:
        raise StoreError(
            f'PostgreSQL needs the driver "{error.name}": pip install "gnn-nas[postgres]"'
        ) from None
    harden(engine)
    return engine


def upgrade(engine: Engine, version: int) -> int:
    """Bring the tables of an older version up to date; return the version that they have then.

    Raises:
        StoreError: they could not be changed; they are as they were.
    """
    try:
        return bring_up_to_date(engine)
    except sa.exc.DatabaseError as error:
        raise StoreError(
            f"the database has tables of version {version}, which could not be brought up to "
            f"version {schema.VERSION}: {reason_of(engine.url, error)}; open it once where it can "
            "be written to, or use the version of gnn-nas that wrote it"
        ) from None


def _check_file(file: Path, create: bool) -> None:
    if not create and not file.exists():
        raise StoreError(
            f"there is no database {file}; name one with --storage or NAS_STORAGE, or start a "
            "study with: nas search STUDY.toml"
        )
    folder = file.absolute().parent
    if not folder.is_dir():
        raise StoreError(f"the folder {folder} of the database does not exist")
    refuse_network(folder)
