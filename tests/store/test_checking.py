"""`nas storage`: what it finds wrong with a database, upgrading, and the files it moves."""

import io
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from fakes.studies import fake_spec

from nas.cli import main
from nas.store import Store, schema
from nas.store.checking import Finding, check
from nas.store.exporting import export_study
from nas.store.importing import import_study
from nas.study import resume, search

from .test_migrations import bare_engine, make_golden, version_of

if TYPE_CHECKING:
    from fakes.postgres import PostgresServer


def nas(*arguments: str, code: int = 0, **options: Any) -> Result:
    result = CliRunner().invoke(main, list(arguments), **options)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def found(storage: str, subject: str, what: str) -> Finding:
    (finding,) = [f for f in check(storage) if (f.subject, f.check) == (subject, what)]
    return finding


def change(storage: str, *statements: str) -> None:
    engine = bare_engine(storage)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database of one study of four trials, and its artifacts."""
    folder = tmp_path_factory.mktemp("original")
    search(fake_spec(4), storage=f"sqlite:///{folder / 'nas.db'}", data_root=Path())
    with closing(sqlite3.connect(folder / "nas.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


@pytest.fixture
def studied(original: Path, tmp_path: Path) -> str:
    """A copy of it."""
    folder = tmp_path / "copy"
    shutil.copytree(original, folder)
    return f"sqlite:///{folder / 'nas.db'}"


@pytest.fixture
def on_server(
    studied: str, new_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> str:
    """The same study on PostgreSQL."""
    url = new_database("postgres")
    lines = io.StringIO()
    export_study(Store(studied), "fake", lines, with_artifacts=True)
    import_study(Store(url), lines.getvalue().splitlines(), "a test")
    resume("fake", storage=url, data_root=Path(), trials=5)
    return url


class TestCheck:
    def test_a_study_that_has_ended_has_nothing_wrong(self, studied: str) -> None:
        findings = check(studied)
        assert {f.verdict for f in findings if f.check != "settings"} == {"ok"}
        of_study = [f.check for f in findings if f.subject == "fake"]
        assert of_study == ["trials", "record", "artifacts", "optuna"]
        assert "4 ended of 4" in found(studied, "fake", "trials").found
        result = nas("storage", "check", "--storage", studied, "--format", "json")
        assert [row["verdict"] for row in json.loads(result.stdout)] == [
            f.verdict for f in findings
        ]
        assert nas("storage", "check", "--storage", studied).stdout.startswith("subject")
        csv = nas("storage", "check", "--storage", studied, "--format", "csv").stdout
        assert csv.startswith("subject,check,verdict,found\n")

    @pytest.mark.parametrize(
        ("statement", "said"),
        [
            ("UPDATE nas_studies SET next_seq = 5", "next_seq is 5, 4 trials have ended"),
            ("UPDATE nas_trials SET seq = 9 WHERE seq = 3", "goes from 0 to 9, not from 0 to 3"),
            ("UPDATE nas_trials SET seq = NULL WHERE seq = 3", "no place in the order"),
            ("UPDATE nas_trials SET state = 'running' WHERE seq = 3", "1 trials are under way"),
            ("UPDATE nas_trials SET key = NULL WHERE seq = 0", "with nothing proposed"),
            ("UPDATE nas_studies SET next_ordinal = 2", "there is a trial 3"),
            ("UPDATE nas_evaluations SET ordinal = 77 WHERE ordinal = 1", "have no trial"),
        ],
    )
    def test_a_record_that_does_not_hold_together_is_wrong(
        self, statement: str, said: str, studied: str
    ) -> None:
        change(studied, statement)
        finding = found(studied, "fake", "record")
        assert finding.verdict == "wrong"
        assert said in finding.found
        assert said in nas("storage", "check", "--storage", studied, code=1).stdout

    def test_trials_without_a_driver_are_counted(self, studied: str) -> None:
        change(
            studied,
            "UPDATE nas_trials SET state = 'running', seq = NULL WHERE seq = 3",
            "UPDATE nas_studies SET next_seq = 3",
        )
        finding = found(studied, "fake", "trials")
        assert finding.verdict == "note"
        assert "1 waiting for: nas resume fake" in finding.found

    def test_artifacts_that_are_gone_are_counted(self, studied: str) -> None:
        folder = Path(Store(studied).artifacts("fake").removeprefix("file://"))
        next(folder.glob("??/*")).unlink()
        finding = found(studied, "fake", "artifacts")
        assert (finding.verdict, finding.found[:2]) == ("note", "1 ")

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE trials SET state = 'RUNNING' WHERE number = 1",
            "UPDATE nas_trials SET twin = NULL WHERE ordinal = 1",
        ],
    )
    def test_optunas_rows_that_are_out_of_step_are_counted(
        self, statement: str, studied: str
    ) -> None:
        change(studied, statement)
        finding = found(studied, "fake", "optuna")
        assert (finding.verdict, finding.found[:9]) == ("note", "1 trials ")

    def test_what_is_wrong_on_a_server_is_found_as_well(self, on_server: str) -> None:
        assert {f.verdict for f in check(on_server) if f.check != "settings"} == {"ok"}
        change(
            on_server,
            "UPDATE trials SET state = 'RUNNING' WHERE number = 1",
            "UPDATE nas_studies SET next_seq = 7",
        )
        assert "next_seq is 7, 5 trials" in found(on_server, "fake", "record").found
        assert found(on_server, "fake", "optuna").found.startswith("1 trials ")
        nas("storage", "check", "--storage", on_server, code=1)

    def test_it_writes_nothing(self, database: str) -> None:
        make_golden(database, "v2")
        assert found(database, "database", "tables").verdict == "wrong"
        assert (
            "nas storage upgrade" in nas("storage", "check", "--storage", database, code=1).stdout
        )
        assert version_of(database) == (2, None)

    def test_tables_of_a_later_program_are_wrong(self, studied: str) -> None:
        change(studied, "UPDATE nas_database SET version = 99")
        assert "version 99, this program knows" in found(studied, "database", "tables").found

    def test_a_file_that_is_damaged_is_wrong(self, studied: str) -> None:
        file = Path(studied.removeprefix("sqlite:///"))
        content = bytearray(file.read_bytes())
        content[3 * 4096 : 9 * 4096] = b"\xff" * (6 * 4096)
        file.write_bytes(content)
        assert found(studied, "database", "integrity").verdict == "wrong"
        file.write_bytes(b"no database at all, not even a header" * 100)
        assert found(studied, "database", "reachable").verdict == "wrong"
        nas("storage", "check", "--storage", studied, code=1)

    def test_a_server_that_is_down_is_wrong(self, postgres_server: "PostgresServer") -> None:
        Store(postgres_server.url)
        assert "fsync off" in found(postgres_server.url, "database", "settings").found
        postgres_server.stop()
        (finding,) = check(postgres_server.url)
        postgres_server.start()
        assert (finding.check, finding.verdict) == ("reachable", "wrong")
        assert "secret" not in finding.found

    def test_no_file_is_a_usage_error(self, storage: str) -> None:
        assert (
            "there is no database" in nas("storage", "check", "--storage", storage, code=2).stderr
        )


class TestUpgrade:
    def test_it_says_from_what_to_what(self, database: str) -> None:
        make_golden(database, "v3")
        result = nas("storage", "upgrade", "--storage", database)
        assert result.stdout == f"the tables were of version 3 and are now of {schema.VERSION}\n"
        again = nas("storage", "upgrade", "--storage", database)
        assert again.stdout == f"the tables are of version {schema.VERSION}, which is today's\n"

    def test_an_empty_database_has_nothing_to_upgrade(self, database: str) -> None:
        if database.startswith("sqlite"):
            change(database, "PRAGMA user_version=0")
        result = nas("storage", "upgrade", "--storage", database, code=2)
        assert "holds no studies" in result.stderr


class TestMoving:
    def test_a_study_goes_through_a_pipe_and_a_file(
        self, studied: str, new_database: Callable[[str], str], tmp_path: Path
    ) -> None:
        piped = nas("storage", "export", "fake", "--to", "-", "--storage", studied)
        assert 'study "fake" exported: 4 trials, 4 evaluations' in piped.stderr
        to = tmp_path / "moved.jsonl"
        written = nas("storage", "export", "fake", "--to", str(to), "--storage", studied)
        assert written.stdout == f"{to}\n"
        assert to.read_text() == piped.stdout
        for source, given in ((str(to), None), ("-", piped.stdout)):
            other = new_database("sqlite")
            arguments = ("storage", "import", source, "--storage", other)
            taken = nas(*arguments, input=given)
            assert taken.stdout == "fake\n"
            assert "nas resume fake" in taken.stderr
            assert nas("storage", "export", "fake", "--to", "-", "--storage", other).stdout == (
                piped.stdout
            )
            assert found(other, "fake", "record").verdict == "ok"
            assert found(other, "fake", "optuna").verdict == "note"

    def test_faults_are_one_line_and_status_2(self, storage: str, tmp_path: Path) -> None:
        file = tmp_path / "odd.jsonl"
        file.write_bytes(b'{"gnn-nas study": {"version": 1, "tables": 5}}\n\xff\xfe\n')
        for source in (str(file), str(tmp_path / "absent")):
            result = nas("storage", "import", source, "--storage", storage, code=2)
            assert "Traceback" not in result.stderr
        assert "UTF-8" in nas("storage", "import", str(file), "--storage", storage, code=2).stderr
        debug = ("storage", "--debug", "import", str(file), "--storage", storage)
        assert "Traceback" in nas(*debug, code=2).stderr


def test_checking_changes_no_row(studied: str) -> None:
    def rows() -> list[Any]:
        with bare_engine(studied).connect() as connection:
            return [
                connection.execute(sa.select(table).order_by(*table.primary_key)).all()
                for table in schema.metadata.sorted_tables
            ]

    before = rows()
    check(studied)
    assert rows() == before
