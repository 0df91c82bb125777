"""Halving: few trials are trained to their end, the better ones, whatever is killed when."""

import multiprocessing
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fakes.killed import go
from fakes.studies import TWO_OBJECTIVES, fake_spec

from nas import rungs
from nas.pareto import non_dominated_ranks
from nas.record import TrialRecord
from nas.spec import SpecError, StudySpec, spec_from_mapping
from nas.store import Store
from nas.store.rows import losses_of
from nas.study import resume, search
from search_spaces import plugins

# Of 9 trials 3 go on from epoch 1, and 1 of these from epoch 3.
SUCCESSIVE: Mapping[str, Any] = {"mode": "successive", "epochs": [1, 3], "reduction": 3}
BRACKET = Counter({1: 6, 3: 2, 9: 1})
ONE_OBJECTIVE = {"val_accuracy": "maximize"}
fork = multiprocessing.get_context("fork")


def run(storage: str, *arguments: Any, **tables: Any) -> list[TrialRecord]:
    search(fake_spec(*arguments, **tables), storage=storage, data_root=Path())
    return Store(storage).trials(tables.get("study", {}).get("name", "fake"))


def brackets(trials: list[TrialRecord], size: int = 9) -> list[list[TrialRecord]]:
    return [trials[i : i + size] for i in range(0, len(trials), size)]


def at_rung(storage: str, number: int, epoch: int) -> dict[str, float]:
    """What was measured of a trial at an epoch."""
    rows = Store(storage).evaluations("fake", number)
    (found,) = [row["metrics"] for row in rows if row["epoch"] == epoch]
    return dict(found)


class TestRanking:
    def test_the_best_third_goes_on_at_least_one(self) -> None:
        losses = [(float(loss),) for loss in (5, 3, 8, 1, 9, 2, 7)]
        assert rungs.best(losses, [0.0] * 7, 3) == [3, 5]
        assert rungs.best(losses[:2], [0.0] * 2, 3) == [1]

    def test_of_equal_ones_the_earlier_goes_on(self) -> None:
        assert rungs.best([(1.0,)] * 6, [0.0] * 6, 3) == [0, 1]
        assert [rungs.goes_on([(1.0,)] * n, [0.0] * n, 3) for n in (1, 2, 6)] == [
            True,
            False,
            False,
        ]

    def test_feasible_ones_come_first_and_then_the_nearest(self) -> None:
        losses, violations = [(1.0,), (2.0,), (3.0,), (0.0,)], [0.2, 0.1, 0.0, 0.3]
        assert rungs.best(losses, violations, 2) == [2, 1]
        assert not rungs.goes_on(losses, violations, 2)
        assert rungs.goes_on(losses, [0.2, 0.1, 0.0, 0.0], 2)

    def test_several_objectives_by_rank_and_then_the_ends_of_the_front(self) -> None:
        front = [(0.0, 4.0), (1.0, 2.9), (2.0, 2.0), (4.0, 0.0)]
        behind = [(4.0, 5.0), (5.0, 5.0)]
        assert set(rungs.best(behind + front, [0.0] * 6, 3)) == {2, 5}
        assert set(rungs.best(behind + front, [0.0] * 6, 2)) == {2, 5, 4}


class TestTable:
    def test_by_default_one_of_a_bracket_is_trained_to_its_end(self) -> None:
        spec = fake_spec(halving={"mode": "successive", "epochs": [1, 2, 4], "reduction": 2})
        assert spec.halving is not None
        assert spec.halving.competing == 8
        assert StudySpec.from_json(spec.to_json()) == spec

    @pytest.mark.parametrize(
        ("halving", "message"),
        [
            ({"bracket": 9}, 'bracket: only mode = "successive" has brackets, got 9'),
            ({"mode": "synchronous"}, 'mode: expected "asynchronous" or "successive"'),
            ({"mode": "successive", "bracket": 1}, "bracket: expected an integer >= 2"),
        ],
    )
    def test_what_means_nothing_is_refused(self, halving: dict[str, Any], message: str) -> None:
        tables = {"dataset": {"name": "fakes.graph"}, "budget": {"trials": 3}}
        with pytest.raises(SpecError, match=message):
            spec_from_mapping(
                {**tables, "halving": {"epochs": [2], **halving}, "study": {"name": "a"}}
            )


