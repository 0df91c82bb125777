"""What a database that stops working in the middle says, and whether it may pass."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import URL

from nas.store.urls import hidden_password, secrets

# SQLite's primary result codes: BUSY, LOCKED, PROTOCOL; FULL; PERM, READONLY, CANTOPEN, AUTH.
_SQLITE_BUSY, _SQLITE_FULL, _SQLITE_DENIED, _SQLITE_IOERR = (5, 6, 15), 13, (3, 8, 14, 23), 10
# PostgreSQL's SQLSTATEs, or how they begin: connections, lost transactions, too few resources or
# connections, locks that were not had in time, a server that goes down or comes up.
_PASSING = ("08", "25P03", "25P04", "40", "53000", "532", "533", "55P03", "57")
_FULL = ("53100",)
_DENIED = ("25006", "28", "42501", "3D000")
# A connection that is refused has no SQLSTATE; this is what does not pass by itself.
_REFUSALS = (
    "authentication failed",
    "no password supplied",
    "pg_hba.conf",
    "does not exist",
    "not permitted to log in",
    "permission denied",
    "certificate",
)
_FULL_BYTES = 1 << 20

_Kind = Literal["passing", "full", "denied", "fault", "other"]


class StoreFailedError(Exception):
    """A database that stopped working in the middle: unreachable, locked, full."""


class UnreachableError(StoreFailedError):
    """A failure that may pass: the connection was lost or refused, or the database is locked.

    Whether a transaction that was being committed came through is not known.

    Attributes:
        reason: what the database said, in one line and without a password.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


@contextmanager
def reachable(url: URL, error_type: type[Exception] | None = None) -> Iterator[None]:
    """Turn a failing database into one message, without a password.

    Raises:
        UnreachableError: it may pass by itself.
        StoreFailedError: it does not: the disk is full, or writing is not allowed.
            With `error_type`, that in place of both.
    """
    try:
        yield
    except sa.exc.DBAPIError as error:
        kind = _kind(url, error)
        # A broken constraint or statement is a fault of the program; all else is the database's.
        if kind == "fault":
            raise
        reason = reason_of(url, error)
        message = _message(url, kind, reason)
        if error_type is None and kind == "passing":
            raise UnreachableError(message, reason) from None
        raise (error_type or StoreFailedError)(message) from None


def reason_of(url: URL, error: sa.exc.DBAPIError) -> str:
    """What the database said, in one line and without a password."""
    lines = str(error.orig).strip().splitlines() if error.orig else []
    reason = lines[0] if lines else type(error.orig).__name__
    for secret in secrets(url):
        reason = reason.replace(secret, "***")
    return reason


def _message(url: URL, kind: _Kind, reason: str) -> str:
    shown = hidden_password(url.render_as_string(hide_password=False))
    if kind == "full":
        where = _folder(url) or "the server's disk"
        return (
            f"cannot write to the database {shown}: its disk is full ({reason}); nothing that is "
            f"recorded is lost. Free some space in {where}, then go on with: nas resume"
        )
    if kind == "denied":
        remedy = (
            "make it first, with createdb; `nas` makes its tables"
            if "does not exist" in reason
            else "what is recorded is kept. The user of this process must be allowed to read and "
            "write it (of SQLite: its folder too)"
        )
        return f"cannot use the database {shown}: {reason}; {remedy}"
    return (
        f"cannot use the database {shown}: {reason}; what is recorded is kept, try again when it "
        "can be reached and written to"
    )


def _kind(url: URL, error: sa.exc.DBAPIError) -> _Kind:
    known = _of_sqlite(url, error) if url.get_backend_name() == "sqlite" else _of_postgres(error)
    faults = (
        sa.exc.IntegrityError,
        sa.exc.ProgrammingError,
        sa.exc.DataError,
        sa.exc.InterfaceError,
    )
    return "fault" if known == "other" and isinstance(error, faults) else known


def _of_sqlite(url: URL, error: sa.exc.DBAPIError) -> _Kind:
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    if code in _SQLITE_BUSY:
        return "passing"
    # Where the disk is full, the files beside the database's fail with no word of why.
    if code == _SQLITE_FULL or (code in (_SQLITE_IOERR, *_SQLITE_DENIED) and _is_full(url)):
        return "full"
    return "denied" if code in _SQLITE_DENIED else "other"


def _of_postgres(error: sa.exc.DBAPIError) -> _Kind:
    state = getattr(error.orig, "sqlstate", None) or ""
    if state.startswith(_FULL):
        return "full"
    if state.startswith(_DENIED):
        return "denied"
    if state.startswith(_PASSING) or error.connection_invalidated:
        return "passing"
    if state or not isinstance(error, sa.exc.OperationalError):
        return "other"
    refused = any(text in str(error.orig) for text in _REFUSALS)
    return "denied" if refused else "passing"


def _folder(url: URL) -> Path | None:
    sqlite = url.get_backend_name() == "sqlite"
    return Path(str(url.database)).absolute().parent if sqlite else None


def _is_full(url: URL) -> bool:
    folder = _folder(url)
    try:
        return folder is not None and shutil.disk_usage(folder).free < _FULL_BYTES
    except OSError:
        return False
