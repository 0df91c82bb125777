"""Batches: proposed from one record, evaluated together, and the same whatever is killed when."""

import multiprocessing
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakes.witness
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from fakes.evaluator import Planted
from fakes.killed import go
from fakes.studies import fake_spec

from evaluators import Evaluation, Job
from nas.batches import Ready, UnderWay
from nas.budget import StudyFailedError
from nas.cli import main
from nas.driver import Driver
from nas.record import TrialRecord
from nas.spec import SpecError, StudySpec
from nas.store import Store
from nas.study import resume, search
from search_spaces import Architecture

fork = multiprocessing.get_context("fork")
SUCCESSIVE: Mapping[str, Any] = {"mode": "successive", "epochs": [1, 3], "reduction": 3}
ASYNCHRONOUS: Mapping[str, Any] = {"mode": "asynchronous", "epochs": [2, 4], "reduction": 2}


def in_threes(*arguments: Any, **tables: Any) -> StudySpec:
    study = {"batch": 3, **tables.pop("study", {})}
    return fake_spec(*arguments, study=study, **tables)


def unsaid(trials: int, strategy: str) -> StudySpec:
    """A study whose file does not say how many trials are a batch."""
    spec = fake_spec(trials, strategy)
    return spec.model_copy(update={"study": spec.study.model_copy(update={"batch": None})})


def run(storage: str, *arguments: Any, **tables: Any) -> list[TrialRecord]:
    search(in_threes(*arguments, **tables), storage=storage, data_root=Path())
    return Store(storage).trials("fake")


