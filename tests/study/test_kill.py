"""A driver killed with -9 loses nothing, doubles nothing, and its successor goes on exactly."""

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fakes.killed import go
from fakes.studies import FOR_ONE_OBJECTIVE, TWO_OBJECTIVES, fake_spec
from sqlalchemy import event
from sqlalchemy.engine import Engine

from nas.record import TrialRecord
from nas.spec import StudySpec
from nas.store import Store
from nas.study import resume, search
from search_spaces import plugins

# Minutes: CI runs it beside the fast ones.
pytestmark = pytest.mark.slow

TRIALS = 14
fork = multiprocessing.get_context("fork")


def _spec(strategy: str, log: Path, **more: Any) -> StudySpec:
    two = {} if strategy in FOR_ONE_OBJECTIVE else {"objectives": dict(TWO_OBJECTIVES)}
    return fake_spec(
        TRIALS,
        strategy,
        study=two,
        evaluator={"log": str(log), **more},
        halving={"epochs": [3], "reduction": 2},
    )


def _in_child(spec: StudySpec, storage: str, kill_at_commit: int | None = None) -> ForkProcess:
    child = fork.Process(target=go, args=(spec, storage, kill_at_commit))
    child.start()
    return child


def _record(storage: str) -> list[TrialRecord]:
    return Store(storage).trials("fake")


def _told(trials: list[TrialRecord]) -> list[tuple[Any, ...]]:
    """What must be equal between two studies: everything but times."""
    return [
        (t.number, t.seq, t.state, t.architecture, t.epochs, t.artifact, tuple(t.metrics.items()))
        for t in trials
    ]


def _check_complete(storage: str, wanted: int = TRIALS) -> None:
    """Exactly the trials asked for, in our tables and in Optuna's, and none under way."""
    trials = _record(storage)
    assert [t.number for t in trials] == list(range(wanted))
    assert {t.state for t in trials} <= {"complete", "pruned"}
    assert sorted(t.seq for t in trials if t.seq is not None) == list(range(wanted))
    assert Store(storage).status("fake").state == "finished"
    engine = sa.create_engine(storage)
    with engine.connect() as connection:
        states = Counter(connection.scalars(sa.text("select state from trials")))
        ordinals = list(
            connection.scalars(
                sa.text("select value_json from trial_user_attributes where key='nas:ordinal'")
            )
        )
    assert set(states) <= {"COMPLETE", "PRUNED"}
    assert sorted(int(o) for o in ordinals) == list(range(wanted))
    assert Counter("PRUNED" if t.state == "pruned" else "COMPLETE" for t in trials) == states


def _killed_at_commits(spec: StudySpec, storage: str) -> int:
    """Kill at the twelfth commit, the next run at its thirteenth, ...; returns how many kills."""
    for kills, kill_at_commit in enumerate(range(12, 200)):
        child = _in_child(spec, storage, kill_at_commit)
        child.join()
        if child.exitcode == 0:
            return kills
        assert child.exitcode == -signal.SIGKILL
    raise AssertionError("the study never ended")


@pytest.mark.parametrize("strategy", plugins.names("strategy"))
def test_a_kill_at_any_commit_changes_nothing(strategy: str, tmp_path: Path) -> None:
    """Killed at a commit of each run and resumed: the study that was never killed."""
    reference, storage = (f"sqlite:///{tmp_path / name}" for name in ("whole.db", "killed.db"))
    spec = _spec(strategy, tmp_path / "log")
    search(spec, storage=reference, data_root=Path())
    assert _killed_at_commits(spec, storage) >= 3
    _check_complete(storage)
    assert _told(_record(storage)) == _told(_record(reference))


def test_a_strategy_with_a_memory_of_its_own_is_found_out(tmp_path: Path) -> None:
    """Control: the comparison above fails for a strategy that is no fold over the record."""
    reference, storage = (f"sqlite:///{tmp_path / name}" for name in ("whole.db", "killed.db"))
    spec = _spec("fakes.forgetful", tmp_path / "log")
    search(spec, storage=reference, data_root=Path())
    _killed_at_commits(spec, storage)
    _check_complete(storage)
    assert _told(_record(storage)) != _told(_record(reference))


