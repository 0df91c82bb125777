"""The command line as a process: help, speed, signals, pipes, faults."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest

from nas.cli import COMMANDS, main
from nas.cli._output import cell, csv_text, duration, flattened, size
from nas.cli._progress import Live
from nas.record import Progress, StudyStatus, TrialCounts, TrialRecord
from search_spaces import UsageError
from search_spaces.plugins import PACKAGES

from .conftest import STUDY, run

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
NAS = [sys.executable, "-m", "nas"]


def test_help_is_quick_and_light() -> None:
    """`nas --help` lists every command, within a second, without the heavy imports."""
    code = (
        "import sys\n"
        "from nas.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = 'torch ray optuna pandas pydantic numpy sqlalchemy rich'.split()\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    began = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True
    )
    took = time.monotonic() - began
    assert result.stdout.splitlines()[-1] == "[]"
    assert all(f"  {command} " in result.stdout for command in COMMANDS)
    assert "..." not in result.stdout.partition("Commands:")[2]
    assert took < 5  # alone it is a fifth of a second; the machine may be busy


@pytest.mark.parametrize("command", ["list", "status"])
def test_looking_at_a_study_imports_no_torch(command: str, study: dict[str, Any]) -> None:
    """What reads the database needs neither torch nor ray."""
    arguments = [command, "--storage", study["storage"]] + (["tiny"] if command != "list" else [])
    code = (
        "import sys\n"
        "from nas.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit as end: assert not end.code\n"
        "print([name for name in ('torch', 'ray', 'pandas') if name in sys.modules])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command: str) -> None:
    """Every command shows how it is called, and takes --debug."""
    text = run(command, "--help").stdout
    assert "Examples:" in text
    assert f"nas {command}" in text.partition("Examples:")[2]
    assert "--debug" in text


def test_version() -> None:
    """The package's."""
    from nas import __version__

    assert __version__ in run("--version").stdout


@pytest.mark.parametrize("arguments", [["serch", "x"], ["plugins", "opertor"], ["--verbose"]])
def test_misspelled_words_are_usage_errors(arguments: list[str]) -> None:
    """Status 2, without a traceback."""
    result = run(*arguments, code=2)
    assert "Traceback" not in result.output
    assert "did you mean" in result.stderr.lower() or "No such option" in result.stderr


def test_plugins_lists_each_with_options() -> None:
    """Text has one line each; JSON has types and defaults."""
    text = run("plugins", "strategy").stdout
    assert {"evolution", "nsga2", "random", "tpe"} <= set(text.split())
    assert "population: an integer >= 1" in text
    rows = json.loads(run("plugins", "dataset", "--format", "json").stdout)
    planetoid = next(row for row in rows if row["name"] == "planetoid")
    assert planetoid["options"]["subset"]["default"] == "Cora"
    assert "MIT license" in planetoid["license"]
    assert [row["name"] for row in rows if not row["license"]] == ["graph_file"], (
        "its owner's matter"
    )
    assert "normalize" in run("plugins", "dataset").stdout
    told = run("plugins", "--help").stdout
    assert all(kind in told for kind in PACKAGES)
    assert "neighbors: a list of integers >= 0" in run("plugins", "extension").stdout


@pytest.mark.parametrize(
    "arrives", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_an_interrupted_search_is_resumed(arrives: signal.Signals, tmp_path: Path) -> None:
    """A signal closes trials cleanly: status 130, the line that resumes, and it does."""
    (tmp_path / "x.toml").write_text(STUDY)
    options = ["--trials", "500", "--set", "evaluator.epochs=40", "--set", "space.width=[4,8,16]"]
    options += ["--set", "space.depth=[1,2,3]", "--batch", "1"]
    process = subprocess.Popen(
        [*NAS, "search", "x.toml", *options],
        cwd=tmp_path,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    seen = ""
    while "complete" not in seen and process.poll() is None:
        seen += process.stderr.readline()
    process.send_signal(arrives)
    out, rest = process.communicate(timeout=60)
    assert process.returncode == 130, seen + rest
    assert out == ""
    assert "interrupted; resume with: nas resume x" in rest
    assert "Traceback" not in rest
    storage = f"sqlite:///{tmp_path / 'nas.db'}"
    before = json.loads(run("status", "x", "--storage", storage, "--format", "json").stdout)
    assert before["state"] == "stopped"
    assert before["trials"]["running"] == 0
    ended = before["trials"]["complete"] + 1
    resumed = run("resume", "x", "--trials", str(ended), "--storage", storage, "--format", "json")
    assert json.loads(resumed.stdout)["trials"]["complete"] == ended


def test_a_reader_that_leaves_is_no_error(study: dict[str, Any]) -> None:
    """`nas list | head -1`: neither a traceback nor a failure."""
    process = subprocess.Popen(
        [*NAS, "list", "--storage", study["storage"]],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(60) == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["list", "trials", "--version"])
@pytest.mark.parametrize("to", ["&-", "/dev/full"])
def test_what_stdout_does_not_take_is_said(
    to: str, command: str, unbuffered: str, study: dict[str, Any]
) -> None:
    """One line, and a status that scripts see: no fault of the program."""
    line = [*NAS, command]
    if command != "--version":
        line += ["--format", "json", "--storage", study["storage"]]
        line += ["tiny"] if command == "trials" else []
    if to == "/dev/full" and not Path(to).exists():
        pytest.skip("there is no device that is full here")
    result = subprocess.run(
        ["sh", "-c", f'exec "$@" >{to}', "sh", *line],
        capture_output=True,
        text=True,
        env=ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered},
    )
    why = "No space left on device" if to == "/dev/full" else "Bad file descriptor"
    assert (result.returncode, result.stderr) == (1, f"error: stdout cannot be written: {why}\n")


def test_a_closed_stdout_is_no_hindrance_where_nothing_is_said(tmp_path: Path) -> None:
    """`nas init >&-` writes its file, and no file that is opened becomes stdout."""
    result = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *NAS, "init", str(tmp_path / "study.toml")],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert result.returncode == 0, result.stderr
    assert "[study]" in (tmp_path / "study.toml").read_text()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("to", ["&-", "/dev/full"])
