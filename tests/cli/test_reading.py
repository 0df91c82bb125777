"""The commands that read a study, on a real one."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from .conftest import Nas, run

NAMED = ("list", "status", "trials", "front")


def test_search_prints_one_object(study: dict[str, Any]) -> None:
    """The object that scripts read has these keys, and nothing else is on stdout."""
    printed = study["printed"]
    assert list(printed) == ["study", "storage", "seconds", "trials", "front"]
    assert printed["study"] == "tiny"
    assert printed["storage"] == study["storage"]
    assert set(printed["trials"]) == {
        "complete",
        "failed",
        "pruned",
        "infeasible",
        "cached",
        "running",
    }
    assert printed["trials"]["complete"] == 3
    for row in printed["front"]:
        assert list(row) == ["trial", "architecture", "decisions", "metrics"]
        assert len(row["architecture"]) == 32
        assert 0 <= row["metrics"]["val_accuracy"] <= 1


def test_progress_goes_to_stderr(study: dict[str, Any]) -> None:
    """Plain lines, because nobody is at a terminal here."""
    assert "/3 trials" in study["progress"]
    assert "best val_accuracy" in study["progress"]


def test_the_best_is_one_network_wherever_it_is_shown(study: dict[str, Any], nas: Nas) -> None:
    """The first of the front, with all that was sought of it."""
    first = json.loads(nas("front", "tiny", "--format", "json").stdout)[0]["metrics"]
    sought = {metric: first[metric] for metric in ("val_accuracy", "params")}
    assert json.loads(nas("status", "tiny", "--format", "json").stdout)["best"] == sought
    told = f"val_accuracy {sought['val_accuracy']:.4f} with params {sought['params']:,.0f}"
    assert f"best     {told}\n" in nas("status", "tiny").stdout
    assert f"  {told}  " in nas("list").stdout
    assert re.search(r", best val_accuracy \d\.\d{4} with params [\d,]+, ", study["progress"])


def test_trials_have_the_promised_keys(nas: Nas) -> None:
    """`trials --format json` is a list of these objects, by number."""
    trials = json.loads(nas("trials", "tiny", "--format", "json").stdout)
    assert [trial["trial"] for trial in trials] == [0, 1, 2]
    for trial in trials:
        assert list(trial) == [
            "trial",
            "state",
            "architecture",
            "decisions",
            "metrics",
            "epochs",
            "seconds",
            "cached",
            "failure",
            "note",
            "evaluated",
            "measured",
        ]


def test_the_front_is_the_one_that_search_printed(nas: Nas, study: dict[str, Any]) -> None:
    """Looking again changes nothing."""
    assert json.loads(nas("front", "tiny", "--format", "json").stdout) == study["printed"]["front"]


def test_status_and_list_agree(nas: Nas) -> None:
    """A study in the list is its status."""
    status = json.loads(nas("status", "tiny", "--format", "json").stdout)
    assert status["state"] == "finished"
    assert status["trials"]["complete"] == 3
    assert status in json.loads(nas("list", "--format", "json").stdout)


def test_show_has_rungs(nas: Nas) -> None:
    """One trial with all that was measured, epoch by epoch."""
    shown = json.loads(nas("show", "tiny", "1", "--format", "json").stdout)
    assert shown["trial"] == 1
    assert [rung["epoch"] for rung in shown["rungs"]] == [3]
    assert shown["rungs"][0]["metrics"]["val_accuracy"] == shown["metrics"]["val_accuracy"]
    text = nas("show", "tiny", "1").stdout
    assert "layer0.operator" in text
    assert "val_accuracy" in text


@pytest.mark.parametrize("command", NAMED)
def test_rows_come_out_as_csv(command: str, nas: Nas) -> None:
    """A header and rows of equal length, nested values in dotted columns."""
    arguments = [command] if command == "list" else [command, "tiny"]
    rows = list(csv.reader(io.StringIO(nas(*arguments, "--format", "csv").stdout)))
    assert len(rows) >= 2
    assert {len(row) for row in rows} == {len(rows[0])}
    if command == "trials":
        assert {"metrics.val_accuracy", "decisions.layer0.operator"} <= set(rows[0])


@pytest.mark.parametrize("command", NAMED)
def test_text_names_the_study_or_its_trials(command: str, nas: Nas) -> None:
    """Text for people: no JSON, no blanks at the end of lines."""
    arguments = [command] if command == "list" else [command, "tiny"]
    text = nas(*arguments).stdout
    assert "val_accuracy" in text
    assert "{" not in text
    assert all(line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("arguments", [["status"], ["trials"], ["front"], ["show"], ["rename"]])
def test_an_unknown_study_is_a_usage_error(arguments: list[str], nas: Nas) -> None:
    """Status 2, one line, the nearest name; nothing on stdout."""
    more = {"show": ["0"], "rename": ["new"]}.get(arguments[0], [])
    result = nas(*arguments, "tinny", *more, code=2)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert 'did you mean "tiny"?' in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_unknown_trial_is_a_usage_error(nas: Nas) -> None:
    """The numbers that there are are said."""
    assert "3 trials" in nas("show", "tiny", "9", code=2).stderr


def test_a_missing_database_is_not_made(tmp_path: Path) -> None:
    """Reading commands do not leave an empty file behind."""
    result = run("list", "--storage", f"sqlite:///{tmp_path / 'none.db'}", code=2)
    assert "none.db" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_password_is_never_shown() -> None:
    """An unreachable database is named without it."""
    url = "postgresql://me:s3cret@127.0.0.1:1/nas"
    for arguments in (["list"], ["resume", "x"], ["gc"]):
        result = run(*arguments, "--storage", url, code=2)
        assert "s3cret" not in result.output
        assert "127.0.0.1" in result.output
    wrong = run("list", "--storage", "mysqll://me:s3cret@host/nas", code=2)
    assert "s3cret" not in wrong.output


def test_storage_comes_from_the_environment(study: dict[str, Any]) -> None:
    """NAS_STORAGE stands in for --storage."""
    result = run("status", "tiny", env={"NAS_STORAGE": study["storage"]})
    assert "finished" in result.stdout


def test_gc_finds_nothing_to_remove(nas: Nas) -> None:
    """Everything in the store of a living study is referred to."""
    counts = json.loads(nas("gc", "--dry-run", "--format", "json").stdout)
    assert counts["removed"] == 0
    assert counts["kept"] > 0
    assert "0 artifacts would be removed" in nas("gc", "--dry-run").stdout


def test_one_thing_has_one_name_in_all_rows(study: dict[str, Any], nas: Nas) -> None:
    """What prints the same trial, study or evaluation calls it and its parts the same."""

    def keys(*line: str) -> set[str]:
        value = json.loads(nas(*line, "--format", "json").stdout)
        return set(value[0] if isinstance(value, list) else value)

    trials, shown = keys("trials", "tiny"), keys("show", "tiny", "1")
    assert keys("front", "tiny") <= trials <= shown
    assert set(study["printed"]["front"][0]) == keys("front", "tiny")
    assert set(study["printed"]) - {"front"} <= keys("status", "tiny") == keys("list")
    rung = json.loads(nas("show", "tiny", "1", "--format", "json").stdout)["rungs"][0]
    assert set(rung) - {"epoch"} <= trials
