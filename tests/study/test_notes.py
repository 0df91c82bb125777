"""What strategies say of their proposals, and evaluators of how they measured, is recorded.

Databases made before that are changed.
"""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from fakes.studies import fake_spec
from sqlalchemy import event
from sqlalchemy.engine import Engine

from nas.cli import main
from nas.compare import compare
from nas.store import Store, StoreError, schema
from nas.store.engine import harden
from nas.study import resume, search

# The tables as the first version made them, but for their constraints.
VERSION_1 = """
CREATE TABLE nas_database (id VARCHAR(32) PRIMARY KEY, version INTEGER NOT NULL);
CREATE TABLE nas_studies (
    id {serial} PRIMARY KEY, name VARCHAR(255) NOT NULL UNIQUE, state VARCHAR(16) NOT NULL,
    reason VARCHAR NOT NULL, spec JSON NOT NULL, space JSON NOT NULL, task JSON NOT NULL,
    dataset VARCHAR(64) NOT NULL, start JSON NOT NULL, artifacts VARCHAR NOT NULL, target INTEGER,
    seconds FLOAT NOT NULL, next_ordinal INTEGER NOT NULL, next_seq INTEGER NOT NULL,
    created VARCHAR(32) NOT NULL, changed VARCHAR(32) NOT NULL
);
CREATE TABLE nas_trials (
    study_id INTEGER NOT NULL REFERENCES nas_studies (id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL, state VARCHAR(16) NOT NULL, run_id VARCHAR(32),
    last_seq INTEGER NOT NULL, pending JSON NOT NULL, architecture JSON, key VARCHAR(32),
    inherit INTEGER, seq INTEGER, cached BOOLEAN NOT NULL, metrics JSON NOT NULL,
    violation FLOAT NOT NULL, epochs INTEGER NOT NULL, seconds FLOAT NOT NULL,
    artifact VARCHAR(64), failure JSON, PRIMARY KEY (study_id, ordinal)
);
CREATE TABLE nas_evaluations (
    id {serial} PRIMARY KEY,
    study_id INTEGER NOT NULL REFERENCES nas_studies (id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL, epoch INTEGER NOT NULL, cache_key VARCHAR(32) NOT NULL,
    metrics JSON NOT NULL, seconds FLOAT NOT NULL, artifact VARCHAR(64)
);
INSERT INTO nas_database VALUES ('0123456789abcdef0123456789abcdef', 1);
INSERT INTO nas_studies (
    name, state, reason, spec, space, task, dataset, start, artifacts, target, seconds,
    next_ordinal, next_seq, created, changed
) VALUES (
    'old', 'finished', '1 trials',
    '{"study": {"name": "old", "objectives": [["val_accuracy", "maximize"]]}}', '{}', '{}', '',
    '[]', '', 1, 0.5, 1, 1, '2025-01-01T00:00:00+00:00', '2025-01-01T00:00:00+00:00'
);
INSERT INTO nas_trials VALUES (
    1, 0, 'complete', NULL, -1, '[]', '{"space": "fake", "choices": {"kind": "plain"}}', 'k',
    NULL, 0, {false}, '{"val_accuracy": 0.5}', 0, 9, 0.5, NULL, NULL
);
INSERT INTO nas_evaluations (study_id, ordinal, epoch, cache_key, metrics, seconds) VALUES (
    1, 0, 9, '', '{"val_accuracy": 0.5}', 0.5
);
"""
fork = multiprocessing.get_context("fork")


