"""Databases of their own for the tests of storage, on SQLite and on PostgreSQL."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from nas.store.engine import parse_url


@pytest.fixture
def new_database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    """A function that gives the URL of another empty database of a kind: sqlite, postgres."""
    monkeypatch.setenv("NAS_ARTIFACTS", str(tmp_path / "artifacts"))

    def make(kind: str) -> str:
        name = f"nas_{uuid.uuid4().hex[:12]}"
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / name}.db"
        server: str = request.getfixturevalue("postgres")
        admin = sa.create_engine(parse_url(server), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        admin.dispose()
        return f"{server.rpartition('/')[0]}/{name}"

    return make


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    """URL of an empty database, once on each kind."""
    return new_database(request.param)