@pytest.fixture
def sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for each batch: how many jobs it has, in child processes too."""
    file, evaluate = tmp_path / "sizes", Planted.evaluate

    def counted(planted: Planted, jobs: Sequence[Job]) -> list[Evaluation]:
        with file.open("a") as lines:
            lines.write(f"{len(jobs)}\n")
        return evaluate(planted, jobs)

    monkeypatch.setattr(Planted, "evaluate", counted)
    return file


def read(sizes: Path) -> list[int]:
    return [int(line) for line in sizes.read_text().splitlines()]


class TestForming:
    def test_the_budget_cuts_the_last_one(self, storage: str, sizes: Path) -> None:
        trials = run(storage, 8)
        assert read(sizes) == [3, 3, 2]
        assert [t.seq for t in trials] == list(range(8))

    def test_a_larger_budget_goes_on_where_batches_begin(self, storage: str, sizes: Path) -> None:
        """The ordinals of a batch are those from one multiple of its size to the next."""
        run(storage, 7)
        resume("fake", storage=storage, data_root=Path(), trials=12)
        assert read(sizes) == [3, 3, 1, 2, 3]

    def test_proposals_of_a_batch_see_one_record(self, storage: str) -> None:
        """Of each other they know that they are pending, and nothing of the results."""
        trials = run(storage, 8, "fakes.witness", study={"constraints": ["params <= 60"]})
        assert Counter(t.state for t in trials)["infeasible"] > 1
        assert [(t.note["ended"], t.note["pending"]) for t in trials] == [
            (n - n % 3, n % 3) for n in range(8)
        ]

    def test_one_by_one_they_see_all(self, storage: str) -> None:
        """Control: without batches each sees what ended before it."""
        trials = run(storage, 5, "fakes.witness", study={"batch": 1})
        assert [(t.note["ended"], t.note["pending"]) for t in trials] == [(n, 0) for n in range(5)]

    def test_what_needs_no_evaluation_leaves_a_batch_smaller(
        self, storage: str, sizes: Path
    ) -> None:
        """Nobody else moves up, and trials end in the order of their ordinals all the same."""
        trials = run(storage, 12, study={"constraints": ["params <= 60"]})
        feasible = [
            sum(t.state == "complete" for t in trials[i : i + 3]) for i in range(0, len(trials), 3)
        ]
        assert read(sizes) == [n for n in feasible if n] != [3] * 4
        assert [t.seq for t in trials] == list(range(12))

    def test_an_exhausted_space_cuts_it(self, storage: str) -> None:
        trials = run(storage, 50, study={"batch": 5}, space={"kinds": ["plain"], "levels": 2})
        assert len({t.architecture for t in trials}) == len(trials) == 32
        resume("fake", storage=storage, data_root=Path())
        assert len(Store(storage).trials("fake")) == 32
        assert "exhausted" in Store(storage).status("fake").reason

    def test_several_workers_have_a_batch_each(self, storage: str, sizes: Path) -> None:
        executor = {"name": "fakes.scrambled", "workers": 3, "seed": 1}
        trials = run(storage, 20, "fakes.witness", executor=executor)
        # Of the last five each worker has its share.
        assert sorted(read(sizes)) == [1, 1, 1, 2, 3, 3, 3, 3, 3]
        assert max(t.note["pending"] for t in trials) == 8
        assert {t.state for t in trials} == {"complete"}

    def test_known_ones_are_answered_from_the_record(self, storage: str) -> None:
        tables: dict[str, Any] = {
            "space": {"name": "gnn", "depth": [1], "operators": ["gcn", "linear"], "width": [2, 4]},
            "evaluator": {"name": "training", "epochs": 2},
        }
        first = run(storage, 4, **tables)
        spec = in_threes(7, **{**tables, "study": {"name": "again"}})
        search(spec, storage=storage, data_root=Path())
        again = Store(storage).trials("again")
        assert [t.cached for t in again] == [True] * 4 + [False] * 3
        assert [(t.architecture, t.metrics) for t in again[:4]] == [
            (t.architecture, t.metrics) for t in first
        ]
        assert [t.seq for t in again] == list(range(7))


class TestReady:
    """Who waits for a worker, in which order."""

    @staticmethod
    def of(size: int, *waiting: tuple[int, int, str]) -> Ready:
        ready = Ready(size)
        for ordinal, level, kind in waiting:
            ready.add(UnderWay(ordinal, Architecture("fake", {"kind": kind}), level=level))
        return ready

    def test_the_lowest_level_first_and_then_by_ordinal(self) -> None:
        ready = self.of(2, (4, 1, "a"), (0, 2, "b"), (5, 0, "c"), (2, 1, "d"), (3, 1, "e"))
        taken = []
        while ready:
            taken.append([trial.ordinal for trial in ready.take()])
        assert taken == [[5], [2, 3], [4], [0]]
        assert ready.take() == []
        assert ready.level is None

    def test_an_architecture_is_in_a_batch_once(self) -> None:
        """The second is answered from the first, which must be in the record by then."""
        ready = self.of(8, (0, 0, "a"), (1, 0, "b"), (2, 0, "a"), (3, 0, "c"))
        assert [t.ordinal for t in ready.take()] == [0, 1]
        assert [t.ordinal for t in ready.take()] == [2, 3]

    def test_workers_share_what_is_left(self) -> None:
        """None is idle at the end, for want of what another has; before it, batches are whole."""
        waiting = [(n, 0, "abcdefgh"[n]) for n in range(8)]
        for ahead, workers, sizes in (
            (None, 4, [8]),
            (24, 4, [8]),
            (8, 4, [4, 3, 1]),
            (0, 4, [2, 2, 1, 1, 1, 1]),
            (0, 8, [1] * 8),
            (0, 1, [8]),
        ):
            ready = self.of(8, *waiting)
            taken = []
            while ready and sum(taken) < 8:
                taken.append(len(ready.take(ahead, workers)))
            assert taken == sizes, (ahead, workers)


class TestBudget:
    def test_a_target_is_looked_at_between_batches(self, storage: str) -> None:
        trials = run(storage, 200, budget={"target": {"val_accuracy": 0.5}})
        reached = [t.metrics["val_accuracy"] >= 0.5 for t in trials]
        assert len(trials) % 3 == 0
        assert any(reached[-3:])
        assert not any(reached[:-3])

    def test_no_progress_too(self, storage: str) -> None:
        trials = run(storage, 200, budget={"no_progress": 5})
        values = [t.metrics["val_accuracy"] for t in trials]
        since = len(values) - 1 - values.index(max(values))
        assert 5 <= since <= 7
        assert len(trials) % 3 == 0
        assert "without progress" in Store(storage).status("fake").reason

    def test_ten_faults_in_a_row_stop_it_after_the_batch(self, storage: str) -> None:
        with pytest.raises(StudyFailedError, match="12 candidates in a row"):
            run(storage, 50, evaluator={"fail_when_a_is": list(range(8))})
        status = Store(storage).status("fake")
        assert status.trials.failed == 12
        assert status.trials.running == status.trials.waiting == 0


class TestSize:
    def test_it_is_the_strategy_s_unless_it_is_given(self, tmp_path: Path) -> None:
        def stored(spec: StudySpec) -> int:
            storage = f"sqlite:///{tmp_path / spec.digest}.db"
            search(spec, storage=storage, data_root=Path())
            size: int = Store(storage).spec("fake")["study"]["batch"]
            return size

        assert stored(unsaid(2, "random")) == 8
        assert stored(unsaid(2, "fakes.witness")) == 4
        assert stored(unsaid(2, "evolution")) == 1
        assert stored(in_threes(2, "random")) == 3

    def test_a_study_keeps_it_when_the_strategy_s_changes(
        self, storage: str, sizes: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        search(unsaid(4, "fakes.witness"), storage=storage, data_root=Path())
        monkeypatch.setattr(fakes.witness, "BATCH", 2)
        resume("fake", storage=storage, data_root=Path(), trials=8)
        assert read(sizes) == [4, 4]

    def test_one_from_before_there_were_batches_goes_on_one_by_one(
        self, storage: str, sizes: Path
    ) -> None:
        search(fake_spec(3), storage=storage, data_root=Path())
        store = Store(storage)
        tables = sa.table("nas_studies", sa.column("spec", sa.JSON))
        spec = store.spec("fake")
        del spec["study"]["batch"]
        with store.writing() as connection:
            connection.execute(sa.update(tables).values(spec=spec))
        resume("fake", storage=storage, data_root=Path(), trials=6)
        assert read(sizes) == [1] * 6

    def test_a_size_that_is_none_is_refused(
        self, storage: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(SpecError, match=r"\[study\] batch: expected an integer >= 1"):
            fake_spec(3, study={"batch": 0})
        monkeypatch.setattr(fakes.witness, "BATCH", "many")
        with pytest.raises(SpecError, match="BATCH: expected an integer >= 1, got 'many'"):
            search(unsaid(3, "fakes.witness"), storage=storage, data_root=Path())
        assert not Store(storage).studies()

    @pytest.mark.parametrize("given", [["--batch", "3"], ["--set", "study.batch=3"]])
    def test_the_command_line(
        self, given: list[str], storage: str, sizes: Path, tmp_path: Path
    ) -> None:
        file = tmp_path / "fake.toml"
        file.write_text(
            '[space]\nname = "fakes.space"\n[dataset]\nname = "fakes.graph"\n'
            '[evaluator]\nname = "fakes.evaluator"\n[strategy]\nname = "random"\n'
            "[budget]\ntrials = 5\n"
        )
        result = CliRunner().invoke(main, ["search", str(file), "--storage", storage, *given])
        assert result.exit_code == 0, result.output
        assert read(sizes) == [3, 2]


class TestHalving:
    def test_promoted_ones_form_batches(self, storage: str, sizes: Path) -> None:
        """Of nine three go on, and one of them."""
        trials = run(storage, 9, halving=SUCCESSIVE)
        assert read(sizes) == [3, 3, 3, 3, 1]
        assert Counter(t.epochs for t in trials) == {1: 6, 3: 2, 9: 1}

    def test_of_several_brackets_too(self, storage: str, sizes: Path) -> None:
        halving = {"mode": "successive", "epochs": [3], "reduction": 2, "bracket": 2}
        trials = run(storage, 12, study={"batch": 6}, halving=halving)
        assert read(sizes) == [6, 3, 6, 3]
        assert Counter(t.epochs for t in trials) == {3: 6, 9: 6}

    def test_asynchronously_they_are_those_of_a_batch(self, storage: str, sizes: Path) -> None:
        trials = run(storage, 9, halving=ASYNCHRONOUS)
        rungs = [len(Store(storage).evaluations("fake", t.number)) for t in trials]
        expected = []
        for first in (0, 3, 6):
            of_batch = rungs[first : first + 3]
            expected += [n for level in range(3) if (n := sum(r > level for r in of_batch))]
        assert read(sizes) == expected

    @pytest.mark.parametrize("batch", [2, 4])
    def test_who_goes_on_is_the_same_for_any_size_and_workers(
        self, batch: int, tmp_path: Path
    ) -> None:
        """Brackets are of ordinals, whatever is evaluated with what."""

        def study(name: str, **tables: Any) -> list[tuple[Any, ...]]:
            trials = run(f"sqlite:///{tmp_path / name}.db", 13, halving=SUCCESSIVE, **tables)
            return [(t.number, t.architecture, t.state, t.epochs) for t in trials]

        one = study("one", study={"batch": 1})
        assert study("here", study={"batch": batch}) == one
        executor = {"name": "fakes.scrambled", "workers": 3, "seed": batch}
        assert study("there", study={"batch": batch}, executor=executor) == one


def _child(spec: StudySpec, storage: str, kill_at_commit: int | None = None) -> int | None:
    child = fork.Process(target=go, args=(spec, storage, kill_at_commit))
    child.start()
    child.join()
    return child.exitcode


def _told(storage: str) -> list[tuple[Any, ...]]:
    """What must be equal between two studies: everything but times, and what follows from them."""
    store = Store(storage)
    told = []
    for trial in store.trials("fake"):
        rungs = [(row["epoch"], row["metrics"]) for row in store.evaluations("fake", trial.number)]
        told.append((replace(trial, seconds=0.0, cached=False), rungs))
    return told


HALVING: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "asynchronous": ASYNCHRONOUS,
    # Brackets that no batch fits into.
    "successive": {"mode": "successive", "epochs": [2, 4], "reduction": 2},
}


def _faulty(strategy: str, trials: int, halving: str) -> StudySpec:
    """Some candidates fail, some break a bound on a fact, some one on what is measured."""
    return in_threes(
        trials,
        strategy,
        study={"constraints": ["params <= 100", "val_loss >= 0.5"]},
        evaluator={"fail_when_a_is": [3]},
        **({"halving": HALVING[halving]} if HALVING[halving] else {}),
    )


def _killed_at_commits(spec: StudySpec, storage: str, first: int = 8) -> int:
    """Kill at the eighth commit, the next run at its ninth, ...; returns how many kills."""
    for kills, kill_at_commit in enumerate(range(first, 300)):
        code = _child(spec, storage, kill_at_commit)
        if code == 0:
            return kills
        assert code == -signal.SIGKILL
    raise AssertionError("the study never ended")


class TestKills:
    @pytest.mark.parametrize(
        ("strategy", "halving"),
        [("fakes.witness", "none"), *(("evolution", halving) for halving in HALVING)],
    )
    def test_a_kill_at_any_commit_changes_nothing(
        self, strategy: str, halving: str, tmp_path: Path
    ) -> None:
        reference, storage = (f"sqlite:///{tmp_path / name}" for name in ("whole.db", "killed.db"))
        spec = _faulty(strategy, 10, halving)
        search(spec, storage=reference, data_root=Path())
        assert _killed_at_commits(spec, storage) >= 3
        assert _told(storage) == _told(reference)

    @pytest.mark.slow
    @pytest.mark.parametrize("halving", list(HALVING))
    def test_one_kill_at_each_commit(self, halving: str, tmp_path: Path) -> None:
        """From the first commit of a study to its last: resumed once, it is the same."""
        reference = f"sqlite:///{tmp_path / 'whole.db'}"
        spec = _faulty("evolution", 11, halving)
        search(spec, storage=reference, data_root=Path())
        for kill_at_commit in range(300):
            storage = f"sqlite:///{tmp_path / str(kill_at_commit)}.db"
            code = _child(spec, storage, kill_at_commit)
            if code == 0:
                break
            assert code == -signal.SIGKILL
            assert _child(spec, storage) == 0, f"killed at commit {kill_at_commit}"
            assert _told(storage) == _told(reference), kill_at_commit
        assert kill_at_commit > 20

    def test_a_batch_that_is_refilled_is_found_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Control: new trials beside what is left of a batch see less than they would have."""
        reference = f"sqlite:///{tmp_path / 'whole.db'}"
        spec = _faulty("evolution", 13, "none")
        search(spec, storage=reference, data_root=Path())
        take_over = Driver._take_over

        def refilled(driver: Driver) -> None:
            take_over(driver)
            if 0 < len(driver._ready) < 3:
                for reserved in driver._proposer.fresh():
                    driver._begin(reserved)

        monkeypatch.setattr(Driver, "_take_over", refilled)
        differ = 0
        for first in range(8, 13):  # not every place of the kills leaves part of a late batch
            storage = f"sqlite:///{tmp_path / str(first)}.db"
            assert _killed_at_commits(spec, storage, first) >= 2
            assert [t.number for t in Store(storage).trials("fake")] == list(range(13))
            differ += _told(storage) != _told(reference)
        assert differ > 0

    def test_what_is_left_of_a_batch_is_evaluated_together(
        self, tmp_path: Path, sizes: Path
    ) -> None:
        """Killed when one of three is recorded: two jobs, as one batch."""
        spec = in_threes(3)
        for kill_at_commit in range(5, 100):
            storage = f"sqlite:///{tmp_path / str(kill_at_commit)}.db"
            assert _child(spec, storage, kill_at_commit) == -signal.SIGKILL
            if Store(storage).status("fake").trials.ended:
                break
        assert Store(storage).status("fake").trials.ended == 1
        sizes.unlink()
        assert _child(spec, storage) == 0
        assert read(sizes) == [2]

    def test_several_workers(self, storage: str) -> None:
        """Exactly the trials asked for, and of each bracket as many go on as ever."""
        executor = {"name": "fakes.scrambled", "workers": 2}
        spec = in_threes(18, halving=SUCCESSIVE, executor=executor)
        for kill_at_commit in (20, 31, 42, None):
            _child(spec, storage, kill_at_commit)
        trials = Store(storage).trials("fake")
        assert [t.number for t in trials] == list(range(18))
        assert sorted(t.seq for t in trials if t.seq is not None) == list(range(18))
        for first in (0, 9):
            bracket = trials[first : first + 9]
            assert Counter(t.epochs for t in bracket) == {1: 6, 3: 2, 9: 1}
