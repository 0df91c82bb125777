"""A database that goes away for a while, and commits of which nobody knows: nothing is lost."""

import random
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from fakes import space
from fakes.postgres import PostgresServer
from fakes.studies import fake_spec
from sqlalchemy import event
from sqlalchemy.engine import Engine

from evaluators import InfrastructureError
from nas.record import Progress, TrialRecord
from nas.spec import StudySpec
from nas.store import Store, StoreFailedError
from nas.store.engine import UnreachableError
from nas.store.ledger import Ledger
from nas.store.patience import Patience
from nas.store.twin import Twin
from nas.study import resume, search

TRIALS = 12


def _told(trials: list[TrialRecord]) -> list[tuple[Any, ...]]:
    return [(t.number, t.seq, t.state, t.architecture, dict(t.metrics)) for t in trials]


def _spec(name: str, trials: int = TRIALS, **evaluator: Any) -> StudySpec:
    return fake_spec(
        trials,
        "evolution",
        study={"name": name},
        evaluator=evaluator,
        halving={"epochs": [3], "reduction": 2},
    )


def _error(connection: sa.Connection) -> sa.exc.OperationalError:
    """What is raised when a connection breaks."""
    if connection.dialect.name == "sqlite":
        busy = sqlite3.OperationalError("database is locked")
        busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
        return sa.exc.OperationalError("COMMIT", {}, busy)
    return sa.exc.OperationalError("COMMIT", {}, psycopg.errors.AdminShutdown("going down"))


class LosesCommits:
    """Breaks the connection in some commits; before, or after they came through."""

    def __init__(self, came_through: bool, share: float) -> None:
        self.came_through, self.share = came_through, share
        self.random = random.Random(0)
        self.is_armed = False
        self.lost = 0

    def arm(self, _progress: Progress) -> None:
        """Once the driver has begun: whoever begins without a database is told so at once."""
        self.is_armed = True

    def __call__(self, connection: sa.Connection) -> None:
        if not self.is_armed or self.random.random() > self.share:
            return
        self.lost += 1
        raw = connection.connection
        raw.commit() if self.came_through else raw.rollback()
        raise _error(connection)


@pytest.mark.parametrize("came_through", [True, False])
def test_commits_that_seem_lost_take_place_once(
    came_through: bool, database: str, storage: str, tmp_path: Path
) -> None:
    """A third of them break: the study is the one in which none did."""
    log, name = tmp_path / "log", f"lost-{came_through}"
    search(_spec(name), storage=f"sqlite:///{tmp_path / 'whole.db'}", data_root=Path())
    loses = LosesCommits(came_through, share=0.33)
    event.listen(Engine, "commit", loses)
    try:
        search(_spec(name, log=str(log)), storage=database, data_root=Path(), progress=loses.arm)
    finally:
        event.remove(Engine, "commit", loses)
    assert loses.lost >= 10
    whole = Store(f"sqlite:///{tmp_path / 'whole.db'}").trials(name)
    assert _told(Store(database).trials(name)) == _told(whole)
    lines = log.read_text().splitlines()
    assert len(lines) == len(set(lines))