def test_rungs_at_or_behind_the_end_are_refused(storage: str) -> None:
    """Also those of an evaluator that has one epoch alone; nothing is stored."""
    with pytest.raises(SpecError, match=r"\[halving\] epochs: .*below the 9 epochs.*got \[3, 9\]"):
        run(storage, 3, halving={"epochs": [3, 9]})
    tables = {
        "study": {"name": "looked-up"},
        "space": {"name": "nas_bench_graph"},
        "evaluator": {"name": "tabular", "table": "cora"},
        "budget": {"trials": 3},
        "halving": {"epochs": [1]},
    }
    with pytest.raises(SpecError, match="below the 1 epochs"):
        search(spec_from_mapping(tables), storage=storage, data_root=Path())
    assert not Store(storage).studies()


@pytest.mark.parametrize("objectives", [ONE_OBJECTIVE, TWO_OBJECTIVES], ids=["one", "two"])
@pytest.mark.parametrize("strategy", plugins.names("strategy"))
def test_round_any_strategy(strategy: str, objectives: dict[str, str], storage: str) -> None:
    """Of each bracket the best goes on; 21 epochs are trained in place of 81."""
    study = {"objectives": dict(objectives)}
    try:
        trials = run(storage, 18, strategy, study=study, halving=SUCCESSIVE)
    except SpecError:
        if len(objectives) == 1:
            raise
        pytest.skip(f"{strategy} is for one objective")
    for bracket in brackets(trials):
        assert Counter(trial.epochs for trial in bracket) == BRACKET
        points = [losses_of(at_rung(storage, t.number, 1), objectives) for t in bracket]
        (winner,) = [i for i, trial in enumerate(bracket) if trial.state == "complete"]
        assert non_dominated_ranks(points)[winner] == 0
    assert sum(trial.epochs for trial in trials) == 2 * 21


