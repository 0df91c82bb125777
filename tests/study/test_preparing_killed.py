"""A preparation that is killed, stopped, shared or damaged is the one that never was."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pytest
from fakes.killed import go, known
from fakes.studies import preparing_spec

from evaluators import Artifact, artifacts
from evaluators.preparation import Advance, PreparedEpoch
from nas.fold import build_strategy
from nas.setting_up import set_up
from nas.spec import StudySpec
from nas.store import Store
from nas.store.ledger import Ledger
from nas.store.patience import Patience
from nas.store.preparations import lease, record
from nas.store.twin import Twin
from nas.study import resume, search, work
from search_spaces.plugins import Plugin

# Minutes: CI runs it beside the fast ones.
pytestmark = pytest.mark.slow

fork = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def _each_epoch_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.preparing._PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("nas.preparing._SHARE", 0.0)


def child(target: Callable[..., Any], *arguments: Any) -> ForkProcess:
    process = fork.Process(target=target, args=arguments)
    process.start()
    return process


def told(storage: str, name: str) -> tuple[Any, ...]:
    """All of a study that must be equal to another's: preparation, its epochs, trials."""
    store = Store(storage)
    (one,) = store.status(name).preparations
    trials = [
        (t.number, t.seq, t.state, t.architecture, t.prepared, dict(t.metrics))
        for t in store.trials(name)
    ]
    return one.key, one.epoch, one.artifact, list(store.prepared_epochs(name, one.key)), trials


def epochs_of(storage: str, name: str) -> int:
    """How many epochs are recorded; 0 where there is nothing yet."""
    if name not in known(storage):
        return 0
    return sum(one.epoch for one in Store(storage).status(name).preparations)


def whole(storage: str, spec: StudySpec) -> tuple[Any, ...]:
    """The record of the study that nobody disturbs."""
    search(spec, storage=storage, data_root=Path())
    return told(storage, spec.study.name)


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_kill_at_any_commit_changes_nothing(database: str) -> None:
    """From before the first epoch is recorded to after the last: killed once, and resumed."""
    wanted = whole(database, preparing_spec(3, "never-killed-at-a-commit"))
    left = []
    for kill_at_commit in (4, 5, 7, 9, 12, 15, 18):
        name = f"killed-at-{kill_at_commit}"
        spec = preparing_spec(3, name)
        killed = child(go, spec, database, kill_at_commit)
        killed.join()
        assert killed.exitcode == -signal.SIGKILL
        left.append(epochs_of(database, name))
        again = child(go, spec, database, None)
        again.join()
        assert again.exitcode == 0
        assert told(database, name) == wanted
    assert min(left) == 0
    assert max(left) == 6
    assert len(set(left)) >= 4


def test_a_kill_at_any_moment_changes_nothing(database: str, tmp_path: Path) -> None:
    """In the middle of an epoch, again and again: each costs the epoch that was under way."""
    log = tmp_path / "log"
    tables: dict[str, Any] = {
        "strategy": {"epochs": 12},
        "says": {"seconds": 0.05, "log": str(log)},
    }
    wanted = whole(database, preparing_spec(3, "never-killed", **tables))
    log.unlink()
    spec = preparing_spec(3, "killed-often", **tables)
    for begun in range(4):
        before = len(lines(log))
        killed = child(go, spec, database, None)
        until(lambda n=before + 1 + begun % 2: len(lines(log)) >= n)  # type: ignore[misc]
        killed.kill()
        killed.join()
        assert killed.exitcode == -signal.SIGKILL
    last = child(go, spec, database, None)
    last.join()
    assert last.exitcode == 0
    assert told(database, "killed-often") == wanted
    assert 12 <= len(lines(log)) <= 12 + 4


