"""The database's own clock: what several hosts compare must not depend on theirs."""

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

# 1970-01-01T00:00Z as a Julian day, the only fractional clock that every SQLite has.
_EPOCH = 2440587.5


class _DatabaseTime(FunctionElement[float]):
    type = sa.Float()
    inherit_cache = True


@compiles(_DatabaseTime, "sqlite")
def _of_sqlite(*_: object, **__: object) -> str:
    return f"((julianday('now') - {_EPOCH}) * 86400.0)"


@compiles(_DatabaseTime, "postgresql")
def _of_postgresql(*_: object, **__: object) -> str:
    # The clock, not the time at which the transaction began.
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


def database_time() -> "sa.ColumnElement[float]":
    """SQL for the seconds since 1970 in UTC by the database's clock, to 0.1 ms."""
    return _DatabaseTime()
