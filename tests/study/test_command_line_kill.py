"""The program itself, with real training in worker processes, killed with -9."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

STUDY = """
[study]
name = "real"
objectives = { val_accuracy = "maximize", params = "minimize" }
[space]
name = "gnn"
depth = [1, 2]
operators = ["gcn", "sage", "gat"]
width = [8, 16]
[dataset]
name = "digits_knn"
[evaluator]
name = "training"
epochs = 12
[budget]
trials = 12
[executor]
name = "processes"
workers = 2
"""


def nas(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "nas", *arguments]


def _ended(folder: Path) -> int:
    """How many trials the database says have ended."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{folder}/nas.db?mode=ro", uri=True)) as db:
            query = "select count(*) from nas_trials where state = 'complete'"
            return int(db.execute(query).fetchone()[0])
    except sqlite3.OperationalError:  # not made yet
        return 0


def _kill_during(command: list[str], more: int, folder: Path) -> bool:
    """Run until so many more trials have ended, and kill the driver alone a moment later.

    Its workers must die too. Returns whether it was killed, or had ended by then.
    """
    before = _ended(folder)
    driver = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while _ended(folder) < before + more and driver.poll() is None:
        time.sleep(0.02)
    time.sleep(random.Random(before).uniform(0, 0.5))
    if driver.poll() is not None:
        assert driver.returncode == 0
        return False
    workers = psutil.Process(driver.pid).children(recursive=True)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive, f"workers outlive their driver: {alive}"
    return True


def _json(folder: Path, *arguments: str) -> Any:
    command = nas(*arguments, "--format", "json")
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("kills", "trials"), [(2, 12), pytest.param(10, 60, marks=pytest.mark.slow)]
)
def test_search_killed_and_resumed(kills: int, trials: int, tmp_path: Path) -> None:
    """Two workers: exactly the trials asked for, none lost, none twice, none left running."""
    (tmp_path / "real.toml").write_text(STUDY.replace("trials = 12", f"trials = {trials}"))
    assert _kill_during(nas("search", "real.toml"), 1, tmp_path)
    for _ in range(kills - 1):
        assert _kill_during(nas("resume", "real"), 1, tmp_path)
    subprocess.run(nas("resume", "real"), cwd=tmp_path, check=True, capture_output=True)
    found = _json(tmp_path, "trials", "real")
    assert [t["trial"] for t in found] == list(range(trials))
    assert {t["state"] for t in found} == {"complete"}
    assert len({t["architecture"] for t in found}) == trials
    status = _json(tmp_path, "status", "real")
    assert status["trials"]["running"] == status["trials"]["waiting"] == 0


def test_ctrl_c_prints_the_line_that_resumes(tmp_path: Path) -> None:
    (tmp_path / "real.toml").write_text(STUDY)
    driver = subprocess.Popen(
        nas("search", "real.toml"), cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    assert driver.stderr is not None
    said = []
    for line in driver.stderr:
        said.append(line)
        if "complete" in line:
            break
    driver.send_signal(signal.SIGINT)
    said.append(driver.stderr.read())
    assert driver.wait(60) == 130
    assert "nas resume real" in "".join(said)
    status = _json(tmp_path, "status", "real")
    assert status["state"] == "stopped"
    assert status["trials"]["running"] == 0
    assert status["trials"]["complete"] >= 1
