"""Several drivers on one study: exactly the trials wanted, each run once, whoever comes or goes."""

import multiprocessing
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fakes.killed import check_exact
from fakes.studies import fake_spec

from nas.spec import StudySpec
from nas.store import Store, StoreError
from nas.store.engine import open_engine
from nas.study import resume, search, work

fork = multiprocessing.get_context("fork")
NAME = "shared"


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Of the study: all tests share one server."""
    return re.sub(r"\W+", "-", request.node.name).strip("-")


def _spec(name: str, trials: int, strategy: str = "random", **tables: Any) -> StudySpec:
    return fake_spec(trials, strategy, study={"name": name}, **tables)


def _child(target: Callable[..., Any], *arguments: Any, **named: Any) -> ForkProcess:
    child = fork.Process(target=target, args=arguments, kwargs=named)
    child.start()
    return child


def _search(spec: StudySpec, storage: str) -> None:
    search(spec, storage=storage, data_root=Path())


def _work(name: str, storage: str) -> None:
    """Join as soon as the study is there."""
    while True:
        try:
            work(name, storage=storage, data_root=Path())
            return
        except StoreError as error:
            if not re.search("no study|no studies|no database", str(error)):
                raise
            time.sleep(0.01)


def _joined(children: Sequence[ForkProcess]) -> list[int | None]:
    for child in children:
        child.join()
    return [child.exitcode for child in children]


def _runs(storage: str, name: str) -> Counter[str]:
    """How many trials each run has ended."""
    with open_engine(storage, create=False).connect() as connection:
        query = sa.text(
            "select t.run_id from nas_trials t join nas_studies s on s.id = t.study_id "
            "where s.name = :name"
        )
        return Counter(connection.scalars(query, {"name": name}))


def test_four_drivers_make_200_trials(database: str, name: str, tmp_path: Path) -> None:
    """Exactly, each architecture once, and every driver has its part."""
    log = tmp_path / "log"
    spec = _spec(name, 200, "evolution", evaluator={"log": str(log), "seconds": 0.01})
    first = _child(_search, spec, database)
    others = [_child(_work, name, database) for _ in range(3)]
    assert _joined([first, *others]) == [0, 0, 0, 0]
    check_exact(database, name, 200)
    lines = log.read_text().splitlines()
    assert len(lines) == len(set(lines)) == 200
    shares = _runs(database, name)
    assert len(shares) == 4
    assert min(shares.values()) >= 10


@pytest.mark.parametrize("mode", ["successive", "asynchronous"])
def test_drivers_share_brackets(mode: str, database: str, name: str, tmp_path: Path) -> None:
    """Halving decides on what all drivers have measured, once for each trial."""
    halving = {"epochs": [3], "reduction": 2, "mode": mode}
    halving |= {"bracket": 8} if mode == "successive" else {}
    log = tmp_path / "log"
    spec = _spec(name, 40, "random", evaluator={"log": str(log), "seconds": 0.01}, halving=halving)
    drivers = [_child(_search, spec, database), *(_child(_work, name, database) for _ in range(2))]
    assert _joined(drivers) == [0, 0, 0]
    check_exact(database, name, 40)
    lines = log.read_text().splitlines()
    assert len(lines) == len(set(lines))
    trials = Store(database).trials(name)
    if mode == "successive":
        for first in range(0, 40, 8):
            bracket = trials[first : first + 8]
            values = sorted(
                Store(database).evaluations(name, t.number)[0]["metrics"]["val_accuracy"]
                for t in bracket
            )
            complete = [t for t in bracket if t.state == "complete"]
            assert len(complete) == 4
            rungs = [Store(database).evaluations(name, t.number)[0] for t in complete]
            assert all(rung["metrics"]["val_accuracy"] >= values[4] for rung in rungs)


def _until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _lines(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_what_a_killed_driver_leaves_is_finished_by_the_others(
    database: str, name: str, tmp_path: Path
) -> None:
    """At once on the same machine: nobody resumes anything."""
    log = tmp_path / "log"
    spec = _spec(name, 60, evaluator={"log": str(log), "seconds": 0.05})
    doomed = _child(_search, spec, database)
    others = [_child(_work, name, database) for _ in range(2)]
    _until(lambda: _lines(log) > 12)
    doomed.kill()
    assert _joined([doomed, *others]) == [-signal.SIGKILL, 0, 0]
    check_exact(database, name, 60)
    assert 60 <= _lines(log) <= 61


def test_drivers_come_and_go(database: str, name: str, tmp_path: Path) -> None:
    """One leaves by SIGTERM, another joins; what was left is taken over, nothing is run twice."""
    log = tmp_path / "log"
    spec = _spec(name, 40, evaluator={"log": str(log), "seconds": 0.05})
    leaving = _child(_search, spec, database)
    staying = _child(_work, name, database)
    _until(lambda: _lines(log) > 8)
    assert leaving.pid is not None
    os.kill(leaving.pid, signal.SIGTERM)
    late = _child(_work, name, database)
    leaving.join()
    assert leaving.exitcode == 1  # KeyboardInterrupt
    assert _joined([staying, late]) == [0, 0]
    check_exact(database, name, 40)
    assert _lines(log) == 40


def test_a_driver_that_must_be_alone_says_how_to_help(database: str, name: str) -> None:
    spec = _spec(name, 200, evaluator={"seconds": 0.05})
    driver = _child(_search, spec, database)
    _until(lambda: _is_running(database, name))
    with pytest.raises(StoreError, match=rf"help it with: nas worker {name}"):
        resume(name, storage=database, data_root=Path())
    assert Store(database).status(name).drivers == 1
    driver.kill()
    driver.join()
    assert Store(database).status(name).drivers == 0


def _is_running(storage: str, name: str) -> bool:
    try:
        return Store(storage).status(name).state == "running"
    except StoreError:
        return False


def test_a_worker_of_a_finished_study_has_nothing_to_do(database: str, name: str) -> None:
    search(_spec(name, 3), storage=database, data_root=Path())
    assert work(name, storage=database, data_root=Path()).trials.complete == 3
    assert len(_runs(database, name)) == 1


def _foreign_run(storage: str, name: str) -> None:
    """A live driver on another machine, as the database sees it."""
    with open_engine(storage, create=False).begin() as connection:
        study = connection.scalar(
            sa.text("select id from nas_studies where name = :n"), {"n": name}
        )
        statement = sa.text(
            "insert into nas_runs (id, study_id, host, pid, beat, ended, step) "
            "values (:id, :study, 'elsewhere 0-0-0-0-0 pid:[1]', 1, :beat, :no, 0)"
        )
        values = {"id": "elsewhere", "study": study, "beat": time.time(), "no": False}
        connection.execute(statement, values)


def test_sqlite_serves_one_machine(storage: str) -> None:
    """A live driver on another one: refused; PostgreSQL takes both (below)."""
    search(_spec("alone", 2), storage=storage, data_root=Path())
    _foreign_run(storage, "alone")
    with pytest.raises(StoreError, match="SQLite serves the processes of one machine"):
        resume("alone", storage=storage, data_root=Path(), trials=4)


def test_postgres_serves_several_machines(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver elsewhere owns no trial, so this one makes all that are left, and leaves."""
    monkeypatch.setenv("NAS_ARTIFACTS", str(tmp_path / "artifacts"))
    search(_spec("machines", 2), storage=postgres, data_root=Path())
    with open_engine(postgres, create=False).begin() as connection:
        connection.execute(
            sa.text("update nas_studies set target=5, state='stopped' where name='machines'")
        )
    _foreign_run(postgres, "machines")
    with pytest.raises(StoreError, match="help it with: nas worker machines"):
        resume("machines", storage=postgres, data_root=Path(), trials=5)
    resume_spec = Store(postgres).spec("machines")
    assert resume_spec["budget"] == {"trials": 2}


