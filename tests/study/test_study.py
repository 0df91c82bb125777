"""What a study does: budgets, constraints, failures, the record, refusals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.studies import TWO_OBJECTIVES, fake_spec
from sqlalchemy import event
from sqlalchemy.engine import Engine

from nas.budget import StudyFailedError
from nas.record import Progress
from nas.setting_up import set_up
from nas.spec import SpecError, spec_from_mapping
from nas.starting import start_architectures
from nas.store import Store, StoreError
from nas.store.housekeeping import delete_study, rename_study
from nas.study import resume, search
from search_spaces import Architecture, SearchSpace, Task, UsageError


def run(storage: str, *arguments: Any, **tables: Any) -> Store:
    search(fake_spec(*arguments, **tables), storage=storage, data_root=Path())
    return Store(storage)


def evaluated(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


# Nothing here comes from outside the program, but for the graph.
BUILT_IN: dict[str, dict[str, Any]] = {
    "space": {"name": "gnn", "depth": [1], "operators": ["gcn", "linear"], "width": [2, 4]},
    "evaluator": {"name": "training", "epochs": 2},
}


class TestBudget:
    def test_trials_are_met_exactly_and_resuming_adds_none(self, storage: str) -> None:
        store = run(storage, 7)
        assert store.status("fake").trials.complete == 7
        resume("fake", storage=storage, data_root=Path())
        resume("fake", storage=storage, data_root=Path(), trials=5)
        assert len(store.trials("fake")) == 7

    def test_resume_counts_in_total(self, storage: str) -> None:
        store = run(storage, 4)
        status = resume("fake", storage=storage, data_root=Path(), trials=9)
        assert status.trials.complete == 9
        assert [t.number for t in store.trials("fake")] == list(range(9))

    def test_a_reached_target_stops(self, storage: str) -> None:
        store = run(storage, 200, budget={"target": {"val_accuracy": 0.5}})
        trials = store.trials("fake")
        assert trials[-1].metrics["val_accuracy"] >= 0.5
        assert all(t.metrics["val_accuracy"] < 0.5 for t in trials[:-1])
        assert "target" in store.status("fake").reason

    def test_no_progress_stops(self, storage: str) -> None:
        store = run(storage, 200, budget={"no_progress": 5})
        values = [t.metrics["val_accuracy"] for t in store.trials("fake")]
        assert max(values) == values[-6]
        assert "without progress" in store.status("fake").reason

    def test_seconds_stop_and_count_over_resumes(self, storage: str) -> None:
        store = run(storage, None, budget={"seconds": 0.8}, evaluator={"seconds": 0.05})
        first = len(store.trials("fake"))
        assert 1 <= first <= 16
        assert store.status("fake").seconds >= 0.8
        resume("fake", storage=storage, data_root=Path())
        assert len(store.trials("fake")) == first

    def test_a_small_space_is_exhausted_and_says_so(self, storage: str) -> None:
        store = run(storage, 100, space={"kinds": ["plain"], "levels": 2})
        trials = store.trials("fake")
        assert len({t.architecture for t in trials}) == len(trials) == 32
        assert "exhausted" in store.status("fake").reason
        resume("fake", storage=storage, data_root=Path())
        assert len(store.trials("fake")) == 32


class TestRecord:
    def test_the_best_is_one_trial(self, storage: str) -> None:
        """Its values, and not the best of each objective: told while it runs and afterwards."""
        told: list[Progress] = []
        spec = fake_spec(30, study={"objectives": dict(TWO_OBJECTIVES)})
        search(spec, storage=storage, data_root=Path(), progress=told.append)
        store = Store(storage)
        trials, first = store.trials("fake"), store.front("fake")[0]
        best = {metric: first.metrics[metric] for metric in TWO_OBJECTIVES}
        assert store.status("fake").best == told[-1].status.best == best
        # A control: the smallest network is another one.
        assert min(t.metrics["params"] for t in trials) < best["params"]

    def test_of_equally_good_trials_the_next_objective_tells(self, storage: str) -> None:
        objectives = {"params": "minimize", "val_accuracy": "maximize"}
        told: list[Progress] = []
        spec = fake_spec(30, study={"objectives": objectives})
        search(spec, storage=storage, data_root=Path(), progress=told.append)
        store = Store(storage)
        trials, first = store.trials("fake"), store.front("fake")[0]
        best = {metric: first.metrics[metric] for metric in objectives}
        assert store.status("fake").best == told[-1].status.best == best
        # A control: there are others as small.
        assert (
            len(
                {t.metrics["val_accuracy"] for t in trials if t.metrics["params"] == best["params"]}
            )
            > 1
        )

    def test_known_evaluations_cost_nothing(self, storage: str) -> None:
        """A second study with the same seed asks for the same, and is answered from the first."""
        store = run(storage, 4, **BUILT_IN)
        again = run(storage, 4, **{**BUILT_IN, "study": {"name": "again"}})
        assert again.status("again").trials.cached == 4
        assert store.status("fake").trials.cached == 0
        same = [(t.architecture, t.metrics) for t in store.trials("fake")]
        assert [(t.architecture, t.metrics) for t in store.trials("again")] == same
        assert {t.seconds for t in store.trials("again")} == {0.0}

    def test_code_from_elsewhere_answers_its_own_study_alone(
        self, storage: str, tmp_path: Path
    ) -> None:
        """A module under the same name may have changed: nothing is taken over from it."""
        log = tmp_path / "log"
        run(storage, 3, evaluator={"log": str(log)})
        run(storage, 3, study={"name": "again"}, evaluator={"log": str(log)})
        assert len(evaluated(log)) == 6

    @pytest.mark.parametrize(
        "tables",
        [
            {"study": {"name": "other", "seed": 1}},
            {"study": {"name": "other"}, "evaluator": {"name": "training", "epochs": 3}},
            {"study": {"name": "other"}, "dataset": {"nodes": 15}},
        ],
    )
    def test_what_may_change_a_result_is_in_the_key(
        self, storage: str, tables: dict[str, Any]
    ) -> None:
        """Control: another seed, evaluator or dataset is never answered from the record."""
        space = {"name": "gnn", "depth": [1], "operators": ["gcn"], "width": [2], "output": ["gcn"]}
        space |= {"activation": ["relu", "elu"], "normalization": ["none"], "pre_layers": [0]}
        base = {**BUILT_IN, "space": {**space, "post_layers": [0], "connectivity": ["plain"]}}
        assert run(storage, 2, **base).status("fake").trials.complete == 2
        store = run(storage, 2, **{**base, **tables})
        assert store.status("other").trials.cached == 0

    def test_a_trial_takes_at_most_eight_commits(self, storage: str) -> None:
        commits = 0

        def count(_: object) -> None:
            nonlocal commits
            commits += 1

        def total(trials: int, name: str) -> int:
            nonlocal commits
            commits = 0
            run(storage, trials, study={"name": name, "objectives": dict(TWO_OBJECTIVES)})
            return commits

        event.listen(Engine, "commit", count)
        try:
            difference = total(25, "long") - total(5, "short")
        finally:
            event.remove(Engine, "commit", count)
        assert 3 <= difference / 20 <= 8

    def test_architectures_to_try_first(self, storage: str) -> None:
        first = {"kind": "wide", "width": 16, "a": 7}
        store = run(storage, 5, study={"start": [first, {"kind": "plain"}]})
        trials = store.trials("fake")
        assert dict(trials[0].architecture.choices) == {
            **first,
            "b": 0,
            "train.lr": 0.1,
        }
        assert trials[1].architecture.choices["kind"] == "plain"
        front = [t.architecture for t in store.front("fake")]
        follower = run(storage, 4, study={"name": "next", "start": ["study:fake"]})
        assert [t.architecture for t in follower.trials("next")][: len(front)] == front

    def test_what_is_given_is_tried_first_however_it_is_described(self) -> None:
        """Where several choices describe one cell, those not given are filled in beside the given
        ones, and not into its representative, which lists the nodes in another order."""
        start = {"node3.operator": "linear"}
        tables = {
            "study": {"name": "t", "start": [start]},
            "space": {"name": "nas_bench_graph"},
            "evaluator": {"name": "fakes.table"},
            "budget": {"trials": 1},
        }
        spec = spec_from_mapping(tables)
        space = set_up(spec, Path()).space
        first = {d.name: d.choices[0] for d in space.decisions}
        assert start_architectures(spec, space, {}) == [space.architecture({**first, **start})]

    def test_rungs_stop_the_worse_and_continue_the_better(
        self, storage: str, tmp_path: Path
    ) -> None:
        log = tmp_path / "log"
        halving = {"epochs": [2, 4], "reduction": 3}
        store = run(storage, 30, halving=halving, evaluator={"log": str(log)})
        trials = store.trials("fake")
        pruned = [t for t in trials if t.state == "pruned"]
        complete = [t for t in trials if t.state == "complete"]
        assert len(pruned) > len(complete) >= 1
        assert {t.epochs for t in pruned} <= {2, 4}
        assert {t.epochs for t in complete} == {9}
        rungs = [len(store.evaluations("fake", t.number)) for t in trials]
        assert sum(rungs) == len(evaluated(log))
        mean = {
            s: sum(t.metrics["val_accuracy"] for t in group) / len(group)
            for s, group in (("pruned", pruned), ("complete", complete))
        }
        assert mean["complete"] > mean["pruned"]

    def test_inherited_weights_reach_the_job(self, storage: str, tmp_path: Path) -> None:
        log = tmp_path / "log"
        store = run(storage, 4, "fakes.heir", evaluator={"log": str(log)})
        parent = store.trial("fake", 0).artifact
        assert [line.split()[3] for line in evaluated(log)] == ["None", *[parent] * 3]

    def test_inherited_weights_are_not_shared(self, storage: str) -> None:
        """What started from other weights never answers another study, nor is answered."""
        run(storage, 4, "fakes.heir", **BUILT_IN)
        store = run(storage, 4, "fakes.heir", **{**BUILT_IN, "study": {"name": "again"}})
        assert [t.cached for t in store.trials("again")] == [True, False, False, False]


class TestFacts:
    def test_they_are_computed_once_a_structure(
        self, storage: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A strategy that looks at them and the driver that holds bounds against them."""
        import evaluators.facts

        asked: list[str] = []
        real = evaluators.facts.facts

        def counted(
            space: SearchSpace, architecture: Architecture, task: Task, *rest: Any, **named: Any
        ) -> dict[str, float]:
            asked.append(architecture.structure_key)
            return real(space, architecture, task, *rest, **named)

        monkeypatch.setattr(evaluators.facts, "facts", counted)
        bound = {"name": "fake", "constraints": ["params <= 100_000"]}
        tables = {**BUILT_IN, "study": bound}
        store = run(storage, 6, "linas", **tables)
        keys = {t.architecture.structure_key for t in store.trials("fake") if t.architecture}
        assert keys <= {*asked}
        assert len(asked) == len({*asked})

    def test_a_strategy_learns_beside_them_in_one_run(self, storage: str) -> None:
        """From trials that this driver has ended, and not read again."""
        objectives = {"val_accuracy": "maximize", "params": "minimize"}
        study = {"name": "fake", "objectives": objectives}
        space = {**BUILT_IN["space"], "depth": [1, 2]}
        store = run(storage, 44, "linas", **{**BUILT_IN, "study": study, "space": space})
        phases = [t.note.get("phase") for t in store.trials("fake")]
        assert phases.count("predicted") >= 3