def test_a_ledger_that_forgets_its_steps_is_found_out(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: without looking whether a commit came through, the study is another one."""
    from nas.store.study_run import StudyRun

    def careless(self: StudyRun, body: Callable[..., Any]) -> Any:
        def attempt() -> Any:
            with self.store.writing() as connection:
                return body(connection, self._locked(connection))

        return self.patience(attempt)

    monkeypatch.setattr(StudyRun, "write", careless)
    loses = LosesCommits(True, share=0.33)
    event.listen(Engine, "commit", loses)
    try:
        with suppress(Exception):  # what is written twice may break
            search(_spec("careless"), storage=storage, data_root=Path(), progress=loses.arm)
    finally:
        event.remove(Engine, "commit", loses)
    trials = Store(storage).trials("careless")
    assert [(t.number, t.seq) for t in trials] != [(n, n) for n in range(TRIALS)]


def _lines(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_the_server_restarts_twice_during_a_study(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver waits, says so, and goes on: the exact count, each trial run once."""
    monkeypatch.setenv("NAS_ARTIFACTS", str(tmp_path / "artifacts"))
    log, said = tmp_path / "log", list[str]()

    def restart() -> None:
        for lines, mode in ((8, "fast"), (20, "immediate")):
            while _lines(log) < lines:
                time.sleep(0.01)
            postgres_server.stop(mode)
            time.sleep(1.5)
            postgres_server.start()

    thread = threading.Thread(target=restart)
    thread.start()
    spec = fake_spec(40, study={"name": "restarted"}, evaluator={"log": str(log), "seconds": 0.03})
    status = search(
        spec,
        storage=postgres_server.url,
        data_root=Path(),
        progress=lambda p: said.append(p.message) if p.message else None,
    )
    thread.join()
    assert (status.state, status.trials.complete) == ("finished", 40)
    trials = Store(postgres_server.url).trials("restarted")
    assert [t.number for t in trials] == list(range(40))
    assert len(set(log.read_text().splitlines())) == _lines(log) == 40
    assert sum("waiting up to" in text for text in said) == 2
    assert sum("nothing is lost" in text for text in said) == 2
    assert not any("secret" in text for text in said)


@pytest.mark.parametrize("seconds", [8, pytest.param(30, marks=pytest.mark.slow)])
def test_a_locked_database_is_waited_for(seconds: int, storage: str, tmp_path: Path) -> None:
    """Another program holds the write lock: the study says what it waits for, and goes on."""
    said, log = list[str](), tmp_path / "log"

    def lock() -> None:
        while _lines(log) < 4:
            time.sleep(0.01)
        other = sqlite3.connect(tmp_path / "nas.db", timeout=30, isolation_level=None)
        other.execute("begin immediate")
        time.sleep(seconds)
        other.execute("rollback")
        other.close()

    thread = threading.Thread(target=lock)
    thread.start()
    began = time.monotonic()
    status = search(
        _spec("locked", log=str(log), seconds=0.01),
        storage=storage,
        data_root=Path(),
        progress=lambda p: said.append(p.message) if p.message else None,
    )
    thread.join()
    assert time.monotonic() - began > seconds
    assert status.trials.ended == TRIALS
    assert any("database is locked; waiting up to" in text for text in said)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("no right to mount a small file system here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _enlarge(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=100m", str(folder)], check=True)


def test_a_full_disk_under_the_database(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clear message; with room again it goes on from there, and is the study that never was
    without.
    """
    monkeypatch.setenv("NAS_ARTIFACTS", str(tmp_path / "artifacts"))
    storage, whole = f"sqlite:///{small_disk / 'nas.db'}", f"sqlite:///{tmp_path / 'whole.db'}"
    trials = 300
    search(_spec("full", trials), storage=whole, data_root=Path())
    with pytest.raises(StoreFailedError, match="its disk is full") as caught:
        search(_spec("full", trials), storage=storage, data_root=Path())
    assert "nothing that is recorded is lost" in str(caught.value)
    assert "nas resume" in str(caught.value)
    _enlarge(small_disk)
    ended = Store(storage).status("full").trials.ended
    assert 0 < ended < trials
    resume("full", storage=storage, data_root=Path())
    assert _told(Store(storage).trials("full")) == _told(Store(whole).trials("full"))


def test_a_full_disk_under_the_artifacts(
    small_disk: Path, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No candidate's fault: it is tried again, then the study stops and says why."""
    monkeypatch.setenv("NAS_ARTIFACTS", str(small_disk))
    (small_disk / "other").write_bytes(b"0" * 450_000)
    with pytest.raises(InfrastructureError, match="No space left"):
        search(_spec("full", 300), storage=storage, data_root=Path())
    status = Store(storage).status("full")
    assert status.state == "stopped"
    assert "No space left" in status.reason
    assert status.trials.failed == 0
    _enlarge(small_disk)
    resumed = resume("full", storage=storage, data_root=Path())
    assert (resumed.trials.ended, resumed.trials.failed) == (300, 0)


def test_an_outage_excuses_who_could_not_beat(storage: str, tmp_path: Path) -> None:
    """A driver that has waited for the database itself does not take the others for dead."""
    search(_spec("away", 2), storage=storage, data_root=Path())
    now = 0.0
    patience = Patience(lambda _: None, clock=lambda: now, sleep=lambda _: None)
    store = Store(storage)
    twin = Twin(store, "away", space.build(None), {"val_accuracy": "maximize"})
    other = Ledger(store, "away", twin, Patience(print))
    other.reserve(1, 3)
    mine = Ledger(store, "away", twin, patience, join=True)
    with store.writing() as connection:
        silent = sa.text("update nas_runs set beat = beat - 140 where id = :id")
        connection.execute(silent, {"id": other.run_id})
    assert mine.company().has_orphans
    attempts = 0

    def away_for_two_minutes() -> None:
        nonlocal attempts, now
        attempts += 1
        if attempts < 5:
            now += 30.0
            raise UnreachableError("the server is gone", "gone")

    patience(away_for_two_minutes)
    assert patience.excuse_seconds == 90.0  # from the first failure on
    assert not mine.company().has_orphans
    now += 61.0
    assert mine.company().has_orphans
