"""`nas front --plot`: a front as people see it, at a terminal and in a pipe."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import STUDY, Nas, run

TWO = 'objectives = { val_accuracy = "maximize", params = "minimize" }'
THREE = 'objectives = { val_accuracy = "maximize", params = "minimize", macs = "minimize" }'


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The database of a study with one objective, and of one with three."""
    folder = tmp_path_factory.mktemp("others")
    storage = f"--storage=sqlite:///{folder / 'nas.db'}"
    for name, objectives in (("one", 'objectives = { params = "minimize" }'), ("three", THREE)):
        (folder / f"{name}.toml").write_text(STUDY.replace(TWO, objectives))
        run("search", str(folder / f"{name}.toml"), storage, "--trials", "5")
    return storage


def test_every_trial_has_its_point(nas: Nas) -> None:
    """Those of the front are marked; the list follows, as it is without a plot."""
    shown = nas("front", "tiny", "--plot").stdout
    plot, _, rest = shown.partition("\n\n")
    assert plot.splitlines()[0].strip() == "val_accuracy (maximize) by params (minimize)"
    assert rest == nas("front", "tiny").stdout
    body = [line for line in plot.splitlines() if line.startswith("│")]
    on_front = len(json.loads(nas("front", "tiny", "--format", "json").stdout))
    trials = len(json.loads(nas("trials", "tiny", "--format", "json").stdout))
    marked, dominated = (sum(line.count(mark) for line in body) for mark in "●·")
    assert 1 <= marked <= on_front
    assert marked + dominated <= trials
    assert "dominated" in plot if trials > on_front else "dominated" not in plot
    assert "\x1b" not in shown


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_plot_is_as_wide_as_was_said(columns: int, nas: Nas) -> None:
    """COLUMNS holds; without a terminal it is 80."""
    env = {"COLUMNS": "" if columns == 80 else str(columns)}
    plot = nas("front", "tiny", "--plot", env=env).stdout.partition("\n\n")[0]
    widest = max(map(len, plot.splitlines()))
    assert columns - 10 <= widest <= columns


def test_other_axes(nas: Nas) -> None:
    """Any two metrics; what is mistaken is said in one line, with the nearest name."""
    shown = nas("front", "tiny", "--plot", "--axes", "macs, val_loss").stdout
    assert shown.lstrip().startswith("val_loss by macs\n")
    for arguments, said in (
        (["--plot", "--axes", "mac,val_loss"], 'no trial has "mac"; did you mean "macs"?'),
        (["--plot", "--axes", "macs"], 'expected two metrics such as params,val_accuracy, got "'),
        (["--axes", "macs,params"], "add --plot"),
        (["--plot", "--format", "csv"], "--plot is text, and --format is csv"),
    ):
        refused = nas("front", "tiny", *arguments, code=2)
        assert said in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert refused.stdout == ""


def test_one_objective_is_the_best_so_far(other: str) -> None:
    """Steps that never rise where less is sought, to the best that there is."""
    shown = run("front", "one", "--plot", other).stdout
    assert shown.lstrip().startswith("params (minimize) by trials ended\n")
    trials = json.loads(run("trials", "one", other, "--format", "json").stdout)
    least = min(trial["metrics"]["params"] for trial in trials)
    assert f"best so far, {least:.4f}" in shown
    rows = [line for line in shown.splitlines() if line.startswith("│")]
    heights = [
        min(place for place, row in enumerate(rows) if row[x] == "•")
        for x in range(1, len(rows[0].rstrip("│ ")))
        if any(row[x : x + 1] == "•" for row in rows)
    ]
    assert heights == sorted(heights)


def test_of_three_objectives_two_are_drawn(other: str) -> None:
    """And it is said."""
    shown = run("front", "three", "--plot", other).stdout
    assert "val_accuracy (maximize) by params (minimize)" in shown
    assert "two of 3 objectives are drawn" in shown


def at_terminal(storage: str, **environment: str) -> str:
    """What the command writes to a terminal."""
    ours, theirs = pty.openpty()
    env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"} | environment
    command = [sys.executable, "-m", "nas", "front", "tiny", "--plot", "--storage", storage]
    with subprocess.Popen(command, stdout=theirs, env=env, cwd=Path(__file__).parents[2]) as child:
        os.close(theirs)
        written = b""
        while True:
            try:
                more = os.read(ours, 65_536)
            except OSError:  # the other end is closed
                break
            if not more:
                break
            written += more
    os.close(ours)
    assert child.returncode == 0
    return written.decode()


def test_colors_are_for_terminals(study: dict[str, Any]) -> None:
    """Unless NO_COLOR or a dumb terminal says otherwise."""
    assert "\x1b[36m●" in at_terminal(study["storage"])
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        plain = at_terminal(study["storage"], **environment)
        assert "\x1b" not in plain
        assert "●" in plain


def test_ascii_where_there_is_nothing_else(study: dict[str, Any]) -> None:
    """A terminal of another encoding gets the same plot in its own letters."""
    shown = at_terminal(study["storage"], PYTHONIOENCODING="ascii", NO_COLOR="1")
    plain = shown.partition("\r\n\r\n")[0]
    assert plain.isascii()
    assert "+-----" in plain
    assert "|" in plain
