"""The commands of docs/storage.md, on SQLite and on a PostgreSQL server of the tests' own."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from fakes.postgres import PostgresServer
from fakes.studies import fake_spec

from nas.store import Store
from nas.study import search

from .conftest import STUDY
from .pages import Block, shell, shortened

runs = pytest.mark.runs


def of(server: PostgresServer, database: str) -> dict[str, str]:
    """The page's URL, and that of a database of the server."""
    return {"postgresql://me@host/nas": f"{server.url.rpartition('/')[0]}/{database}"}


@pytest.mark.slow
@runs("docs/storage.md", "createdb nas")
def test_several_drivers(
    shown: Sequence[Block], postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """The database is created; artifacts are in the folder that is named."""
    (tmp_path / "study.toml").write_text(STUDY.replace('name = "quickstart"\n', ""))
    server = of(postgres_server, "nas")
    text = shortened(shown[0].text, {**server, "/shared/artifacts": str(tmp_path / "artifacts")})
    where = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres_server.port), "PGUSER": "nas"}
    done = shell(text, tmp_path, **where)
    assert done.returncode == 0, done.stderr
    (url,) = server.values()
    assert Store(url).status("study").trials.complete == 8
    assert not (tmp_path / "nas.db").exists()


@runs("docs/storage.md", "nas storage check\n", "nas storage upgrade", "nas storage export")
def test_a_study_is_checked_and_moved(
    shown: Sequence[Block], postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """To a file and back, also to a server."""
    storage = f"sqlite:///{tmp_path / 'nas.db'}"
    search(fake_spec(3, study={"name": "quickstart"}), storage=storage, data_root=Path())
    server = of(postgres_server, "postgres")
    text = "".join(block.text for block in shown)
    done = shell(shortened(text, server), tmp_path, NAS_ARTIFACTS=str(tmp_path / "artifacts"))
    assert done.returncode == 0, done.stderr
    names = {study.name for study in Store(storage).studies()}
    assert names == {"quickstart", "moved", "unpacked"}
    (url,) = server.values()
    assert [study.name for study in Store(url).studies()] == ["quickstart"]
    assert (tmp_path / "quickstart.jsonl.gz").exists()
