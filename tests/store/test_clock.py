"""The database's clock, and the servers of these tests."""

import time
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from nas.store.clock import database_time
from nas.store.engine import engine_options, parse_url

if TYPE_CHECKING:
    from fakes.postgres import PostgresServer


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_databases_clock_counts_seconds_and_does_not_stand_still(
    kind: str, request: pytest.FixtureRequest, storage: str
) -> None:
    url = parse_url(request.getfixturevalue("postgres") if kind == "postgres" else storage)
    engine = sa.create_engine(url, **engine_options(url))
    with engine.connect() as connection:
        before = time.time()
        first = connection.scalar(sa.select(database_time()))
        time.sleep(0.05)
        second = connection.scalar(sa.select(database_time()))
        after = time.time()
    engine.dispose()
    assert isinstance(first, float)
    assert before - 0.01 <= first <= second - 0.04, "the transaction's time would stand still"
    assert second <= after + 0.01


def test_a_server_is_restarted_with_what_it_holds(postgres_server: "PostgresServer") -> None:
    url = parse_url(postgres_server.url)
    engine = sa.create_engine(url, **engine_options(url))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE kept (n INTEGER)")
        connection.exec_driver_sql("INSERT INTO kept VALUES (7)")
    postgres_server.stop("immediate")
    with pytest.raises(sa.exc.OperationalError):
        sa.create_engine(url, **engine_options(url)).connect()
    postgres_server.start()
    postgres_server.restart()
    with engine.connect() as connection:  # the pool asks before it hands a connection out
        assert connection.exec_driver_sql("SELECT n FROM kept").scalar() == 7
    engine.dispose()