def test_drivers_exhaust_a_space_together(database: str, name: str, tmp_path: Path) -> None:
    """Each architecture once, and then all leave, though more trials were wanted."""
    log = tmp_path / "log"
    space = {"kinds": ["wide"], "widths": [2, 4], "levels": 2}  # 2 x 2 x 2, and two learning rates
    spec = _spec(name, 50, space=space, evaluator={"log": str(log), "seconds": 0.02})
    drivers = [_child(_search, spec, database), *(_child(_work, name, database) for _ in range(2))]
    assert _joined(drivers) == [0, 0, 0]
    lines = log.read_text().splitlines()
    assert len(lines) == len(set(lines)) == 16
    status = Store(database).status(name)
    assert (status.state, status.trials.complete, status.trials.waiting) == ("finished", 16, 0)
    assert "exhausted" in status.reason


def test_time_is_the_studys_and_not_its_drivers_sum(database: str, name: str) -> None:
    """Three drivers side by side for four seconds: four seconds are spent, not twelve."""
    spec = fake_spec(
        None, study={"name": name}, budget={"seconds": 4.0}, evaluator={"seconds": 0.05}
    )
    drivers = [_child(_search, spec, database), *(_child(_work, name, database) for _ in range(2))]
    assert _joined(drivers) == [0, 0, 0]
    status = Store(database).status(name)
    assert status.state == "finished"
    assert 4.0 <= status.seconds < 8.0
    assert len(_runs(database, name)) == 3
