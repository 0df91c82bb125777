"""What a database that fails in the middle says: what may pass, what does not, and no password."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine

from nas.store.engine import (
    StoreError,
    StoreFailedError,
    UnreachableError,
    connect,
    engine_options,
    harden,
    hidden_password,
    parse_url,
    reachable,
)

if TYPE_CHECKING:
    from fakes.postgres import PostgresServer

PASSWORD = "p@ss/w%rd?&#"  # noqa: S105
ENCODED = "p%40ss%2Fw%25rd%3F%26%23"


@contextmanager
def opened(storage: str, **options: object) -> Iterator[tuple[URL, Engine]]:
    url = parse_url(storage)
    engine = sa.create_engine(url, **engine_options(url) | options)
    harden(engine)
    yield url, engine
    engine.dispose()


def failing(url: URL, engine: Engine, *statements: str) -> Exception:
    try:
        with reachable(url), engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
    except Exception as error:
        return error
    raise AssertionError(f"{statements} did not fail")


def test_a_locked_sqlite_database_may_be_free_again(storage: str) -> None:
    with (
        opened(storage) as (_, holder),
        opened(storage, connect_args={"timeout": 0.1}) as (url, engine),
        holder.begin(),
    ):
        error = failing(url, engine, "CREATE TABLE t (n INTEGER)")
    assert isinstance(error, UnreachableError)
    assert error.reason == "database is locked"
    assert "what is recorded is kept" in str(error)


def test_a_lock_that_is_given_up_in_time_is_waited_for(storage: str) -> None:
    held = threading.Event()

    def hold() -> None:
        with opened(storage) as (_, holder), holder.begin():
            held.set()
            threading.Event().wait(1.0)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with opened(storage) as (url, engine), reachable(url), engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (n INTEGER)")
    thread.join()


def test_a_full_disk_is_said_with_what_to_do_and_does_not_pass(storage: str) -> None:
    with opened(storage) as (url, engine):
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE t (n TEXT)")
        fill = "INSERT INTO t VALUES (hex(zeroblob(20000)))"
        error = failing(url, engine, "PRAGMA max_page_count=3", fill)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM t").scalar() == 0
    assert isinstance(error, StoreFailedError)
    assert not isinstance(error, UnreachableError)
    said = str(error)
    assert "disk is full" in said
    assert "nothing that is recorded is lost" in said
    assert str(Path(storage.removeprefix("sqlite:///")).parent) in said
    assert "nas resume" in said


def test_a_read_only_database_does_not_pass(storage: str) -> None:
    with opened(storage) as (url, engine):
        error = failing(url, engine, "PRAGMA query_only=1", "CREATE TABLE t (n INTEGER)")
    assert type(error) is StoreFailedError
    assert "must be allowed to read and write" in str(error)


def test_a_broken_statement_is_a_fault_of_the_program(storage: str, postgres: str) -> None:
    for one in (storage, postgres):
        with opened(one) as (url, engine):
            error = failing(url, engine, "SELECT n FROM nowhere_at_all")
        # SQLite tells a missing table by the same class as all that goes wrong.
        assert isinstance(error, StoreFailedError if one == storage else sa.exc.ProgrammingError)
        assert not isinstance(error, UnreachableError)


def test_whoever_opens_a_database_gets_the_error_of_opening() -> None:
    url = parse_url("postgresql://me:secret@127.0.0.1:9/nas")
    engine = sa.create_engine(url, **engine_options(url))
    with pytest.raises(StoreError, match="refused"), reachable(url, StoreError):
        engine.connect()


def test_a_server_that_goes_away_may_come_back(postgres_server: "PostgresServer") -> None:
    with opened(postgres_server.url) as (url, engine):
        for mode in ("fast", "immediate"):
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
                postgres_server.stop(mode)
                with pytest.raises(UnreachableError), reachable(url):
                    connection.exec_driver_sql("SELECT 1")
            refused = failing(url, engine, "SELECT 1")
            assert isinstance(refused, UnreachableError)
            assert "refused" in refused.reason
            postgres_server.start()
            with reachable(url), engine.begin() as connection:
                assert connection.exec_driver_sql("SELECT 1").scalar() == 1


def test_what_a_server_denies_does_not_pass(postgres: str) -> None:
    with opened(postgres) as (url, engine):
        read_only = failing(url, engine, "SET TRANSACTION READ ONLY", "CREATE TABLE t (n INTEGER)")
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE ROLE guest LOGIN")
            connection.exec_driver_sql("CREATE TABLE guarded (n INTEGER)")
    denied = [read_only]
    for changed in (
        postgres.replace("/postgres", "/no_such_database"),
        postgres.replace("nas:", "nobody_there:"),
        postgres.replace("nas:", "guest:"),
    ):
        with opened(changed) as (url, engine):
            denied.append(failing(url, engine, "SELECT n FROM guarded"))
    assert [type(error) for error in denied] == [StoreFailedError] * 4
    assert "permission denied" in str(denied[-1])


@pytest.mark.parametrize(
    "storage",
    [
        f"postgresql://me:{ENCODED}@127.0.0.1:9/nas",
        f"postgresql://me@127.0.0.1:9/nas?password={ENCODED}",
        f"postgresql://me@127.0.0.1:9/nas?password=x&password={ENCODED}",
        f"postgresql://me:{PASSWORD}@127.0.0.1:9/nas",
        f"postgresql://me:{PASSWORD}@127.0.0.1:port/nas",
        f"postgresql://me@127.0.0.1:port/nas?password={ENCODED}",
        f"postgresql://me@127.0.0.1:9/nas?password={PASSWORD}",
        f"postgresql://me:{ENCODED}/nas",
        f"mysql://me:{ENCODED}@127.0.0.1/nas",
    ],
)
def test_no_form_of_a_password_is_shown(storage: str) -> None:
    with pytest.raises(StoreError) as caught:
        connect(storage, create=True)
    for shown in (str(caught.value), hidden_password(storage)):
        assert not any(part in shown for part in ("ss/w", "ss%2Fw", "w%", "rd?", "rd%", "p@", "p%"))
    assert hidden_password("postgresql://me@127.0.0.1/nas") == "postgresql://me@127.0.0.1/nas"


def test_a_password_of_the_query_is_used_and_not_shown_by_sqlalchemy_either() -> None:
    url = parse_url(f"postgresql://me@h/nas?sslmode=require&password={ENCODED}")
    assert (url.password, dict(url.query)) == (PASSWORD, {"sslmode": "require"})
    assert "p%40ss" not in repr(url)
    assert parse_url(f"postgresql://me:{ENCODED}@h/nas").password == PASSWORD
