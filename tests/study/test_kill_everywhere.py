"""kill -9 of whatever takes part in a study, on both databases: none lost, none doubled, none
running afterwards, and with one worker the same trials in the same order.
"""

import multiprocessing
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import ForkProcess, SpawnProcess
from pathlib import Path
from typing import Any

import psutil
import pytest
from fakes.cluster import RayCluster
from fakes.killed import check_exact, go, known
from fakes.studies import fake_spec
from sqlalchemy import event
from sqlalchemy.engine import Engine

from nas.record import Progress
from nas.spec import StudySpec
from nas.store import Store
from nas.study import search

fork, spawn = multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")
TRIALS = 6
Kill = Callable[[], int]
Driver = ForkProcess | SpawnProcess


@pytest.fixture(params=["processes", "ray"])
def executor(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The table of an executor with one worker."""
    if request.param == "processes":
        return {"name": "processes"}
    cluster: RayCluster = request.getfixturevalue("ray_cluster")
    return {"name": "ray", "num_cpus": 0.5, "address": cluster.address}


@pytest.fixture
def kill_workers(executor: dict[str, Any], request: pytest.FixtureRequest) -> Kill:
    """Kills the workers of this process's executor; returns how many there were."""

    def workers() -> list[psutil.Process]:
        if executor["name"] == "ray":
            cluster: RayCluster = request.getfixturevalue("ray_cluster")
            return cluster.actors()
        return spawned(psutil.Process())

    def kill() -> int:
        found = workers()
        for process in found:
            process.kill()
        # Not by waiting for them: whose child has been waited for is never known to have ended.
        while any(map(_is_running, found)):
            time.sleep(0.01)
        return len(found)

    return kill


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def spawned(driver: psutil.Process) -> list[psutil.Process]:
    """The worker processes of a driver."""
    found = []
    for process in driver.children():
        with suppress(psutil.Error):  # it has just ended
            found += [process] * ("spawn_main" in " ".join(process.cmdline()))
    return found


def _spec(name: str, executor: dict[str, Any], trials: int = TRIALS, **evaluator: Any) -> StudySpec:
    return fake_spec(
        trials,
        "evolution",
        study={"name": name},
        evaluator=evaluator,
        executor=executor,
        halving={"epochs": [3], "reduction": 2},
    )


def _told(storage: str, name: str) -> list[tuple[Any, ...]]:
    return [
        (t.number, t.seq, t.state, t.architecture, t.epochs, dict(t.metrics))
        for t in Store(storage).trials(name)
    ]


def _reference(tmp_path: Path, trials: int = TRIALS) -> list[tuple[Any, ...]]:
    """The study that nobody was killed in."""
    storage = f"sqlite:///{tmp_path / 'whole.db'}"
    search(_spec("whole", {"name": "inline"}, trials), storage=storage, data_root=Path())
    return _told(storage, "whole")


def _driver(spec: StudySpec, storage: str, kill_at_commit: int | None = None) -> Driver:
    # What is forked from a process that has used Ray cannot use it.
    context = spawn if spec.executor.name == "ray" else fork
    child = context.Process(target=go, args=(spec, storage, kill_at_commit))
    child.start()
    return child


def test_a_driver_killed_at_each_commit(database: str, tmp_path: Path) -> None:
    """From the first commit of a study to its last; one resume each."""
    reference = _reference(tmp_path, 3)
    for kill_at_commit in range(100):
        name = f"driver-{kill_at_commit}"
        spec = _spec(name, {"name": "inline"}, 3)
        driver = _driver(spec, database, kill_at_commit)
        driver.join()
        if driver.exitcode == 0:
            break
        assert driver.exitcode == -signal.SIGKILL
        successor = _driver(spec, database)
        successor.join()
        assert successor.exitcode == 0, f"killed at commit {kill_at_commit}, resuming failed"
        check_exact(database, name, 3)
        assert _told(database, name) == reference
    assert kill_at_commit > 12


@pytest.mark.slow
def test_a_driver_on_ray_killed_at_each_commit_of_a_trial(
    database: str, ray_cluster: RayCluster, tmp_path: Path
) -> None:
    """Its actors are gone with it, and those of its successor do the rest."""
    reference = _reference(tmp_path, 3)
    executor = {"name": "ray", "num_cpus": 0.5, "address": ray_cluster.address}
    # After those that begin a study and a run: all that a trial commits.
    for kill_at_commit in range(4, 8):
        name = f"on-ray-{kill_at_commit}"
        spec = _spec(name, executor, 3)
        driver = _driver(spec, database, kill_at_commit)
        driver.join()
        assert driver.exitcode == -signal.SIGKILL
        successor = _driver(spec, database)
        successor.join()
        assert successor.exitcode == 0
        check_exact(database, name, 3)
        assert _told(database, name) == reference


def test_a_worker_killed_at_each_commit_of_a_trial(
    executor: dict[str, Any], kill_workers: Kill, database: str, tmp_path: Path
) -> None:
    """Reserved, proposed, at its rung, ended: whatever the worker is killed at, another goes on."""
    name = f"worker-{executor['name']}"
    commits = killed = 0
    began = False

    def count(_progress: Progress) -> None:
        nonlocal began
        began = True

    def kill(_connection: object) -> None:
        nonlocal commits, killed
        commits += began
        # A trial commits four times: each of them in another trial, with a worker in between.
        if commits in (5, 10, 15, 20):
            killed += kill_workers()

    log = tmp_path / "log"
    event.listen(Engine, "commit", kill)
    try:
        spec = _spec(name, executor, log=str(log))
        search(spec, storage=database, data_root=Path(), progress=count)
    finally:
        event.remove(Engine, "commit", kill)
    assert killed >= 4
    check_exact(database, name, TRIALS)
    assert _told(database, name) == _reference(tmp_path)


def _lines(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def _wait_for_lines(log: Path, wanted: int, driver: Driver) -> None:
    while _lines(log) < wanted and driver.exitcode is None:
        time.sleep(0.005)


@pytest.mark.slow
def test_twenty_drivers_killed_at_random_moments(database: str, tmp_path: Path) -> None:
    trials, log = 40, tmp_path / "log"
    spec = _spec("random-driver", {"name": "inline"}, trials, log=str(log), seconds=0.05)
    moments = random.Random(0)
    driver = _driver(spec, database)
    for _ in range(20):
        _wait_for_lines(log, _lines(log) + 1, driver)
        time.sleep(moments.uniform(0.0, 0.2))
        assert driver.exitcode is None
        driver.kill()
        driver.join()
        driver = _driver(spec, database)
    driver.join()
    assert driver.exitcode == 0
    check_exact(database, "random-driver", trials)
    assert _told(database, "random-driver") == _reference(tmp_path, trials)
    rungs = sum(len(Store(database).evaluations("random-driver", n)) for n in range(trials))
    assert rungs <= _lines(log) <= rungs + 20


@pytest.mark.slow
def test_twenty_workers_killed_at_random_moments(
    executor: dict[str, Any],
    ray_cluster: RayCluster,
    database: str,
    tmp_path: Path,
) -> None:
    """At work, idle, or while they start; never the same job's twice, which would be its fault."""
    trials, log, name = 60, tmp_path / "log", f"random-{executor['name']}"
    spec = _spec(name, executor, trials, log=str(log), seconds=0.05)
    moments = random.Random(1)
    driver = _driver(spec, database)
    assert driver.pid is not None
    for _ in range(20):
        _wait_for_lines(log, _lines(log) + 3, driver)
        time.sleep(moments.uniform(0.0, 0.2))
        assert driver.exitcode is None
        alive = ray_cluster.actors() if executor["name"] == "ray" else None
        for worker in alive if alive is not None else spawned(psutil.Process(driver.pid)):
            worker.kill()
    driver.join()
    assert driver.exitcode == 0
    check_exact(database, name, trials)
    assert _told(database, name) == _reference(tmp_path, trials)
    assert name in known(database)
