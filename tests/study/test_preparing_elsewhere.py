"""Preparations of evaluators, in comparisons, in workers, and on their way between databases."""

import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fakes.studies import preparing_spec

from evaluators import Artifact, Prepared, PreparedEpoch, artifacts
from nas.candidate import candidate
from nas.compare import Bench, ComparisonError, compare, entrants, run_one
from nas.confirm import confirm
from nas.fold import build_strategy
from nas.garbage import collect_garbage
from nas.preparing import preparations
from nas.setting_up import set_up
from nas.spec import SpecError, StudySpec
from nas.store import Store, StoreError
from nas.store.checking import check as check_storage
from nas.store.exporting import export_study
from nas.store.housekeeping import delete_study
from nas.store.importing import import_study
from nas.store.schema import preparation_epochs as epochs_table
from nas.store.schema import preparations as preparations_table
from nas.strategies import Finished
from nas.study import resume, search
from search_spaces import UsageError


def go(spec: StudySpec, storage: str) -> Store:
    search(spec, storage=storage, data_root=Path())
    return Store(storage)


def told(store: Store, name: str = "fake") -> tuple[Any, ...]:
    """All of a study that must be equal to another's: preparation, its epochs, trials."""
    (one,) = store.status(name).preparations
    trials = [
        (t.number, t.seq, t.state, t.architecture, t.prepared, dict(t.metrics))
        for t in store.trials(name)
    ]
    return one.key, one.epoch, one.artifact, list(store.prepared_epochs(name, one.key)), trials


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


class TestEvaluator:
    def spec(self, folder: Path, strategy_epochs: int = 6, **tables: Any) -> StudySpec:
        """Strategy and evaluator have the same prepared, unless for another number of epochs."""
        evaluator: dict[str, Any] = {"name": "fakes.weighing", "log": str(folder / "jobs")}
        evaluator |= {"says": {"log": str(folder / "epochs")}}
        return preparing_spec(
            3,
            strategy={"epochs": strategy_epochs},
            says={"log": str(folder / "epochs")},
            evaluator=evaluator,
            **tables,
        )

    def test_its_jobs_get_what_is_prepared(self, storage: str, tmp_path: Path) -> None:
        """With a plain strategy; its proposals name nothing."""
        spec = self.spec(tmp_path)
        plain = spec.model_copy(update={"strategy": replace(spec.strategy, name="random")})
        plain = plain.model_copy(update={"strategy": replace(plain.strategy, options={})})
        store = go(plain, storage)
        (one,) = store.status("fake").preparations
        assert [line.split()[2] for line in lines(tmp_path / "jobs")] == [one.artifact] * 3
        assert {trial.prepared for trial in store.trials("fake")} == {None}
        values = [trial.metrics["val_accuracy"] for trial in store.trials("fake")]
        assert len(set(values)) == 3

    def test_what_it_has_in_common_with_the_strategy_is_done_once(
        self, storage: str, tmp_path: Path
    ) -> None:
        store = go(self.spec(tmp_path), storage)
        (one,) = store.status("fake").preparations
        assert [line.split()[1] for line in lines(tmp_path / "epochs")] == list("123456")
        assert {trial.prepared for trial in store.trials("fake")} == {one.artifact}

    def test_what_differs_is_done_apart(self, storage: str, tmp_path: Path) -> None:
        """The control: of one epoch less."""
        store = go(self.spec(tmp_path, strategy_epochs=5), storage)
        assert {one.epoch for one in store.status("fake").preparations} == {5, 6}
        done = {one.epochs: one.artifact for one in store.status("fake").preparations}
        assert {trial.prepared for trial in store.trials("fake")} == {done[5]}
        assert {line.split()[2] for line in lines(tmp_path / "jobs")} == {done[6]}

    def test_cache_keys_depend_on_it(self, storage: str, tmp_path: Path) -> None:
        spec = self.spec(tmp_path)
        setup = set_up(spec, Path())
        (one,) = preparations(setup, build_strategy(setup))
        architecture = next(iter(setup.space))
        keys = []
        for sha256 in ("a" * 64, "b" * 64):
            done = Prepared(one, Artifact("file:///nowhere", sha256), PreparedEpoch(6, {}))
            known = replace(setup, prepared={one.key: done})
            keys.append(known.cache_key(architecture, 5))
            keys.append(known.cache_key(architecture, 5))
        assert keys[0] == keys[1] != keys[2] == keys[3]
        go(spec, storage)
        rows = [row for n in range(3) for row in Store(storage).evaluations("fake", n)]
        assert len(rows) == 3

    def test_confirming_and_exporting_get_it_too(self, storage: str, tmp_path: Path) -> None:
        """An export makes a lost checkpoint again, by the same job."""
        store = go(self.spec(tmp_path), storage)
        (one,) = store.status("fake").preparations
        (tmp_path / "jobs").unlink()
        confirm("fake", top=1, seeds=2, storage=storage, data_root=Path())
        assert [line.split()[2] for line in lines(tmp_path / "jobs")] == [one.artifact] * 2
        trial = store.trial("fake", 0)
        artifacts.path(Artifact(store.artifacts("fake"), str(trial.artifact))).unlink()
        (tmp_path / "jobs").unlink()
        made = candidate("fake", 0, storage=storage, data_root=Path())
        assert made.retrained
        assert made.metrics["val_accuracy"] == trial.metrics["val_accuracy"]
        assert [line.split()[2] for line in lines(tmp_path / "jobs")] == [one.artifact]

    def test_its_options_are_checked(self, storage: str, tmp_path: Path) -> None:
        spec = self.spec(tmp_path)
        options = {**spec.evaluator.options, "says": {"pace": 1}}
        spec = spec.model_copy(update={"evaluator": replace(spec.evaluator, options=options)})
        with pytest.raises(
            SpecError, match=r'pace: no option of the preparation "fakes.preparing"'
        ):
            go(spec, storage)


