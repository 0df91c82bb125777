"""Making our tables and bringing them up to date, in one transaction and by one process at a time.

`nas_database.version` says what the tables are; alembic, which runs the steps between versions, is
imported when there is something to do.
"""

import threading
import uuid
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from nas.store import schema

if TYPE_CHECKING:
    from alembic.config import Config

# Of PostgreSQL's advisory locks, which are numbers: ours.
_UPGRADE_LOCK = 0x6E6173
_STEPS = sa.table("nas_alembic_version")
# Alembic keeps what it works on in global names.
_ALEMBIC = threading.Lock()


def current_version(engine: Engine) -> int | None:
    """The version of our tables, None where there are none; takes no write lock."""
    with engine.connect().execution_options(read_only=True) as connection:
        return _version(connection)


def bring_up_to_date(engine: Engine) -> int:
    """Make the tables, or change old ones step by step; return the version that they have then.

    Of several processes that open a database at once one does it, and the others wait for it:
    SQLite's transactions begin with the write lock, PostgreSQL needs one of our own.
    """
    with _ALEMBIC, engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
        found = _version(connection)
        if found is None:
            schema.metadata.create_all(connection)
            row = {"id": uuid.uuid4().hex, "version": schema.VERSION}
            connection.execute(sa.insert(schema.database).values(row))
            _stamp(connection, schema.VERSION)
        elif found < schema.VERSION:
            if not sa.inspect(connection).has_table(_STEPS.name):
                _stamp(connection, found)
            _migrate(connection)
        return _version(connection) or 0


def _version(connection: sa.Connection) -> int | None:
    if not sa.inspect(connection).has_table(schema.database.name):
        return None
    version: int | None = connection.scalar(sa.select(schema.database.c.version))
    return version


def _stamp(connection: sa.Connection, version: int) -> None:
    """Tell alembic which version tables have that it did not make."""
    from alembic import command

    command.stamp(_config(connection), str(version))


def _migrate(connection: sa.Connection) -> None:
    from alembic import command

    command.upgrade(_config(connection), "head")


def _config(connection: sa.Connection) -> "Config":
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "nas.store:migrations")
    return config