@pytest.mark.parametrize("strategy", plugins.names("strategy"))
def test_ten_kills_at_random_moments(strategy: str, tmp_path: Path) -> None:
    """Killed ten times, whenever that is: the same trials in the same order, each run once more
    at most for each kill. A fast machine may be done before the tenth.
    """
    log = tmp_path / "log"
    reference, storage = (f"sqlite:///{tmp_path / name}" for name in ("whole.db", "killed.db"))
    search(_spec(strategy, tmp_path / "other", seconds=0.06), storage=reference, data_root=Path())
    spec = _spec(strategy, log, seconds=0.06)
    moments = random.Random(strategy)
    kills = 0
    while kills < 10:
        child = _in_child(spec, storage)
        child.join(moments.uniform(0.05, 0.35))
        if child.exitcode is not None:
            break
        child.kill()
        child.join()
        kills += 1
    child = _in_child(spec, storage)
    child.join()
    assert child.exitcode == 0
    assert kills >= 5
    _check_complete(storage)
    rungs = sum(len(Store(storage).evaluations("fake", n)) for n in range(TRIALS))
    assert rungs <= len(log.read_text().splitlines()) <= rungs + kills
    without_artifacts = [row[:5] + row[6:] for row in _told(_record(storage))]
    assert without_artifacts == [row[:5] + row[6:] for row in _told(_record(reference))]


@pytest.mark.parametrize(
    ("trials", "space", "ended"),
    [
        pytest.param(2, {}, 2, id="budget"),
        pytest.param(9, {"kinds": ["wide"], "widths": [2], "levels": 1}, 2, id="exhausted"),
    ],
)
def test_one_kill_at_each_commit(
    trials: int, space: dict[str, Any], ended: int, tmp_path: Path
) -> None:
    """From the first commit of a study to its last: resumed once, it is complete."""
    spec = fake_spec(
        trials, evaluator={"log": ""}, space=space, halving={"epochs": [3], "reduction": 2}
    )
    for kill_at_commit in range(200):
        storage = f"sqlite:///{tmp_path / str(kill_at_commit)}.db"
        child = _in_child(spec, storage, kill_at_commit)
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
        child = _in_child(spec, storage)
        child.join()
        assert child.exitcode == 0, f"killed at commit {kill_at_commit}, resuming failed"
        _check_complete(storage, ended)
    assert kill_at_commit > 10


def test_killed_while_optuna_makes_its_tables(tmp_path: Path) -> None:
    """Between a table and its index, without which a study could be there twice."""

    def go(storage: str) -> None:
        def die(_c: Any, _u: Any, statement: str, *_: Any) -> None:
            if "INDEX ix_studies_study_name" in statement:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "before_cursor_execute", die)
        search(fake_spec(2), storage=storage, data_root=Path())

    storage = f"sqlite:///{tmp_path / 'nas.db'}"
    child = fork.Process(target=go, args=(storage,))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    for trials in (2, 3):
        resume("fake", storage=storage, data_root=Path(), trials=trials)
    _check_complete(storage, 3)


def test_a_driver_that_was_taken_over_writes_nothing_more(storage: str, tmp_path: Path) -> None:
    """Suspended for longer than the grace period, it wakes to find another in its place."""
    log = tmp_path / "log"
    spec = _spec("random", log, seconds=0.05)
    suspended = _in_child(spec, storage)
    while not log.exists() or len(log.read_text().splitlines()) < 3:
        time.sleep(0.01)
    assert suspended.pid is not None
    os.kill(suspended.pid, signal.SIGSTOP)
    engine = sa.create_engine(storage)
    with engine.begin() as connection:
        connection.execute(sa.text("update nas_runs set beat = beat - 120"))
    successor = _in_child(spec, storage)
    while len(log.read_text().splitlines()) < 6:
        time.sleep(0.01)
    os.kill(suspended.pid, signal.SIGCONT)
    suspended.join()
    assert suspended.exitcode == 1
    successor.join()
    assert successor.exitcode == 0
    _check_complete(storage)