def test_a_stderr_that_takes_nothing_fails_nothing(
    to: str, unbuffered: str, tmp_path: Path
) -> None:
    """A search goes on, in processes too, and is resumed; what fails has the status that it has."""
    if to == "/dev/full" and not Path(to).exists():
        pytest.skip("there is no device that is full here")
    (tmp_path / "x.toml").write_text(STUDY)

    def status(*line: str) -> int:
        return subprocess.run(
            ["sh", "-c", f'exec "$@" 2>{to}', "sh", *NAS, *line],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            env=ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered},
        ).returncode

    assert status("search", "x.toml", "--workers", "2") == 0
    assert status("resume", "x", "--trials", "4") == 0
    assert status("rename", "x", "y") == 0
    assert status("show", "y", "99") == 2
    stored = run("status", "y", "--storage", f"sqlite:///{tmp_path / 'nas.db'}", "--format", "json")
    assert json.loads(stored.stdout)["trials"]["complete"] == 4


class Broken:
    """Commands that fail in each of the ways there are."""

    @staticmethod
    def usage() -> None:
        raise UsageError("expected this, got that")

    @staticmethod
    def fault() -> None:
        raise RuntimeError("two\nlines")

    @staticmethod
    def stopped() -> None:
        raise KeyboardInterrupt

    @staticmethod
    def failed() -> None:
        from nas.budget import StudyFailedError

        raise StudyFailedError("10 candidates in a row failed")


@pytest.mark.parametrize(
    ("how", "code", "line"),
    [
        ("usage", 2, "error: expected this, got that\n"),
        (
            "fault",
            1,
            f"error: RuntimeError: two lines (at {__file__}:LINE); --debug shows the traceback\n",
        ),
        ("stopped", 130, "interrupted\n"),
        ("failed", 1, "error: 10 candidates in a row failed\n"),
    ],
)
def test_every_exception_becomes_a_line_and_a_status(
    how: str, code: int, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback reaches a user, unless asked for."""
    from nas.cli import studies

    def listing(storage: str, fmt: str) -> None:
        getattr(Broken, how)()

    monkeypatch.setattr(studies.list_command, "callback", listing)
    result = run("list", code=code)
    said = re.sub(r"\.py:\d+", ".py:LINE", result.stderr)
    assert (result.stdout, said) == ("", line)
    debug = run("list", "--debug", code=code)
    assert "Traceback" in debug.stderr
    assert "test_shell.py" in debug.stderr


def progress(number: int, failed: bool = False, target: int | None = 9) -> Progress:
    failure = {"kind": "divergence", "message": "the loss is not finite"} if failed else None
    state = "failed" if failed else "complete"
    trial = TrialRecord(number, state, None, {}, 3, 1.25, False, failure, 0.0, 1, None)
    status = StudyStatus(
        "s",
        "running",
        "",
        {"val_accuracy": "maximize"},
        target,
        TrialCounts(complete=number + 1),
        {"val_accuracy": 0.5},
        1.0,
        "",
        "",
        "",
    )
    return Progress(status, trial, 12.0, 75.0)


def test_plain_progress_is_a_line_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    """Trials that end faster are counted in the next line."""
    now = 0.0
    with Live(is_terminal=False, clock=lambda: now) as live:
        live(progress(0))
        live(progress(1))
        now = 1.5
        live(progress(2, failed=True, target=None))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "trial 0 complete in 1.2 s; 1/9 trials, best val_accuracy 0.5000, 12.0 trials/min, "
        "0 failed, 1 min 15 s left",
        "trial 2 failed: the loss is not finite; 3 trials, best val_accuracy 0.5000, "
        "12.0 trials/min, 0 failed, 1 min 15 s left",
    ]


def test_a_bar_on_a_terminal_leaves_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """The bar is drawn on stderr; a message appears as it is, brackets included."""
    from dataclasses import replace

    with Live(is_terminal=True) as live:
        live(replace(progress(0), message="dataset: [bold]x"))
        live.count(1, 4)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "[bold]x" in captured.err


def test_values_for_people() -> None:
    """Four digits behind the point, thousands apart, units."""
    assert [cell(v) for v in (0.5, 12345, 12345.0, 1e-7, True, None, "x")] == [
        "0.5000",
        "12,345",
        "12,345",
        "1e-07",
        "yes",
        "",
        "x",
    ]
    assert [duration(s) for s in (59.4, 61, 7300)] == ["59 s", "1 min 1 s", "2 h 1 min"]
    assert [size(n) for n in (999, 1200, 5 * 10**12)] == ["999 B", "1.2 kB", "5.0 TB"]


def test_csv_has_the_union_of_columns() -> None:
    """Rows may have different keys; lists are JSON, nothing is empty."""
    rows = [{"a": 1, "m": {"x": 0.5}}, {"a": None, "l": [1, 2]}]
    assert csv_text(rows) == 'a,m.x,l\n1,0.5,\n,,"[1, 2]"\n'
    assert flattened({"a": {"b": {"c": 1}}}) == {"a.b.c": 1}
    assert csv_text([]) == ""


def test_commands_are_click_commands() -> None:
    """The table of commands is true."""
    context = click.Context(main)
    assert all(isinstance(main.get_command(context, name), click.Command) for name in COMMANDS)  # type: ignore[attr-defined]