class TestBest:
    """27 random architectures; how good they are shows from the first epoch."""

    @pytest.fixture
    def best(self, tmp_path: Path) -> str:
        """The best of them, each trained to its end."""
        trials = run(f"sqlite:///{tmp_path / 'full.db'}", 27)
        best = max(trials, key=lambda t: t.metrics["val_accuracy"])
        assert best.architecture is not None
        return best.architecture.key

    @pytest.mark.parametrize("mode", ["successive", "asynchronous"])
    def test_it_is_kept(self, mode: str, best: str, storage: str) -> None:
        run(storage, 27, halving={**SUCCESSIVE, "mode": mode})
        found = Store(storage).front("fake")[0].architecture
        assert found is not None
        assert found.key == best

    @pytest.mark.parametrize("mode", ["successive", "asynchronous"])
    def test_the_wrong_way_round_it_is_lost(
        self, mode: str, best: str, storage: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Control."""
        right = rungs.standings

        def wrong(*arguments: Any) -> Any:
            return [tuple(-value for value in key) for key in right(*arguments)]

        monkeypatch.setattr(rungs, "standings", wrong)
        trials = run(storage, 27, halving={**SUCCESSIVE, "mode": mode})
        (mine,) = [t for t in trials if t.architecture is not None and t.architecture.key == best]
        assert mine.state == "pruned"


class TestConstraints:
    @pytest.mark.parametrize("mode", ["successive", "asynchronous"])
    def test_the_infeasible_rank_behind_the_feasible(self, mode: str, storage: str) -> None:
        """The most accurate break the bound at the rung; it is others that go on."""
        study = {"constraints": ["val_loss >= 0.6"]}
        halving: dict[str, Any] = {"mode": mode, "epochs": [8], "reduction": 3}
        halving |= {"bracket": 9} if mode == "successive" else {}
        trials = run(storage, 27, study=study, halving=halving)
        broken = [t for t in trials if at_rung(storage, t.number, 8)["val_loss"] < 0.6]
        assert 5 < len(broken) < 22
        # Asynchronously the first one has nothing to be compared with.
        assert {t.state for t in broken if t.number or mode == "successive"} == {"pruned"}
        assert all(t.violation > 0 for t in broken)
        complete = [t for t in trials if t.state == "complete"]
        assert len(complete) >= 3
        assert all(t.metrics["val_loss"] >= 0.6 for t in complete)

    def test_if_none_is_feasible_the_nearestgo_on(self, storage: str) -> None:
        study = {"constraints": ["val_loss >= 2"]}
        trials = run(storage, 9, study=study, halving={**SUCCESSIVE, "epochs": [8], "bracket": 9})
        on = [t for t in trials if t.state == "infeasible"]
        assert len(on) == 3
        worst = max(t.violation for t in on)
        assert all(t.violation >= worst for t in trials if t.state == "pruned")
        assert "came nearest" in Store(storage).status("fake").reason


class TestBrackets:
    def test_jobsgo_on_from_their_artifacts(self, storage: str, tmp_path: Path) -> None:
        log = tmp_path / "log"
        trials = run(storage, 9, halving=SUCCESSIVE, evaluator={"log": str(log)})
        jobs = [line.split() for line in log.read_text().splitlines()]
        # A bracket is through with a rung before the next one begins.
        assert [int(job[2]) for job in jobs] == [1] * 9 + [3] * 3 + [9]
        assert {job[4] for job in jobs[:9]} == {"None"}
        written = {
            (t.architecture.key, row["epoch"]): row["artifact"]
            for t in trials
            if t.architecture is not None
            for row in Store(storage).evaluations("fake", t.number)
        }
        for key, _, until, _, resumed in jobs[9:]:
            assert resumed == written[key, {"3": 1, "9": 3}[until]]

    def test_who_goes_on_is_the_same_in_whatever_order_workers_end(self, tmp_path: Path) -> None:
        def study(name: str, **tables: Any) -> list[tuple[Any, ...]]:
            storage = f"sqlite:///{tmp_path / name}.db"
            trials = run(storage, 22, halving=SUCCESSIVE, **tables)
            return [(t.number, t.architecture, t.state, t.epochs) for t in trials]

        one = study("one")
        for seed in range(4):
            executor = {"name": "fakes.scrambled", "workers": 2 + 3 * seed, "seed": seed}
            assert study(f"several{seed}", executor=executor) == one

    def test_those_that_wait_hold_no_worker(self, storage: str, tmp_path: Path) -> None:
        """While the last of a bracket is measured, the next bracket begins."""
        log = tmp_path / "log"
        executor = {"name": "fakes.scrambled", "workers": 3, "seed": 1}
        tables = {"evaluator": {"log": str(log)}, "executor": executor}
        trials = run(storage, 18, halving=SUCCESSIVE, **tables)
        order = [line.split()[:3] for line in log.read_text().splitlines()]
        numbers = {t.architecture.key: t.number for t in trials if t.architecture is not None}
        jobs = [(numbers[key], int(until)) for key, _, until in order]
        assert min(jobs.index((n, 1)) for n in range(9, 18)) < jobs.index(
            next(job for job in jobs if job[1] == 9)
        )

    def test_failed_ones_are_not_waited_for(self, storage: str) -> None:
        trials = run(storage, 18, halving=SUCCESSIVE, evaluator={"fail_when_a_is": [0, 1, 2]})
        failed = [t for t in trials if t.state == "failed"]
        assert 2 < len(failed) < 15
        for bracket in brackets(trials):
            measured = [t for t in bracket if t.state != "failed"]
            assert sum(t.epochs > 1 for t in measured) == max(1, len(measured) // 3)
            assert sum(t.state == "complete" for t in bracket) == 1

    def test_the_budget_cuts_the_last_one_which_goes_on_when_there_is_more(
        self, storage: str
    ) -> None:
        """Four of nine: the best of them is trained to its end. The others come, and then compete
        with these; nobody that has ended is asked again.
        """
        trials = run(storage, 13, halving=SUCCESSIVE)
        assert Counter(t.epochs for t in trials[9:]) == {1: 3, 9: 1}
        resume("fake", storage=storage, data_root=Path(), trials=18)
        more = Store(storage).trials("fake")
        assert more[:13] == trials
        early = [at_rung(storage, n, 1)["val_accuracy"] for n in range(9, 13)]
        late = {n: at_rung(storage, n, 1)["val_accuracy"] for n in range(13, 18)}
        third = sorted([*early, *late.values()], reverse=True)[2]
        assert {n for n, value in late.items() if value >= third} == {
            t.number for t in more[13:] if t.epochs > 1
        }
        assert Store(storage).status("fake").state == "finished"

    def test_an_exhausted_space_cuts_it_too(self, storage: str) -> None:
        space = {"kinds": ["wide"], "widths": [2, 4], "levels": 2}
        trials = run(storage, 50, halving=SUCCESSIVE, space=space)
        assert len(trials) == 16
        assert Counter(t.state for t in trials) == {"complete": 2, "pruned": 14}
        assert "exhausted" in Store(storage).status("fake").reason

    def test_an_interrupt_and_another_budget(self, storage: str) -> None:
        """Interrupted within a bracket: those that wait go on waiting in the next run."""

        def interrupt(_: object) -> None:
            if Store(storage).status("fake").trials.running == 5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            search(
                fake_spec(18, halving=SUCCESSIVE),
                storage=storage,
                data_root=Path(),
                progress=interrupt,
            )
        assert Store(storage).status("fake").trials.waiting == 5
        assert resume("fake", storage=storage, data_root=Path()).trials.waiting == 0
        for bracket in brackets(Store(storage).trials("fake")):
            assert Counter(trial.epochs for trial in bracket) == BRACKET


def _in_child(spec: StudySpec, storage: str, kill_at_commit: int | None = None) -> int | None:
    child = fork.Process(target=go, args=(spec, storage, kill_at_commit))
    child.start()
    child.join()
    return child.exitcode


def _told(storage: str) -> list[tuple[Any, ...]]:
    """What must be equal between two studies: everything but times."""
    return [
        (t.number, t.seq, t.state, t.architecture, t.epochs, t.artifact, t.metrics, t.violation)
        for t in Store(storage).trials("fake")
    ]


def _spec(strategy: str, trials: int, tmp_path: Path) -> StudySpec:
    """Brackets of four, the last one cut; one bound is on a fact, and one on what is measured."""
    study = {"objectives": dict(ONE_OBJECTIVE), "constraints": ["params <= 100", "val_loss >= 0.5"]}
    return fake_spec(
        trials,
        strategy,
        study=study,
        evaluator={"log": str(tmp_path / "log"), "fail_when_a_is": [3]},
        halving={"mode": "successive", "epochs": [2, 4], "reduction": 2},
    )


@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param(name, marks=() if name in ("random", "evolution") else pytest.mark.slow)
        for name in plugins.names("strategy")
    ],
)
def test_a_kill_at_any_commit_changes_nothing(strategy: str, tmp_path: Path) -> None:
    """Killed at the 12th commit, the next run at its 13th, ...: the study that never was."""
    reference, storage = (f"sqlite:///{tmp_path / name}" for name in ("whole.db", "killed.db"))
    spec = _spec(strategy, 10, tmp_path)
    search(spec, storage=reference, data_root=Path())
    codes = []
    for kill_at_commit in range(12, 200):
        codes.append(_in_child(spec, storage, kill_at_commit))
        if codes[-1] == 0:
            break
    assert len(codes) > 3
    assert set(codes) == {-signal.SIGKILL, 0}
    assert _told(storage) == _told(reference)


def test_interrupted_when_the_survivors_are_at_different_rungs(tmp_path: Path) -> None:
    """One of two is at the second rung: it waits there for the other."""
    reference, storage = (f"sqlite:///{tmp_path / name}" for name in ("whole.db", "stopped.db"))
    spec = _spec("random", 6, tmp_path)
    search(spec, storage=reference, data_root=Path())

    def interrupt(_: object) -> None:
        trials = Store(storage).trials("fake")
        if any(len(Store(storage).evaluations("fake", t.number)) == 2 for t in trials):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(spec, storage=storage, data_root=Path(), progress=interrupt)
    assert Store(storage).status("fake").trials.waiting == 2
    resume("fake", storage=storage, data_root=Path())
    assert _told(storage) == _told(reference)


@pytest.mark.slow
def test_one_kill_at_each_commit(tmp_path: Path) -> None:
    """From the first commit of a study to its last: resumed once, it is the same."""
    reference = f"sqlite:///{tmp_path / 'whole.db'}"
    spec = _spec("evolution", 6, tmp_path)
    search(spec, storage=reference, data_root=Path())
    for kill_at_commit in range(200):
        storage = f"sqlite:///{tmp_path / str(kill_at_commit)}.db"
        code = _in_child(spec, storage, kill_at_commit)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        assert _in_child(spec, storage) == 0, f"killed at commit {kill_at_commit}, resuming failed"
        assert _told(storage) == _told(reference), kill_at_commit
    assert kill_at_commit > 20


def test_kills_with_several_workers(tmp_path: Path) -> None:
    """Exactly the trials asked for, and of each bracket as many go on as ever."""
    storage = f"sqlite:///{tmp_path / 'nas.db'}"
    executor = {"name": "fakes.scrambled", "workers": 5}
    spec = fake_spec(18, halving=SUCCESSIVE, executor=executor)
    for kill_at_commit in (30, 41, 52, None):
        _in_child(spec, storage, kill_at_commit)
    trials = Store(storage).trials("fake")
    assert [t.number for t in trials] == list(range(18))
    assert sorted(t.seq for t in trials if t.seq is not None) == list(range(18))
    for bracket in brackets(trials):
        assert Counter(trial.epochs for trial in bracket) == BRACKET