class TestFaults:
    def test_a_failed_candidate_is_data(self, storage: str) -> None:
        store = run(storage, 20, evaluator={"fail_when_a_is": [3]})
        failed = [t for t in store.trials("fake") if t.state == "failed"]
        assert failed
        assert {t.architecture.choices["a"] for t in failed} == {3}
        assert {t.failure["kind"] for t in failed} == {"divergence"}
        assert store.status("fake").trials.ended == 20
        assert all(t.number not in [f.number for f in failed] for t in store.front("fake"))

    def test_a_metric_that_is_not_finite_fails_its_trial(self, storage: str) -> None:
        store = run(storage, 20, evaluator={"nan_when_a_is": [3]})
        failed = [t for t in store.trials("fake") if t.state == "failed"]
        assert {t.architecture.choices["a"] for t in failed} == {3}
        assert {t.failure["message"] for t in failed} == {"val_loss is nan"}

    def test_a_network_that_cannot_be_built_costs_one_trial(self, storage: str) -> None:
        store = run(storage, 12, space={"kinds": ["plain", "broken"]})
        failed = [t for t in store.trials("fake") if t.state == "failed"]
        assert {t.architecture.choices["kind"] for t in failed} == {"broken"}
        assert "a broken kind of layer" in failed[0].failure["message"]

    def test_ten_in_a_row_stop_the_study(self, storage: str) -> None:
        with pytest.raises(StudyFailedError, match="10 candidates in a row"):
            run(storage, 50, evaluator={"fail_when_a_is": list(range(8))})
        status = Store(storage).status("fake")
        assert status.trials.failed == 10
        assert status.trials.running == status.trials.waiting == 0
        assert status.state == "stopped"

    def test_nine_in_a_row_do_not(self, storage: str) -> None:
        """Control: failures that are not consecutive never stop it."""
        store = run(storage, 60, evaluator={"fail_when_a_is": [0, 1, 2]})
        assert store.status("fake").trials.failed > 10

    def test_a_fault_of_the_program_is_raised_and_nothing_is_lost(self, storage: str) -> None:
        with pytest.raises(ZeroDivisionError):
            run(storage, 30, evaluator={"raise_when_a_is": [3]})
        status = Store(storage).status("fake")
        assert status.state == "stopped"
        assert (status.trials.running, status.trials.waiting) == (0, 1)

    def test_a_killed_study_is_stopped_with_a_reason(self, storage: str) -> None:
        """Nothing is called running that nobody runs."""
        run(storage, 2)
        import sqlalchemy as sa

        with sa.create_engine(storage).begin() as connection:
            connection.execute(sa.text("update nas_studies set state = 'running', reason = ''"))
            connection.execute(sa.text("update nas_trials set state = 'running' where ordinal = 1"))
        status = Store(storage).status("fake")
        assert status.state == "stopped"
        assert (status.trials.running, status.trials.waiting) == (0, 1)
        assert "without a word" in status.reason

    def test_an_interrupt_closes_trials_and_resume_goes_on(self, storage: str) -> None:
        def interrupt(progress: Progress) -> None:
            if progress.last is not None and progress.last.number == 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            search(fake_spec(9), storage=storage, data_root=Path(), progress=interrupt)
        status = Store(storage).status("fake")
        assert (status.state, status.reason) == ("stopped", "interrupted")
        assert status.trials.running == 0
        assert resume("fake", storage=storage, data_root=Path()).trials.complete == 9


