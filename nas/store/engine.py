"""Connections: one factory for SQLite and PostgreSQL, with the settings that keep trials safe."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine, make_url

from nas.store import schema
from search_spaces import UsageError

# Of PostgreSQL's advisory locks, which are numbers: ours.
_UPGRADE_LOCK = 0x6E6173
_EXAMPLES = '"sqlite:///nas.db" or "postgresql://user:password@host/database"'


class StoreError(UsageError):
    """A database that cannot be used, or a study that is not in it."""


class StoreFailedError(Exception):
    """A database that stopped working in the middle: unreachable, locked, full."""


def parse_url(storage: str) -> URL:
    """The URL with its driver.

    Raises:
        StoreError: it is no URL, another kind of database, or an in-memory one.
    """
    try:
        url = make_url(storage)
    except (sa.exc.ArgumentError, ValueError):  # no URL at all; a port that is no number
        raise StoreError(
            f"expected a database URL such as {_EXAMPLES}, got {_without_password(storage)!r}"
        ) from None
    backend = url.get_backend_name()
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise StoreError(
                'a study must outlive its process: expected a file, "sqlite:///nas.db", got a '
                "database in memory"
            )
        return url
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    raise StoreError(f'expected a database URL such as {_EXAMPLES}, got one of "{backend}"')


def hidden_password(storage: str) -> str:
    """The URL for people to read: `***` in place of the password."""
    try:
        url = make_url(storage)
    except (sa.exc.ArgumentError, ValueError):
        return _without_password(storage)
    # A password can stand in the query too: postgresql://host/database?password=...
    secret = [key for key in url.query if "password" in key.lower()]
    url = url.update_query_dict(dict.fromkeys(secret, "***"))
    return url.render_as_string(hide_password=True)


def _without_password(storage: str) -> str:
    before, at, after = storage.rpartition("@")
    return f"{before.partition('://')[0]}://***@{after}" if at else storage


def engine_options(url: URL) -> dict[str, Any]:
    """Arguments of `create_engine`, for our engine and for Optuna's."""
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": 60}}
    return {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}


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
        f"{schema.VERSION}: {_reason(engine.url, error)}; open it once where it can be written "
        "to, or use the version of gnn-nas that wrote it"
    )


@contextmanager
def reachable(url: URL, error_type: type[Exception] = StoreFailedError) -> Iterator[None]:
    """Turn a failing connection into one message, without a password."""
    try:
        yield
    except sa.exc.DatabaseError as error:
        # A broken constraint or statement is a fault of the program; all else is the database's.
        faults = (sa.exc.IntegrityError, sa.exc.ProgrammingError, sa.exc.DataError)
        if isinstance(error, faults):
            raise
        shown = hidden_password(url.render_as_string(hide_password=False))
        raise error_type(
            f"cannot use the database {shown}: {_reason(url, error)}; what is recorded is kept, "
            "try again when it can be reached and written to"
        ) from None


def _reason(url: URL, error: sa.exc.DatabaseError) -> str:
    """What the database said, in one line and without a password."""
    reason = str(error.orig).strip().splitlines()[0] if error.orig else str(error)
    for secret in secrets(url):
        reason = reason.replace(secret, "***")
    return reason


def secrets(url: URL) -> tuple[str, ...]:
    """The passwords in a URL, which may stand in its query too."""
    found = [url.password, *(v for k, v in url.query.items() if "password" in k.lower())]
    return tuple(str(secret) for secret in found if secret)
