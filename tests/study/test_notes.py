"""What strategies say of their proposals, and evaluators of how they measured, is recorded."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from fakes.studies import fake_spec

from nas.cli import main
from nas.compare import compare
from nas.store import Store
from nas.study import resume, search


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
        assert [rung["evaluated"] for rung in shown["rungs"]] == [notes]
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


def test_postgresql(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes are kept there as in SQLite."""
    monkeypatch.setenv("NAS_ARTIFACTS", str(tmp_path))
    admin = sa.create_engine(
        postgres.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE notes")
    url = postgres.rpartition("/")[0] + "/notes"
    search(fake_spec(3, "fakes.noting"), storage=url, data_root=Path())
    resume("fake", storage=url, data_root=Path(), trials=4)
    notes = [dict(trial.note) for trial in Store(url).trials("fake")]
    assert notes[1:3] == [
        {"phase": "learned", "seen": 1, "tau": None},
        {"phase": "learned", "seen": 2, "tau": 0.5},
    ]