def old_database(url: str) -> None:
    """A database of version 1 with one study of one trial."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    harden(engine)  # a write-ahead log, as the program has always made
    own = engine.dialect.name == "sqlite"
    script = VERSION_1.replace("{false}", "0" if own else "false")
    with engine.begin() as connection:
        for statement in script.replace("{serial}", "INTEGER" if own else "SERIAL").split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
    engine.dispose()


def version(url: str) -> Any:
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        return connection.scalar(sa.text("select version from nas_database"))


class TestNotes:
    def test_a_note_is_recorded_and_a_number_that_is_not_finite_is_null(self, storage: str) -> None:
        search(fake_spec(4, "fakes.noting"), storage=storage, data_root=Path())
        notes = [dict(trial.note) for trial in Store(storage).trials("fake")]
        assert notes == [
            {},
            {"phase": "learned", "seen": 1, "tau": None},
            {"phase": "learned", "seen": 2, "tau": 0.5},
            {"phase": "learned", "seen": 3, "tau": 0.5},
        ]

    def test_commands_print_it(self, storage: str) -> None:
        search(fake_spec(3, "fakes.noting"), storage=storage, data_root=Path())

        def said(*arguments: str) -> str:
            result = CliRunner().invoke(main, [*arguments, "--storage", storage])
            assert result.exit_code == 0, result.output
            return result.stdout

        trials = json.loads(said("trials", "fake", "--format", "json"))
        assert [t["note"].get("seen") for t in trials] == [None, 1, 2]
        assert json.loads(said("show", "fake", "2", "--format", "json"))["note"]["tau"] == 0.5
        assert "note.phase" in said("trials", "fake", "--format", "csv").splitlines()[0]
        assert "phase" in said("show", "fake", "2")
        assert "note" not in said("show", "fake", "0")


class TestNotesOfEvaluations:
    def test_each_rung_has_its_own_and_the_trial_the_last_ones(self, storage: str) -> None:
        spec = fake_spec(4, halving={"epochs": [3], "reduction": 2})
        search(spec, storage=storage, data_root=Path())
        store = Store(storage)
        trials = store.trials("fake")
        assert {t.state for t in trials} == {"complete", "pruned"}
        for trial in trials:
            rungs = store.evaluations("fake", trial.number)
            until = [3, 9] if trial.state == "complete" else [3]
            said = [{"path": "planted", "until": f"epoch {epoch}"} for epoch in until]
            assert [rung["notes"] for rung in rungs] == said
            assert dict(trial.evaluated) == said[-1]
            assert store.trial("fake", trial.number) == trial

    def test_what_is_answered_from_the_record_has_those_of_its_origin(self, storage: str) -> None:
        tables: dict[str, Any] = {
            "space": {"name": "gnn", "depth": [1], "operators": ["gcn", "linear"], "width": [2, 4]},
            "evaluator": {"name": "training", "epochs": 2},
        }
        search(fake_spec(2, **tables), storage=storage, data_root=Path())
        with sa.create_engine(storage).begin() as connection:
            connection.execute(sa.text("""update nas_evaluations set notes = '{"path": "slow"}'"""))
        again = fake_spec(2, study={"name": "again"}, **tables)
        search(again, storage=storage, data_root=Path())
        trials = Store(storage).trials("again")
        assert [(t.cached, dict(t.evaluated)) for t in trials] == [(True, {"path": "slow"})] * 2

    def test_commands_print_them(self, storage: str) -> None:
        search(fake_spec(1), storage=storage, data_root=Path())

        def said(*arguments: str) -> str:
            result = CliRunner().invoke(main, [*arguments, "--storage", storage])
            assert result.exit_code == 0, result.output
            return result.stdout

        notes = {"path": "planted", "until": "epoch 9"}
        shown = json.loads(said("show", "fake", "0", "--format", "json"))
        assert shown["evaluated"] == notes
        assert [rung["notes"] for rung in shown["rungs"]] == [notes]
        assert "\nevaluated\n  path   planted\n" in said("show", "fake", "0")
        assert "evaluated.path" in said("trials", "fake", "--format", "csv").splitlines()[0]

    def test_a_trial_that_failed_keeps_its_own(self, storage: str) -> None:
        evaluator = {"fail_when_a_is": [0, 1, 2, 3], "warn_when_a_is": [1, 2]}
        search(fake_spec(12, evaluator=evaluator), storage=storage, data_root=Path())
        store = Store(storage)
        for trial in store.trials("fake"):
            assert trial.architecture is not None
            a = trial.architecture.choices["a"]
            assert (trial.state == "failed") == (int(a) < 4)
            assert trial.evaluated["path"] == "planted"
            assert trial.evaluated.get("warning") == (f"a is {a}" if a in (1, 2) else None)
            assert store.trial("fake", trial.number) == trial
            assert bool(store.evaluations("fake", trial.number)) == (trial.state != "failed")


class TestWarnings:
    """Of the evaluator: each text once a run, wherever it runs."""

    def test_a_search_tells_each_once(self, storage: str) -> None:
        evaluator = {"warn_when_a_is": [0, 1], "fail_when_a_is": [1]}
        spec = fake_spec(20, space={"levels": 3}, evaluator=evaluator)
        told: list[str] = []
        search(spec, storage=storage, data_root=Path(), progress=lambda p: told.append(p.message))
        assert sorted(filter(None, told))[1:] == ["warning: a is 0", "warning: a is 1"]
        trials = Store(storage).trials("fake")
        assert sum("warning" in trial.evaluated for trial in trials) > 2

    def test_the_command_line_shows_them_on_stderr(self, storage: str, tmp_path: Path) -> None:
        spec = tmp_path / "own.toml"
        spec.write_text(
            '[space]\nname = "fakes.space"\n[dataset]\nname = "fakes.graph"\n'
            '[evaluator]\nname = "fakes.evaluator"\nwarn_when_a_is = [0, 1, 2, 3, 4, 5, 6, 7]\n'
            '[budget]\ntrials = 6\n[strategy]\nname = "random"\n'
        )
        arguments = ["search", str(spec), "--storage", storage, "--format", "json"]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        warnings = [line for line in result.stderr.splitlines() if line.startswith("warning")]
        assert len(warnings) == len(set(warnings)) > 1
        assert json.loads(result.stdout)["trials"]["complete"] == 6

    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_comparison_tells_each_once(self, workers: int) -> None:
        evaluator = {"warn_when_a_is": [0, 1]}
        spec = fake_spec(8, space={"levels": 2}, evaluator=evaluator)
        told: list[str] = []
        compare(
            spec,
            ["local"],
            seeds=2,
            trials=8,
            workers=workers,
            progress=lambda standing: told.append(standing.warning),
        )
        assert sorted(filter(None, told)) == ["a is 0", "a is 1"]


class TestOldDatabases:
    def test_one_of_version_1_is_brought_up_to_date(self, storage: str) -> None:
        old_database(storage)
        store = Store.open_existing(storage)
        assert version(storage) == schema.VERSION == 4
        (trial,) = store.trials("old")
        assert (trial.state, dict(trial.note), dict(trial.evaluated)) == ("complete", {}, {})
        assert [rung["notes"] for rung in store.evaluations("old", 0)] == [{}]
        search(fake_spec(3, "fakes.noting"), storage=storage, data_root=Path())
        assert Store(storage).trials("fake")[2].note["seen"] == 2
        assert sa.inspect(store.engine).has_table("nas_comparisons")

    def test_one_of_today_is_left_alone(self, storage: str) -> None:
        """Opening it again writes nothing: whoever only looks takes no lock."""
        Store(storage)
        statements: list[str] = []

        def note(_c: Any, _u: Any, statement: str, *_: Any) -> None:
            statements.append(statement)

        event.listen(Engine, "before_cursor_execute", note)
        try:
            Store.open_existing(storage)
            Store(storage)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        assert statements
        wrote = ("CREATE", "ALTER", "INSERT", "UPDATE", "BEGIN IMMEDIATE")
        assert not any(s.startswith(wrote) for s in statements)

    def test_a_step_that_fails_leaves_the_old_one(
        self, storage: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All or nothing: the column is not there when the version is not."""
        old_database(storage)
        steps = {1: (*schema.UPGRADES[1], "ALTER TABLE nowhere ADD COLUMN x JSON")}
        with monkeypatch.context() as patch:
            patch.setattr(schema, "UPGRADES", steps)
            with pytest.raises(StoreError, match="could not be brought up to version 4"):
                Store(storage)
        engine = sa.create_engine(storage)
        assert "note" not in [c["name"] for c in sa.inspect(engine).get_columns("nas_trials")]
        assert not sa.inspect(engine).has_table("nas_comparisons")
        assert version(storage) == 1
        assert Store(storage).trials("old")

    def test_one_that_cannot_be_written_to_says_so(self, storage: str) -> None:
        old_database(storage)

        def read_only(connection: Any, _: Any) -> None:
            connection.execute("pragma query_only=on")

        event.listen(Engine, "connect", read_only)
        try:
            with pytest.raises(
                StoreError, match=r"tables of version 1.*where it can be written to"
            ):
                Store.open_existing(storage)
        finally:
            event.remove(Engine, "connect", read_only)
        assert version(storage) == 1

    def test_one_of_a_later_program_is_refused(self, storage: str) -> None:
        Store(storage)
        with sa.create_engine(storage).begin() as connection:
            connection.execute(sa.text("update nas_database set version = 5"))
        with pytest.raises(StoreError, match="tables of version 5, this program knows 4"):
            Store(storage)


