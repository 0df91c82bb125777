"""The program itself, with real training in worker processes, killed with -9."""

import json
import os
import random
import signal
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


def _kill_during(command: list[str], seconds: float, folder: Path) -> int | None:
    """Run, kill the driver alone after some seconds, and see its workers die; the exit status."""
    driver = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        return driver.wait(seconds)
    except subprocess.TimeoutExpired:
        workers = psutil.Process(driver.pid).children(recursive=True)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert not alive, f"workers outlive their driver: {alive}"
        return None


def _json(folder: Path, *arguments: str) -> Any:
    command = nas(*arguments, "--format", "json")
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_search_killed_and_resumed(kills: int, tmp_path: Path) -> None:
    """Two workers: exactly the trials asked for, none lost, none twice, none left running."""
    (tmp_path / "real.toml").write_text(STUDY)
    moments = random.Random(kills)
    done = _kill_during(nas("search", "real.toml"), 9.0, tmp_path)
    for _ in range(kills - 1):
        if done is None:
            done = _kill_during(nas("resume", "real"), moments.uniform(5, 9), tmp_path)
    started = time.monotonic()
    subprocess.run(nas("resume", "real"), cwd=tmp_path, check=True, capture_output=True)
    assert time.monotonic() - started < 300
    trials = _json(tmp_path, "trials", "real")
    assert [t["number"] for t in trials] == list(range(12))
    assert {t["state"] for t in trials} == {"complete"}
    assert len({t["architecture"] for t in trials}) == 12
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