@pytest.mark.parametrize(
    ("executor", "number"),
    [("inline", signal.SIGINT), ("inline", signal.SIGTERM), ("processes", signal.SIGINT)],
)
def test_a_signal_ends_it_with_the_epoch(
    executor: str, number: int, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with the stretch, which would go on for long; what is done is recorded."""
    monkeypatch.setattr("nas.preparing._PAUSE_SECONDS", 600.0)
    log = tmp_path / "log"
    says = {"seconds": 0.05, "log": str(log)}
    tables: dict[str, Any] = {"strategy": {"epochs": 30}, "executor": {"name": executor}}
    stopped = child(go, preparing_spec(3, says=says, **tables), storage, None)
    until(lambda: len(lines(log)) >= 3)
    os.kill(stopped.pid or 0, number)
    stopped.join()
    assert stopped.exitcode == 1  # KeyboardInterrupt
    status = Store(storage).status("fake")
    assert (status.state, status.reason, status.trials.ended) == ("stopped", "interrupted", 0)
    assert 3 <= epochs_of(storage, "fake") < 30
    assert len(lines(log)) == epochs_of(storage, "fake")
    inline = Plugin("inline")
    resume("fake", storage=storage, data_root=Path(), executor=inline)
    assert len(lines(log)) == 30
    tables["executor"] = {"name": "inline"}
    assert told(storage, "fake") == whole(storage, preparing_spec(3, "whole", says=says, **tables))


class TestDrivers:
    def test_one_does_it_and_the_other_waits(self, database: str, tmp_path: Path) -> None:
        log = tmp_path / "log"
        says = {"seconds": 0.05, "log": str(log)}
        spec = preparing_spec(20, "shared", strategy={"epochs": 20}, says=says)
        first = child(go, spec, database, None)
        until(lambda: epochs_of(database, "shared") > 0)
        second = child(_work, "shared", database)
        first.join()
        second.join()
        assert (first.exitcode, second.exitcode) == (0, 0)
        assert [line.split()[0] for line in lines(log)] == [str(first.pid)] * 20
        assert told(database, "shared")[1] == 20
        assert Store(database).status("shared").trials.ended == 20

    def test_the_other_takes_over_from_one_that_died(self, database: str, tmp_path: Path) -> None:
        log = tmp_path / "log"
        says = {"seconds": 0.05, "log": str(log)}
        tables: dict[str, Any] = {"strategy": {"epochs": 20}, "says": says}
        wanted = whole(database, preparing_spec(5, "not-taken-over", **tables))
        log.unlink()
        doomed = child(go, preparing_spec(5, "taken-over", **tables), database, None)
        until(lambda: epochs_of(database, "taken-over") > 0)
        heir = child(_work, "taken-over", database)
        until(lambda: len(lines(log)) >= 6)
        doomed.kill()
        doomed.join()
        heir.join()
        assert heir.exitcode == 0
        workers = [line.split()[0] for line in lines(log)]
        assert set(workers) == {str(doomed.pid), str(heir.pid)}
        assert 20 <= len(workers) <= 21
        assert told(database, "taken-over") == wanted

    def test_one_that_was_overtaken_records_nothing_more(self, database: str) -> None:
        """Suspended for long, it wakes with a stretch that another has done meanwhile."""
        spec = preparing_spec(1, "overtaken")
        search(spec, storage=database, data_root=Path())
        store, setup = Store(database), set_up(spec, Path())
        preparation = build_strategy(setup).preparation
        assert preparation is not None
        before = told(database, "overtaken")
        books = [
            Ledger(
                store,
                "overtaken",
                Twin(store, "overtaken", setup.space, setup.objectives, setup.constraints),
                Patience(lambda _: None),
                join=True,
            )
            for _ in range(2)
        ]
        assert lease(books[0], preparation).is_ours
        assert not lease(books[1], preparation).is_ours
        late = Advance(3, epochs=(PreparedEpoch(3, {"step": 0.5}),))
        record(books[1], preparation, late, since=2)
        assert told(database, "overtaken") == before
        record(books[0], preparation, late, since=2)
        assert told(database, "overtaken") != before
        for ledger in books:
            ledger.close("stopped", "over")


def _work(name: str, storage: str) -> None:
    work(name, storage=storage, data_root=Path())


class TestLost:
    @pytest.mark.parametrize("loss", ["lost", "damaged"])
    def test_a_checkpoint_is_made_again(self, loss: str, storage: str, tmp_path: Path) -> None:
        """Of one that is done, and of one in the middle; the result is the same."""
        log, place = tmp_path / "log", tmp_path / "trouble"
        says = {"log": str(log), "trouble": str(place)}
        wanted = whole(storage, preparing_spec(4, "whole", says=says))
        search(preparing_spec(2, says=says), storage=storage, data_root=Path())
        for name, trials in (("fake", 4), ("half", None)):
            if name == "half":
                place.write_text("diverge 4")
                with pytest.raises(Exception, match="failed in epoch 4"):
                    search(preparing_spec(4, name, says=says), storage=storage, data_root=Path())
                place.unlink()
            _harm(storage, name, loss)
            log.unlink()
            resume(name, storage=storage, data_root=Path(), trials=trials)
            assert [line.split()[1] for line in lines(log)] == list("123456")
            assert told(storage, name) == wanted

    def test_one_that_is_there_is_not_made_again(self, storage: str, tmp_path: Path) -> None:
        """Control."""
        log = tmp_path / "log"
        search(preparing_spec(2, says={"log": str(log)}), storage=storage, data_root=Path())
        log.unlink()
        resume("fake", storage=storage, data_root=Path(), trials=4)
        assert lines(log) == []


def _harm(storage: str, name: str, loss: str) -> None:
    store = Store(storage)
    (one,) = store.status(name).preparations
    place = artifacts.path(Artifact(store.artifacts(name), str(one.artifact)))
    if loss == "lost":
        place.unlink()
    else:
        place.chmod(0o644)
        place.write_bytes(place.read_bytes()[:-1] + b"\xff")


class TestBudget:
    def test_seconds_that_are_over_meanwhile_leave_none_for_trials(
        self, storage: str, tmp_path: Path
    ) -> None:
        """It stops as a study whose time is over does; with more of it, it goes on."""
        log = tmp_path / "log"
        says = {"seconds": 0.1, "log": str(log)}
        tables: dict[str, Any] = {"strategy": {"epochs": 20}, "says": says}
        wanted = whole(storage, preparing_spec(3, "whole", **tables))
        log.unlink()
        spec = preparing_spec(3, budget={"seconds": 0.5}, **tables)
        status = search(spec, storage=storage, data_root=Path())
        assert (status.state, status.reason) == ("finished", "0.5 seconds")
        assert status.trials.ended + status.trials.waiting + status.trials.running == 0
        assert 3 <= epochs_of(storage, "fake") == len(lines(log)) < 12
        status = resume("fake", storage=storage, data_root=Path(), seconds=600.0)
        assert status.reason == "3 trials"
        assert len(lines(log)) == 20
        assert told(storage, "fake") == wanted

    def test_trials_that_were_under_way_wait_for_a_preparation_that_is_lost(
        self, storage: str, tmp_path: Path
    ) -> None:
        """Nothing is proposed, or evaluated, from what is not there."""
        spec = preparing_spec(4, says={"seconds": 0.1}, evaluator={"seconds": 0.05})
        killed = child(go, spec, storage, None)
        until(lambda: known(storage) != [] and Store(storage).status("fake").trials.ended >= 1)
        killed.kill()
        killed.join()
        _harm(storage, "fake", "lost")
        ended = Store(storage).status("fake").trials.ended
        status = resume("fake", storage=storage, data_root=Path(), seconds=0.01)
        assert (status.state, status.trials.ended) == ("finished", ended)
        status = resume("fake", storage=storage, data_root=Path(), seconds=600.0)
        assert status.trials.ended == 4
        assert told(storage, "fake") == whole(
            storage, preparing_spec(4, "whole", says={"seconds": 0.1}, evaluator={"seconds": 0.05})
        )