class TestConstraints:
    def test_a_broken_bound_on_a_fact_costs_no_training(self, storage: str, tmp_path: Path) -> None:
        log = tmp_path / "log"
        study = {"objectives": dict(TWO_OBJECTIVES), "constraints": ["params <= 50"]}
        store = run(storage, 20, study=study, evaluator={"log": str(log)})
        trials = store.trials("fake")
        infeasible = [t for t in trials if t.state == "infeasible"]
        assert infeasible
        assert all(t.metrics["params"] > 50 and t.violation > 0 for t in infeasible)
        assert len(evaluated(log)) == 20 - len(infeasible)
        assert all(t.metrics["params"] <= 50 for t in store.front("fake"))

    def test_a_bound_on_a_metric_is_checked_after(self, storage: str, tmp_path: Path) -> None:
        log = tmp_path / "log"
        study = {"constraints": ["val_loss >= 0.6"]}
        store = run(storage, 20, study=study, evaluator={"log": str(log)})
        assert len(evaluated(log)) == 20
        assert all(t.metrics["val_loss"] >= 0.6 for t in store.front("fake"))
        assert store.status("fake").trials.infeasible > 0


class TestRefusals:
    def test_an_existing_name(self, storage: str) -> None:
        run(storage, 2)
        with pytest.raises(StoreError, match="nas resume fake"):
            run(storage, 2)

    def test_an_unknown_name(self, storage: str) -> None:
        run(storage, 2)
        with pytest.raises(StoreError, match='did you mean "fake"'):
            Store(storage).status("fkae")

    def test_a_changed_dataset(self, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
        run(storage, 2)
        import fakes.graph

        original = fakes.graph.build
        monkeypatch.setattr(
            fakes.graph, "build", lambda root, *, nodes=12: original(root, nodes=nodes + 3)
        )
        with pytest.raises(StoreError, match=r"dataset.n_nodes: 12 -> 15"):
            resume("fake", storage=storage, data_root=Path(), trials=4)

    def test_a_changed_space(self, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
        run(storage, 2)
        import fakes.space

        original = fakes.space.build
        monkeypatch.setattr(
            fakes.space,
            "build",
            lambda task, *, levels=8: original(task, levels=levels + 1),
        )
        with pytest.raises(StoreError, match=r"space.decisions.a.choices") as error:
            resume("fake", storage=storage, data_root=Path(), trials=4)
        assert "7] -> " in str(error.value)

    @pytest.mark.parametrize(
        ("tables", "message"),
        [
            ({"study": {"objectives": {"val_acuracy": "maximize"}}}, 'did you mean "val_accuracy"'),
            ({"study": {"constraints": ["parms <= 5"]}}, 'did you mean "params"'),
            ({"budget": {"target": {"params": 5}}}, "expected an objective"),
            ({"study": {"start": [{"knd": "wide"}]}}, 'did you mean "kind"'),
            ({"study": {"start": [{"kind": "wild"}]}}, "expected one of"),
            ({"halving": {"epochs": [9]}}, "below the 9 epochs"),
            (
                {"space": {"name": "nas_bench_graph", "operators": ["skip"]}},
                r"the study: \[space\] .* no description is an architecture",
            ),
        ],
    )
    def test_what_does_not_fit_is_refused_before_anything_is_stored(
        self, storage: str, tables: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(SpecError, match=message):
            run(storage, 3, **tables)
        assert Store(storage).studies() == []

    def test_two_drivers_at_once(self, storage: str) -> None:
        """A live driver's study cannot be resumed by another process."""
        import multiprocessing

        def other() -> None:
            try:
                resume("fake", storage=storage, data_root=Path(), trials=30)
            except StoreError as error:
                if "is being run by process" in str(error):
                    raise SystemExit(7) from error

        codes: list[int | None] = []

        def while_running(progress: Progress) -> None:
            if progress.last is not None and progress.last.number == 1:
                child = multiprocessing.get_context("fork").Process(target=other)
                child.start()
                child.join()
                codes.append(child.exitcode)

        search(fake_spec(3), storage=storage, data_root=Path(), progress=while_running)
        assert codes == [7]

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("sqlite://", "in memory"),
            ("nonsense", "expected a database URL"),
            ("mysql://u:secret@h/d", '"mysql:'),
            ("sqlite:////nowhere/at/all/nas.db", "does not exist"),
            ("postgresql://me:secret@127.0.0.1:9/nas", "cannot use the database"),
        ],
    )
    def test_a_database_that_cannot_be_used(self, url: str, message: str) -> None:
        with pytest.raises(StoreError, match=message) as error:
            Store(url)
        assert "secret" not in str(error.value)

    def test_a_study_of_optuna_alone(self, storage: str) -> None:
        import optuna

        optuna.create_study(study_name="fake", storage=storage)
        with pytest.raises(StoreError, match="that Optuna made"):
            run(storage, 2)

    def test_no_clean_up_while_a_study_runs(self, storage: str) -> None:
        from nas.garbage import collect_garbage
        from nas.store.runs import driving

        store = run(storage, 2)
        import multiprocessing

        def other() -> None:
            for act in (lambda: collect_garbage(storage), lambda: delete_study(store, "fake")):
                try:
                    act()
                except StoreError as error:
                    if "is being run by process" in str(error):
                        continue
                raise SystemExit(1)

        with driving(store, "fake"):
            child = multiprocessing.get_context("fork").Process(target=other)
            child.start()
            child.join()
        assert child.exitcode == 0
        delete_study(store, "fake")


class TestHousekeeping:
    @pytest.fixture
    def store(self, storage: str) -> Iterator[Store]:
        return run(storage, 5)

    def test_rename(self, store: Store) -> None:
        rename_study(store, "fake", "real")
        assert [s.name for s in store.studies()] == ["real"]
        status = resume("real", storage=store.storage, data_root=Path(), trials=8)
        assert status.trials.complete == 8
        run(store.storage, 2)
        with pytest.raises(StoreError, match="already"):
            rename_study(store, "fake", "real")

    def test_delete_and_garbage(self, store: Store) -> None:
        from nas.garbage import collect_garbage

        assert collect_garbage(store.storage, min_age_seconds=0)["removed"] == 0
        delete_study(store, "fake")
        assert store.studies() == []
        kept = run(store.storage, 3, study={"name": "kept", "seed": 5})
        counted = collect_garbage(store.storage, dry_run=True, min_age_seconds=0)
        assert counted["removed"] >= 5
        assert collect_garbage(store.storage)["removed"] == 0  # too young
        assert collect_garbage(store.storage, min_age_seconds=0) == counted
        assert collect_garbage(store.storage, min_age_seconds=0)["removed"] == 0
        assert all(t.artifact for t in kept.trials("kept"))

    def test_errors_are_usage_errors(self, store: Store) -> None:
        with pytest.raises(UsageError, match="numbered from 0"):
            store.trial("fake", 5)