def bench_of(spec: StudySpec, folder: Path) -> Bench:
    setup = set_up(spec, Path())
    dataset = setup.sealed((folder / "dataset").as_uri())
    return Bench(setup, dataset, (folder / "checkpoints").as_uri())


class TestComparison:
    @pytest.mark.parametrize("seed", [0, 3])
    def test_a_run_is_a_study(self, seed: int, storage: str, tmp_path: Path) -> None:
        """Of as many trials less as the preparation is worth: 20 passes, and 9 for a trial."""
        spec = preparing_spec(15, study={"seed": seed})
        trials = go(spec, storage).trials("fake")
        ended: list[Finished] = []
        bench = bench_of(spec, tmp_path)
        (entrant,) = (e for e in entrants(["fakes.preparing"], spec) if e.label != "random")
        for _ in range(2):  # also when another seed was before
            ended.clear()
            run = run_one(bench, entrant, seed, 18, ended.append)
            assert [(f.ordinal, f.architecture) for f in ended] == [
                (t.number, t.architecture) for t in trials
            ]
            assert [f.losses and -f.losses[0] for f in ended] == [
                t.metrics["val_accuracy"] for t in trials
            ]
            assert (run.trials, run.charged) == (18, 3)
            assert all(step.trial >= 3 for step in run.steps)
            run_one(bench, entrant, seed + 1, 5)

    def test_it_is_charged_beside_strategies_that_are_not(self, tmp_path: Path) -> None:
        spec = preparing_spec(10)
        made = compare(spec, ["fakes.preparing"], seeds=2, data_root=Path())
        charged = {label: {run.charged for run in runs} for label, runs in made.runs.items()}
        assert charged == {"random": {0}, "fakes.preparing": {3}}
        assert all(run.trials == 10 for runs in made.runs.values() for run in runs)

    def test_what_leaves_no_trial_is_refused(self) -> None:
        spec = preparing_spec(3)
        with pytest.raises(UsageError, match="is worth 3 evaluations, and there are 3"):
            compare(spec, ["fakes.preparing"], seeds=1, data_root=Path())
        compare(preparing_spec(4), ["fakes.preparing"], seeds=1, data_root=Path())

    def test_what_all_have_is_charged_to_none(self, tmp_path: Path) -> None:
        spec = TestEvaluator().spec(tmp_path)
        assert [self.charged(spec, tmp_path)] == [0]
        assert [self.charged(TestEvaluator().spec(tmp_path, 5), tmp_path)] == [4]
        made = compare(spec, ["fakes.preparing"], seeds=1, data_root=Path())
        assert {run.charged for runs in made.runs.values() for run in runs} == {0}

    def test_a_trial_of_several_runs_is_worth_more(self, tmp_path: Path) -> None:
        """Each of its seeds goes over the training units; one seed is the control."""

        def of(**options: int) -> int:
            tables = preparing_spec(50).to_json()
            spec = StudySpec.from_json({**tables, "evaluator": {"name": "training", **options}})
            return self.charged(spec, tmp_path)

        one, several = of(epochs=2, seeds=1), of(epochs=2, seeds=3)
        assert one > several == -(-one // 3)

    @staticmethod
    def charged(spec: StudySpec, folder: Path) -> int:
        bench = bench_of(spec, folder)
        return bench.charge(build_strategy(bench.setup))

    def test_one_that_fails_says_with_which_seed(self, tmp_path: Path) -> None:
        place = tmp_path / "trouble"
        place.write_text("diverge 2")
        spec = preparing_spec(9, says={"trouble": str(place)})
        with pytest.raises(ComparisonError, match=r"fakes.preparing failed with seed 0: step is"):
            compare(spec, ["fakes.preparing"], seeds=1, data_root=Path())


class TestExecutors:
    @pytest.mark.parametrize(
        "name",
        [
            "processes",
            pytest.param(
                "ray",
                marks=pytest.mark.skipif(sys.platform == "win32", reason="flock is needed here"),
            ),
        ],
    )
    def test_workers_make_the_same(
        self, name: str, storage: str, request: pytest.FixtureRequest, tmp_path: Path
    ) -> None:
        """In stretches, one a pause, so that checkpoints go to and fro."""
        table: dict[str, Any] = {"name": name}
        if name == "ray":
            cluster = request.getfixturevalue("ray_cluster")
            table |= {"address": cluster.address, "num_cpus": 0.5}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("nas.preparing._PAUSE_SECONDS", 0.0)
            patch.setattr("nas.preparing._SHARE", 0.0)
            store = go(preparing_spec(3, executor=table), storage)
        assert told(store) == told(go(preparing_spec(3, "inline"), storage), "inline")

    def test_tune_has_no_place_for_it(self, storage: str) -> None:
        spec = preparing_spec(3, executor={"name": "ray_tune"})
        with pytest.raises(SpecError, match=r"\[executor\].*prepare"):
            go(spec, storage)
        assert Store(storage).studies() == []


class TestStorage:
    @pytest.mark.parametrize("with_artifacts", [True, False])
    def test_it_moves_along_and_is_gone_on_with(
        self, with_artifacts: bool, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where its artifact stays behind, it is made again, and is the same."""
        name, log = f"moving-{with_artifacts}", tmp_path / "log"
        whole = told(
            go(preparing_spec(5, f"{name}-whole", says={"log": str(log)}), database),
            f"{name}-whole",
        )
        store, file = go(preparing_spec(3, name, says={"log": str(log)}), database), io.StringIO()
        export_study(store, name, file, with_artifacts=with_artifacts)
        content = file.getvalue().splitlines(keepends=True)
        kinds = [line[2 : line.index('":')] for line in content]
        assert kinds[2:9] == ["preparation", *["preparation_epoch"] * 6]
        monkeypatch.setenv("NAS_ARTIFACTS", str(tmp_path / "elsewhere"))
        other = Store(f"sqlite:///{tmp_path / 'other.db'}")
        import_study(other, content, "a file")
        assert told(other, name)[:4] == whole[:4]
        log.unlink()
        resume(name, storage=other.storage, data_root=Path(), trials=5)
        assert len(lines(log)) == (0 if with_artifacts else 6)
        assert told(other, name) == whole

    def test_a_file_that_lacks_an_epoch_is_refused(self, storage: str, tmp_path: Path) -> None:
        store, file = go(preparing_spec(2), storage), io.StringIO()
        export_study(store, "fake", file)
        content = file.getvalue().replace('"preparation_epoch":6', '"preparation_epoch":5')
        kept = content.splitlines(keepends=True)
        del kept[4]
        other = Store(f"sqlite:///{tmp_path / 'other.db'}")
        with pytest.raises(StoreError, match="1 preparations lack epochs"):
            import_study(other, kept, "a file")
        assert other.studies() == []

    def test_it_is_deleted_with_its_study(self, storage: str) -> None:
        store = go(preparing_spec(2), storage)
        assert self.rows(store) == (1, 6)
        delete_study(store, "fake")
        assert self.rows(store) == (0, 0)

    @staticmethod
    def rows(store: Store) -> tuple[int | None, ...]:
        with store.reading() as connection:
            return tuple(
                connection.scalar(sa.select(sa.func.count()).select_from(table))
                for table in (preparations_table, epochs_table)
            )

    def test_a_check_finds_epochs_that_are_missing(self, storage: str) -> None:
        store = go(preparing_spec(2), storage)
        before = {f.check: f.verdict for f in check_storage(storage) if f.subject == "fake"}
        assert "wrong" not in before.values()
        with store.writing() as connection:
            connection.execute(sa.delete(epochs_table).where(epochs_table.c.epoch == 2))
        (found,) = (f for f in check_storage(storage) if f.verdict == "wrong")
        assert "1 preparations lack epochs that they have had" in found.found

    def test_what_trials_are_proposed_from_is_no_garbage(
        self, storage: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The checkpoints before it are."""
        monkeypatch.setattr("nas.preparing._PAUSE_SECONDS", 0.0)
        monkeypatch.setattr("nas.preparing._SHARE", 0.0)
        store = go(preparing_spec(2), storage)
        (one,) = store.status("fake").preparations
        counts = collect_garbage(storage, min_age_seconds=0.0)
        assert counts["removed"] == 5
        assert artifacts.intact(Artifact(store.artifacts("fake"), str(one.artifact)))
