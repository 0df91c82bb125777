"""The commands that make or change something."""

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from nas.spec import load_spec

from .conftest import STUDY, Nas, run

STUDIES = Path(__file__).resolve().parents[2] / "studies"


def test_init_writes_the_quickstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is the shipped one, and a valid study under its own name."""
    monkeypatch.chdir(tmp_path)
    run("init", "mine.toml")
    text = (tmp_path / "mine.toml").read_text()
    assert text == (STUDIES / "quickstart.toml").read_text()
    assert load_spec("mine.toml").study.name == "mine"
    run("init")
    assert (tmp_path / "study.toml").exists()


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    """A file that exists is left as it is."""
    path = tmp_path / "mine.toml"
    path.write_text("precious")
    assert "exists" in run("init", str(path), code=2).stderr
    assert path.read_text() == "precious"
    run("init", str(tmp_path / "no" / "folder.toml"), code=2)


def test_a_second_search_is_refused(nas: Nas, study: dict[str, Any]) -> None:
    """The message names the command that goes on."""
    result = nas("search", str(study["spec"]), code=2)
    assert "nas resume tiny" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--set", "evaluator.epochs=many"], "[evaluator] epochs: expected an integer >= 1"),
        (["--set", "buget.trials=1"], 'did you mean "budget"?'),
        (["--executor", "inlin"], 'did you mean "inline"?'),
        (["--name", "a b"], "[study] name"),
        (["--name", "7\u007f"], "[study] name"),
        (["--trials", "0"], "--trials"),
        (["--fromat", "json"], "--format"),
        (["--set", "study.objectives={val_auc='maximize'}"], "val_auc"),
        (["--storage", "nas.db"], "database URL"),
    ],
)
def test_wrong_options_are_usage_errors(
    arguments: list[str], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 2, and a message with the place; no study is made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.toml").write_text(STUDY)
    result = run("search", "x.toml", *arguments, code=2)
    assert part in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_options_win_over_the_file(tmp_path: Path) -> None:
    """--name, --seed, --trials and --set together; a name of digits stays a name."""
    spec = tmp_path / "x.toml"
    spec.write_text(STUDY)
    storage = f"sqlite:///{tmp_path / 'n.db'}"
    options = ["--name", "123", "--seed", "5", "--trials", "1", "--set", "evaluator.epochs=2"]
    options += ["--storage", storage]
    printed = json.loads(run("search", str(spec), *options, "--format", "json").stdout)
    assert printed["study"] == "123"
    assert printed["trials"]["complete"] == 1
    trials = json.loads(run("trials", "123", "--storage", storage, "--format", "json").stdout)
    assert trials[0]["epochs"] == 2


def test_resuming_a_finished_study_does_nothing_and_more_trials_go_on(nas: Nas) -> None:
    """`--trials` is the total wanted."""
    again = json.loads(nas("resume", "tiny", "--format", "json").stdout)
    assert again["trials"]["complete"] == 3
    more = json.loads(nas("resume", "tiny", "--trials", "3", "--format", "json").stdout)
    assert more["trials"]["complete"] == 3
    assert "no executor" in nas("resume", "tiny", "--executor", "inlin", code=2).stderr
    inline = ("--executor", "inline", "--workers", "2")
    assert "workers" in nas("resume", "tiny", *inline, code=2).stderr
    text = nas("resume", "tiny").stdout
    assert "nas confirm tiny" in text
    assert "--storage" in text


def test_rename_and_delete(tmp_path: Path) -> None:
    """A renamed study answers to its new name; a deleted one to none; both refuse nonsense."""
    spec = tmp_path / "old.toml"
    spec.write_text(STUDY)
    storage = ["--storage", f"sqlite:///{tmp_path / 'n.db'}"]
    run("search", str(spec), "--trials", "1", *storage)
    assert "letters, digits" in run("rename", "old", "a b", *storage, code=2).stderr
    run("rename", "old", "new", *storage)
    run("status", "old", *storage, code=2)
    run("status", "new", *storage)
    assert "nothing is deleted" in run("delete", "new", *storage, input="n\n", code=1).stderr
    assert "--yes" in run("delete", "new", *storage, input="", code=2).stderr
    run("delete", "new", "--yes", *storage)
    run("status", "new", *storage, code=2)
    assert json.loads(run("gc", *storage, "--format", "json").stdout)["young"] > 0
    gone = json.loads(run("gc", "--min-age", "0", *storage, "--format", "json").stdout)
    assert gone["removed"] > 0
    assert gone["kept"] == gone["young"] == 0


def test_confirm_measures_test_once(nas: Nas) -> None:
    """Only here is a test metric; repeated, the stored result comes back."""
    options = ["confirm", "tiny", "--top", "1", "--seeds", "2", "--format", "json"]
    first = json.loads(nas(*options).stdout)
    assert first[0]["seeds"] == 2
    assert {"val_accuracy", "test_accuracy"} <= set(first[0]["metrics"])
    assert set(first[0]["metrics"]["test_accuracy"]) == {"mean", "stderr", "n"}
    assert json.loads(nas(*options).stdout) == first
    text = nas(*options[:-2]).stdout
    assert "±" in text
    trials = json.loads(nas("trials", "tiny", "--format", "json").stdout)
    assert not any(name.startswith("test") for trial in trials for name in trial["metrics"])


def test_export_and_predict(nas: Nas, study: dict[str, Any], tmp_path: Path) -> None:
    """From a study to predictions in a file, through a bundle."""
    bundle = tmp_path / "bundle"
    shown = json.loads(nas("export", "tiny", "--to", str(bundle), "--format", "json").stdout)
    assert Path(shown["manifest"]).exists()
    assert shown["trial"] == study["printed"]["front"][0]["trial"]
    out = tmp_path / "p.csv"
    result = run("predict", str(bundle), "--dataset", str(study["spec"]), "--out", str(out))
    assert result.stdout == ""
    rows = list(csv.DictReader(out.open()))
    assert len(rows) == 1797
    assert {row["prediction"] for row in rows} <= {str(digit) for digit in range(10)}
    printed = run("predict", str(bundle), "--dataset", "digits_knn", "--format", "json").stdout
    assert [str(row["prediction"]) for row in json.loads(printed)] == [
        row["prediction"] for row in rows
    ]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "--dataset and --input"),
        (["--dataset", "digits_knn", "--input", "x.npz"], "--dataset and --input"),
        (["--dataset", "digits_kn"], 'did you mean "digits_knn"?'),
        (["--dataset", "none.toml"], "none.toml"),
        (["--input", "x.npz", "--out", "x.txt"], ".csv or .json"),
    ],
)
def test_wrong_predictions_are_usage_errors(arguments: list[str], part: str) -> None:
    """What to predict on is exactly one thing, and is there."""
    assert part in run("predict", "nowhere", *arguments, code=2).stderr


def test_wrong_exports_are_usage_errors(nas: Nas, tmp_path: Path) -> None:
    """Neither a trial that is no number nor a study that is not there."""
    to = ["--to", str(tmp_path / "b")]
    assert "best" in nas("export", "tiny", "--trial", "first", *to, code=2).stderr
    assert "tiny" in nas("export", "tinny", *to, code=2).stderr
    assert "--to" in nas("export", "tiny", code=2).stderr


def test_a_worker_makes_what_a_study_lacks(
    study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone, too; of a study that has all of its trials it makes nothing."""
    monkeypatch.chdir(tmp_path)
    run("search", str(study["spec"]), "--name", "helped", "--trials", "2")
    with sqlite3.connect("nas.db") as database:
        database.execute("update nas_studies set target = 4, state = 'stopped'")
        specification = json.loads(database.execute("select spec from nas_studies").fetchone()[0])
        specification["budget"]["trials"] = 4
        database.execute("update nas_studies set spec = ?", [json.dumps(specification)])
    said = run("worker", "helped").stderr
    assert "helped: 4 of 4 trials" in said
    assert run("worker", "helped").stderr.splitlines() == said.splitlines()[-1:]
    assert 'did you mean "helped"' in run("worker", "helpd", code=2).stderr
    assert 'did you mean "inline"' in run("worker", "helped", "--executor", "inlin", code=2).stderr