def _open(url: str, barrier: Any, answers: Any) -> None:
    barrier.wait()
    try:
        answers.put(Store(url).trials("old")[0].state)
    except Exception as error:  # the test shows it
        answers.put(repr(error))


def _open_at_once(url: str, processes: int = 4) -> list[str]:
    barrier, answers = fork.Barrier(processes), fork.Queue()
    children = [fork.Process(target=_open, args=(url, barrier, answers)) for _ in range(processes)]
    for child in children:
        child.start()
    found = [answers.get(timeout=60) for _ in children]
    for child in children:
        child.join()
    return found


def test_of_many_that_open_an_old_database_at_once_all_are_served(tmp_path: Path) -> None:
    for attempt in range(5):
        url = f"sqlite:///{tmp_path / str(attempt)}.db"
        old_database(url)
        assert _open_at_once(url) == ["complete"] * 4
        assert version(url) == 4


def test_postgresql(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same steps there: at once, in one transaction; and notes are kept as in SQLite."""
    monkeypatch.setenv("NAS_ARTIFACTS", str(tmp_path))
    name = "notes"
    admin = sa.create_engine(
        postgres.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
    )
    for attempt in range(3):
        url = postgres.rpartition("/")[0] + f"/{name}{attempt}"
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}{attempt}")
        old_database(url)
        assert _open_at_once(url) == ["complete"] * 4
        assert version(url) == 4
    search(fake_spec(3, "fakes.noting"), storage=url, data_root=Path())
    resume("fake", storage=url, data_root=Path(), trials=4)
    notes = [dict(trial.note) for trial in Store(url).trials("fake")]
    assert notes[1:3] == [
        {"phase": "learned", "seen": 1, "tau": None},
        {"phase": "learned", "seen": 2, "tau": 0.5},
    ]
