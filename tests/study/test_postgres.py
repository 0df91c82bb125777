"""The same studies in PostgreSQL."""

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from fakes import space
from fakes.studies import TWO_OBJECTIVES, fake_spec
from sqlalchemy import event
from sqlalchemy.engine import Engine

from nas.garbage import collect_garbage
from nas.store import Store, StoreError
from nas.store.housekeeping import delete_study, rename_study
from nas.store.ledger import Ledger
from nas.store.patience import Patience
from nas.store.twin import Twin
from nas.study import resume, search


@pytest.fixture(autouse=True)
def _artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_ARTIFACTS", str(tmp_path / "artifacts"))


def test_the_same_study_as_in_sqlite(postgres: str, storage: str) -> None:
    """Database and dialect change nothing in the record."""
    spec = fake_spec(
        16,
        "evolution",
        study={"name": "same", "objectives": dict(TWO_OBJECTIVES), "constraints": ["params<=90"]},
        halving={"epochs": [3], "reduction": 2},
    )
    for url in (postgres, storage):
        search(spec, storage=url, data_root=Path())
    one, other = (Store(url).trials("same") for url in (postgres, storage))
    assert [(t.number, t.state, t.architecture, dict(t.metrics)) for t in one] == [
        (t.number, t.state, t.architecture, dict(t.metrics)) for t in other
    ]
    left, right = (Store(url).status("same") for url in (postgres, storage))
    assert (left.best, left.trials) == (right.best, right.trials)
    assert "secret" not in left.storage


def _go(url: str, kill_at_commit: int) -> None:
    commits = iter(range(kill_at_commit))

    def die(_: object) -> None:
        if next(commits, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "commit", die)
    if any(s.name == "killed" for s in Store(url).studies()):
        resume("killed", storage=url, data_root=Path())
    else:
        search(fake_spec(10, study={"name": "killed"}), storage=url, data_root=Path())


def test_kills_and_resumes(postgres: str) -> None:
    """Killed at growing numbers of commits: exactly the trials asked for."""
    fork = multiprocessing.get_context("fork")
    for kill_at_commit in range(8, 200):
        child = fork.Process(target=_go, args=(postgres, kill_at_commit))
        child.start()
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    trials = Store(postgres).trials("killed")
    assert [t.number for t in trials] == list(range(10))
    assert {t.state for t in trials} == {"complete"}


def test_housekeeping(postgres: str) -> None:
    search(fake_spec(3, study={"name": "old"}), storage=postgres, data_root=Path())
    store = Store(postgres)
    rename_study(store, "old", "new")
    delete_study(store, "new")
    assert "new" not in [s.name for s in store.studies()]
    assert collect_garbage(postgres, min_age_seconds=0)["removed"] >= 3


def _begin(url: str, barrier: Any, answers: Any) -> None:
    store = Store(url)
    barrier.wait()
    try:
        twin = Twin(store, "raced", space.build(None), {"val_accuracy": "maximize"})
        Ledger(store, "raced", twin, Patience(print))
        answers.put("driver")
    except StoreError:
        answers.put("refused")
    barrier.wait()  # alive until all have asked


def test_of_many_drivers_at_once_one_is_let_in(postgres: str) -> None:
    search(fake_spec(1, study={"name": "raced"}), storage=postgres, data_root=Path())
    fork = multiprocessing.get_context("fork")
    for _ in range(4):
        barrier, answers = fork.Barrier(4), fork.Queue()
        children = [
            fork.Process(target=_begin, args=(postgres, barrier, answers)) for _ in range(4)
        ]
        for child in children:
            child.start()
        found = sorted(answers.get(timeout=60) for _ in children)
        for child in children:
            child.join()
        assert found == ["driver", "refused", "refused", "refused"]
