"""One Ctrl-C or SIGTERM finishes or checkpoints what runs; a second one stops at once."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fakes.studies import fake_spec

from nas.record import TrialRecord
from nas.spec import StudySpec
from nas.store import Store
from nas.store.engine import open_engine
from nas.study import resume, search

fork = multiprocessing.get_context("fork")
TRIALS = 4
EPOCH_SECONDS = 0.04


def _spec(log: Path, executor: str, trials: int = TRIALS) -> StudySpec:
    return fake_spec(
        trials,
        "evolution",
        evaluator={"name": "fakes.listening", "log": str(log), "seconds": EPOCH_SECONDS},
        executor={"name": executor},
        halving={"epochs": [10], "reduction": 2},
    )


def _search(spec: StudySpec, storage: str) -> None:
    try:
        search(spec, storage=storage, data_root=Path())
    except KeyboardInterrupt:
        sys.exit(130)


def _driver(spec: StudySpec, storage: str) -> ForkProcess:
    child = fork.Process(target=_search, args=(spec, storage))
    child.start()
    return child


def _lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def _until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _told(trials: list[TrialRecord]) -> list[tuple[Any, ...]]:
    return [(t.number, t.seq, t.state, t.architecture, dict(t.metrics)) for t in trials]


@pytest.mark.parametrize("executor", ["inline", "processes"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_keeps_what_was_trained(
    executor: str, number: signal.Signals, storage: str, tmp_path: Path
) -> None:
    """Stopped in the middle of a rung: no epoch is trained twice, and the record is that of a
    study that was never stopped.
    """
    whole, log = f"sqlite:///{tmp_path / 'whole.db'}", tmp_path / "log"
    search(_spec(tmp_path / "other", "inline"), storage=whole, data_root=Path())
    spec = _spec(log, executor)
    driver = _driver(spec, storage)
    _until(lambda: len(_lines(log)) >= 17)  # in the second rung of a trial, or the first of another
    assert driver.pid is not None
    os.kill(driver.pid, number)
    driver.join()
    assert driver.exitcode == 130
    status = Store(storage).status("fake")
    assert (status.state, status.reason, status.trials.running) == ("stopped", "interrupted", 0)
    assert status.trials.waiting == 1
    with open_engine(storage, create=False).connect() as connection:
        kept = connection.scalar(
            sa.text("select checkpoint from nas_trials where state = 'waiting'")
        )
        twins = set(connection.scalars(sa.text("select state from trials")))
    assert json.loads(kept)["epoch"] not in (0, 10, 40)
    assert twins <= {"WAITING", "COMPLETE", "PRUNED"}
    assert resume("fake", storage=storage, data_root=Path()).state == "finished"
    assert len(set(_lines(log))) == len(_lines(log))
    assert _told(Store(storage).trials("fake")) == _told(Store(whole).trials("fake"))
    ended = Store(storage).trials("fake")
    assert [t.seconds for t in ended] == pytest.approx([t.epochs * EPOCH_SECONDS for t in ended])


def test_what_is_killed_is_trained_again_from_its_rung(storage: str, tmp_path: Path) -> None:
    """Control: without a word before, the epochs since the last rung are lost."""
    log = tmp_path / "log"
    driver = _driver(_spec(log, "inline"), storage)
    _until(lambda: len(_lines(log)) >= 17)
    driver.kill()
    driver.join()
    resume("fake", storage=storage, data_root=Path())
    assert len(set(_lines(log))) < len(_lines(log))


def test_a_second_signal_stops_at_once(storage: str, tmp_path: Path) -> None:
    """A candidate that does not listen is waited for; whoever asks again waits no more."""
    log = tmp_path / "log"
    driver = _driver(fake_spec(3, evaluator={"log": str(log), "seconds": 60.0}), storage)
    _until(lambda: bool(_lines(log)))
    assert driver.pid is not None
    os.kill(driver.pid, signal.SIGINT)
    driver.join(1.0)
    assert driver.exitcode is None
    os.kill(driver.pid, signal.SIGINT)
    driver.join(20.0)
    assert driver.exitcode == 130
    status = Store(storage).status("fake")
    assert (status.state, status.trials.waiting, status.trials.ended) == ("stopped", 1, 0)


STUDY = """
[study]
name = "real"
objectives = { val_accuracy = "maximize" }
[space]
name = "gnn"
depth = [2]
operators = ["gcn", "gat"]
width = [16]
[dataset]
name = "digits_knn"
[evaluator]
name = "training"
epochs = 300
seeds = 2
[budget]
trials = 3
"""


def _nas(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "nas", *arguments]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _trials(folder: Path) -> list[Any]:
    out, _ = _nas(folder, "trials", "real", "--format", "json").communicate()
    kept = ("trial", "state", "architecture", "metrics", "epochs")
    rows = [{key: trial[key] for key in kept} for trial in json.loads(out)]
    for row in rows:
        row["metrics"].pop("train_seconds", None)
    return rows


def test_real_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """`nas search` terminated twice in the middle of training, and resumed: the same numbers."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for folder in (whole, stopped):
        folder.mkdir()
        (folder / "real.toml").write_text(STUDY)
    assert _nas(whole, "search", "real.toml").wait() == 0
    kept = 0
    for command in (("search", "real.toml"), ("resume", "real")):
        driver = _nas(stopped, *command)
        assert driver.stderr is not None
        while "so far" in driver.stderr.readline():  # signs of life
            pass
        # That was the dataset: it is about to train.
        time.sleep(1.5)
        driver.send_signal(signal.SIGTERM)
        _, said = driver.communicate(timeout=60)
        if driver.returncode == 0:  # it was done before the signal came
            break
        assert driver.returncode == 130
        assert "resume with: nas resume real" in said
        with open_engine(f"sqlite:///{stopped / 'nas.db'}", create=False).connect() as connection:
            kept += int(connection.scalar(sa.text("select count(checkpoint) from nas_trials")) or 0)
    assert kept >= 1
    assert _nas(stopped, "resume", "real").wait() == 0
    assert _trials(stopped) == _trials(whole)
