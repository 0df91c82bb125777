"""A password in the URL of the database is nowhere but in that URL."""

import io
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from nas.cli import main
from nas.store import Store, StoreError, StoreFailedError
from nas.store.engine import UnreachableError, open_engine, reachable

if TYPE_CHECKING:
    from fakes.postgres import PostgresServer

# Whatever form it is written in, this part of it stays as it is.
MARK = "Zebra7"
PASSWORD = f"{MARK}@a/%b?c&d#e:f g+ü"
FORMS = ("user", "query")
STUDY = """
[study]
name = "guarded"
[space]
depth = [1]
operators = ["linear"]
width = [4, 8]
pre_layers = [0]
post_layers = [0]
[dataset]
name = "digits_knn"
[strategy]
name = "random"
[evaluator]
epochs = 2
[budget]
trials = 2
"""


@pytest.fixture(scope="module")
def guarded(postgres_server: "PostgresServer") -> "Iterator[PostgresServer]":
    """A server that asks for the password."""
    engine = open_engine(postgres_server.url, create=True)
    with engine.begin() as connection:
        quoted = PASSWORD.replace("'", "''").replace("%", "%%")
        connection.exec_driver_sql(f"ALTER ROLE nas PASSWORD '{quoted}'")
    engine.dispose()
    hba = postgres_server.folder / "data" / "pg_hba.conf"
    hba.write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    postgres_server.restart()
    yield postgres_server
    hba.write_text("host all all 127.0.0.1/32 trust\n")
    postgres_server.restart()


def url_of(server: "PostgresServer", form: str, password: str = PASSWORD) -> str:
    place, encoded = f"127.0.0.1:{server.port}/postgres", quote(password, safe="")
    if form == "none":
        return f"postgresql://nas@{place}"
    if form == "user":
        return f"postgresql://nas:{encoded}@{place}"
    return f"postgresql://nas@{place}?password={encoded}"


def nas(*arguments: str, code: int = 0) -> str:
    """All that a command says, with the traceback of an error."""
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def written(folder: Path) -> dict[str, bytes]:
    """What is in all files of a folder, and in the archives among them."""
    found = {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    for name, content in list(found.items()):
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                found |= {f"{name}!{part}": archive.read(part) for part in archive.namelist()}
    return found


def recorded(storage: str) -> str:
    """Every value of every table."""
    engine = open_engine(storage, create=False)
    tables = sa.MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        rows = [connection.execute(sa.select(table)).all() for table in tables.sorted_tables]
        for table in reversed(tables.sorted_tables):
            connection.execute(sa.text(f'DROP TABLE "{table.name}" CASCADE'))
        connection.commit()
    engine.dispose()
    return repr(rows)


@pytest.mark.parametrize("form", FORMS)
def test_it_is_in_nothing_that_is_said_written_or_recorded(
    form: str, guarded: "PostgresServer", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_ARTIFACTS", str(tmp_path / "artifacts"))
    Path("guarded.toml").write_text(STUDY)
    at = ("--storage", url_of(guarded, form))
    debug = ("--debug", *at)
    said = [
        nas("search", "guarded.toml", *at),
        nas("search", "guarded.toml", *debug, code=2),
        nas("list", *at),
        nas("status", "guarded", "--format", "json", *at),
        nas("status", "nobody", *debug, code=2),
        nas("trials", "guarded", "--format", "csv", *at),
        nas("show", "guarded", "0", *at),
        nas("front", "guarded", *at),
        nas("export", "guarded", "--to", "bundle", *at),
        nas("storage", "check", *at),
        nas("storage", "upgrade", *at),
        nas("storage", "export", "guarded", "--to", "guarded.jsonl", "--artifacts", *at),
        nas("storage", "import", "guarded.jsonl", *debug, code=2),
        nas("storage", "import", "guarded.jsonl", "--name", "again", *at),
        nas("rename", "again", "guarded", *debug, code=2),
        nas("delete", "again", "--yes", *at),
        nas("gc", *at),
    ]
    if form == "user":
        said += [
            nas("resume", "guarded", "--trials", "3", *at),
            nas("confirm", "guarded", "--top", "1", "--seeds", "1", *at),
            nas("compare", "guarded.toml", "--strategies", "local", "--seeds", "2", *at),
        ]
    assert not [text for text in said if MARK in text]
    assert any("***" in text for text in said)
    files = written(tmp_path)
    assert any("guarded.jsonl" in name for name in files)
    assert any("bundle" in name and "!" in name for name in files), "archives are looked into"
    assert not [name for name, content in files.items() if MARK.encode() in content]
    rows = recorded(at[1])
    assert "digits_knn" in rows
    assert MARK not in rows


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("command", ["search", "list", "status", "check", "import", "gc"])
def test_it_is_in_no_error_of_a_server_that_is_not_there(
    form: str, command: str, guarded: "PostgresServer", tmp_path: Path
) -> None:
    (tmp_path / "guarded.toml").write_text(STUDY)
    (tmp_path / "guarded.jsonl").write_text("{}\n")
    away = url_of(guarded, form).replace(f":{guarded.port}", ":9")
    arguments = {
        "search": ("search", str(tmp_path / "guarded.toml")),
        "list": ("list",),
        "status": ("status", "guarded"),
        "check": ("storage", "check"),
        "import": ("storage", "import", str(tmp_path / "guarded.jsonl")),
        "gc": ("gc",),
    }[command]
    said = nas(*arguments, "--debug", "--storage", away, code=1 if command == "check" else 2)
    assert "refused" in said
    assert "***" in said
    assert MARK not in said


@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_one_is_refused_and_not_shown(form: str, guarded: "PostgresServer") -> None:
    wrong = url_of(guarded, form, f"{PASSWORD}x")
    with pytest.raises(StoreError, match="authentication failed") as refused:
        Store(wrong)
    assert MARK not in str(refused.value)
    engine = open_engine(wrong, create=False)
    with pytest.raises(StoreFailedError) as failed, reachable(engine.url):
        engine.connect()
    assert not isinstance(failed.value, UnreachableError), "it does not pass by waiting"
    assert MARK not in str(failed.value)
    assert failed.value.__suppress_context__


def test_it_need_not_stand_in_the_url(
    guarded: "PostgresServer", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = url_of(guarded, "none")
    with pytest.raises(StoreError, match="no password supplied"):
        Store(bare)
    with monkeypatch.context() as patch:
        patch.setenv("PGPASSWORD", PASSWORD)
        assert Store(bare).studies() == []
    file = tmp_path / "pgpass"
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    file.write_text(f"127.0.0.1:{guarded.port}:*:nas:{escaped}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    assert Store(bare).studies() == []


@pytest.mark.parametrize("form", FORMS)
def test_it_is_in_no_repr_and_no_pickle(form: str, guarded: "PostgresServer") -> None:
    store = Store(url_of(guarded, form))
    shown: list[Any] = [store, store.engine, store.engine.pool]
    assert not [text for text in map(repr, shown) if MARK in text]
    with pytest.raises((TypeError, AttributeError), match="pickle") as refused:
        pickle.dumps(store)
    assert MARK not in str(refused.value)
