"""What a study has done before its first proposal: recorded, checked, and done as it says."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes.studies import fake_spec, preparing_spec

from evaluators import Artifact, artifacts
from evaluators.artifacts import ArtifactError
from evaluators.preparation import Advance, PreparationJob
from evaluators.preparing import prepare, weights
from nas.budget import StudyFailedError
from nas.fold import build_strategy
from nas.setting_up import set_up
from nas.spec import SpecError, StudySpec
from nas.store import Store
from nas.study import check, resume, search
from search_spaces import PluginError


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
    epochs = store.prepared_epochs(name, one.key)
    return one.key, one.epoch, one.artifact, list(epochs), trials


class TestRecord:
    def test_it_is_done_first_and_every_proposal_names_it(self, database: str) -> None:
        name = "prepared-first"
        store = go(preparing_spec(5, name), database)
        (one,) = store.status(name).preparations
        assert (one.plugin, one.epoch, one.epochs, one.passes) == ("fakes.preparing", 6, 6, 20.0)
        assert one.artifact is not None
        assert {trial.prepared for trial in store.trials(name)} == {one.artifact}
        assert "step" in weights(Artifact(store.artifacts(name), one.artifact))

    def test_trials_of_other_studies_name_nothing(self, storage: str) -> None:
        """Control."""
        store = go(fake_spec(2), storage)
        assert store.status("fake").preparations == ()
        assert {trial.prepared for trial in store.trials("fake")} == {None}

    def test_every_epoch_is_recorded_with_its_metrics_and_distribution(self, storage: str) -> None:
        store = go(preparing_spec(1), storage)
        (one,) = store.status("fake").preparations
        epochs = store.prepared_epochs("fake", one.key)
        assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4, 5, 6]
        assert len({epoch.metrics["step"] for epoch in epochs}) == 6
        choices = store.choices("fake")
        for epoch in epochs:
            assert {n: len(row) for n, row in epoch.distribution.items()} == {
                name: len(offered) for name, offered in choices.items()
            }
            assert all(np.isclose(sum(row), 1) for row in epoch.distribution.values())

    def test_trials_are_drawn_from_the_last_epoch(self, storage: str) -> None:
        """Another seed prepares something else, and so does one epoch more."""
        found = [
            told(go(preparing_spec(4, name, **tables), storage), name)[2:]
            for name, tables in {
                "first": {},
                "again": {},
                "seed": {"study": {"seed": 1}},
                "longer": {"strategy": {"epochs": 7}},
            }.items()
        ]
        assert found[0] == found[1]
        assert len({artifact for artifact, _, _ in found}) == 3
        assert found[3][1][:6] == found[0][1]

    def test_options_may_be_tables(self, storage: str) -> None:
        store = go(preparing_spec(1, says={"nested": {"a": {"b": [1, 2]}}}), storage)
        (one,) = store.status("fake").preparations
        assert one.options == {"nested": {"a": {"b": [1, 2]}}}
        resume("fake", storage=storage, data_root=Path(), trials=2)
        assert len(store.status("fake").preparations) == 1

    def test_nothing_learned_of_the_decisions_is_an_empty_distribution(self, storage: str) -> None:
        job = job_of(storage, bad="none")
        assert [dict(epoch.distribution) for epoch in prepare(job).epochs] == [{}] * 6


def job_of(storage: str, **says: Any) -> PreparationJob:
    """The whole preparation of a study as one job."""
    spec = preparing_spec(says=says)
    setup, store = set_up(spec, Path()), Store(storage).new_artifacts()
    wanted = build_strategy(setup).preparation
    assert wanted is not None
    return PreparationJob(wanted, setup.space, setup.sealed(store), store, 0, wanted.epochs)


def in_stretches(job: PreparationJob) -> Advance:
    """The same in stretches of one epoch, each from the checkpoint of the one before."""
    done: list[Any] = []
    while len(done) < job.until_epoch:
        advance = prepare(replace(job, pause_seconds=0.0))
        assert len(advance.epochs) == 1
        done += advance.epochs
        job = replace(job, resume=advance.artifact)
    return replace(advance, epochs=tuple(done))


class TestStretches:
    def test_one_of_single_epochs_is_the_one_in_one_go(self, storage: str) -> None:
        """Bit for bit, whatever random numbers others draw meanwhile; and leaves theirs alone."""
        job = job_of(storage)
        before = torch.get_rng_state()
        whole = prepare(job)
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(7)
        pieces = in_stretches(job)
        assert pieces.epochs == whole.epochs
        assert pieces.artifact == whole.artifact

    def test_one_that_forgets_something_is_found_out(self, storage: str) -> None:
        """Control."""
        job = job_of(storage, forget=True)
        assert in_stretches(job).epochs[:1] == prepare(job).epochs[:1]
        assert in_stretches(job).epochs != prepare(job).epochs

    def test_the_checkpoint_of_another_one_is_refused(self, storage: str) -> None:
        job = job_of(storage)
        artifact = prepare(replace(job, pause_seconds=0.0)).artifact
        with pytest.raises(ArtifactError, match="is of another preparation"):
            prepare(replace(job, resume=artifact, seed=1))
        assert prepare(replace(job, resume=artifact)).epoch == 6
        foreign = artifacts.write(job.store, b"a picture of a cat")
        with pytest.raises(ArtifactError, match="is not of a preparation"):
            prepare(replace(job, resume=foreign))

    def test_a_limit_of_time_ends_a_stretch_and_not_the_preparation(self, storage: str) -> None:
        """Only an epoch that takes longer than all of it is a failure."""
        job = replace(job_of(storage, seconds=0.05), timeout_seconds=0.4)
        advance = prepare(job)
        assert advance.failure is None
        assert 1 < advance.epoch < 6
        failed = prepare(replace(job, timeout_seconds=0.01))
        assert failed.failure is not None
        assert (failed.epoch, failed.failure.kind) == (0, "timeout")
        assert failed.failure.message == "one epoch takes longer than 0.01 seconds"


class TestFaults:
    @pytest.mark.parametrize(
        ("trouble", "said"),
        [
            ("diverge 4", r"failed in epoch 4 \(divergence\): step is nan in epoch 4; what it had"),
            ("memory 4", r"failed in epoch 4 \(out_of_memory\): preparing: MemoryError: no room"),
        ],
    )
    def test_a_failure_stops_the_study_and_resume_goes_on_where_it_was(
        self,
        trouble: str,
        said: str,
        storage: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("nas.preparing._PAUSE_SECONDS", 0.0)
        monkeypatch.setattr("nas.preparing._SHARE", 0.0)
        place, log = tmp_path / "trouble", tmp_path / "log"
        says = {"trouble": str(place), "log": str(log)}
        whole = told(go(preparing_spec(3, "whole", says=says), storage), "whole")
        log.unlink()
        place.write_text(trouble)
        with pytest.raises(StudyFailedError, match=said + ".*nas resume fake"):
            go(preparing_spec(3, says=says), storage)
        status = Store(storage).status("fake")
        assert (status.state, status.trials.ended) == ("stopped", 0)
        assert "failed in epoch 4" in status.reason
        assert [one.epoch for one in status.preparations] == [3]
        place.unlink()
        resume("fake", storage=storage, data_root=Path())
        assert [line.split()[1] for line in log.read_text().splitlines()] == list("1234456")
        assert told(Store(storage)) == whole

    def test_an_exception_is_a_programs_fault_with_its_place(
        self, storage: str, tmp_path: Path
    ) -> None:
        place = tmp_path / "trouble"
        place.write_text("raise 2")
        with pytest.raises(ZeroDivisionError, match="a fault of the preparation") as raised:
            go(preparing_spec(says={"trouble": str(place)}), storage)
        (note,) = raised.value.__notes__
        assert "preparing.py:" in note
        assert "the preparation fakes.preparing" in note
        status = Store(storage).status("fake")
        assert (status.state, status.trials.ended) == ("stopped", 0)
        assert "ZeroDivisionError: a fault of the preparation (at " in status.reason

    @pytest.mark.slow
    def test_a_worker_that_dies_of_it_stops_the_study(self, storage: str, tmp_path: Path) -> None:
        place = tmp_path / "trouble"
        place.write_text("exit 3")
        spec = preparing_spec(says={"trouble": str(place)}, executor={"name": "processes"})
        with pytest.raises(StudyFailedError, match=r"\(crash\): its process died 2 times"):
            go(spec, storage)
        place.unlink()
        assert resume("fake", storage=storage, data_root=Path()).trials.ended == 4

    @pytest.mark.parametrize("kind", ["words", "none"])
    def test_metrics_that_are_no_numbers(self, kind: str, storage: str, tmp_path: Path) -> None:
        place = tmp_path / "trouble"
        place.write_text(f"{kind} 1")
        with pytest.raises(PluginError, match=r"fakes.preparing: epoch: expected .* numbers by"):
            prepare(job_of(storage, trouble=str(place)))

    @pytest.mark.parametrize(
        ("bad", "said"),
        [
            ("name", 'distribution over "c", which is no decision'),
            ("length", "expected 2 probabilities for the choices of"),
            ("sum", "expected 2 probabilities for the choices of"),
            ("sign", "expected 2 probabilities for the choices of"),
            ("nan", "expected 2 probabilities for the choices of"),
        ],
    )
    def test_a_distribution_that_is_none(self, bad: str, said: str, storage: str) -> None:
        where = 'study "fake": the preparation fakes.preparing'
        with pytest.raises(SpecError, match=f"{where}: {said}"):
            go(preparing_spec(says={"bad": bad}), storage)
        assert Store(storage).status("fake").trials.ended == 0


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"prepares": "hypernet"}, 'no preparation is called "hypernet"'),
            ({"prepares": "supernet"}, 'the space "fake" has no slices; use name = "gnn"'),
            ({"prepares": "fakes.nothing"}, '"fakes.nothing" cannot be imported'),
            ({"prepares": "fakes.evaluator"}, "no function `prepare`, so it is no preparation"),
            ({"says": {"pace": 3}}, 'pace: no option of the preparation "fakes.preparing"'),
            ({"says": {"seconds": "long"}}, "seconds: expected a number"),
            ({"says": {"seconds": -1}}, "seconds: expected a number >= 0"),
            ({"epochs": 0}, "expected epochs >= 1 and passes > 0"),
            ({"passes": 0.0}, "expected epochs >= 1 and passes > 0"),
        ],
        ids=str,
    )
    def test_nothing_is_stored_where_it_cannot_be_done(
        self, options: Mapping[str, Any], said: str, storage: str
    ) -> None:
        spec = preparing_spec(strategy=dict(options))
        with pytest.raises(SpecError) as refused:
            search(spec, storage=storage, data_root=Path(), where="mine.toml")
        assert said in str(refused.value)
        assert str(refused.value).startswith("mine.toml: ")
        assert Store(storage).studies() == []

    def test_a_check_does_nothing_of_it(self, storage: str, tmp_path: Path) -> None:
        log = tmp_path / "log"
        check(preparing_spec(says={"log": str(log)}), storage=storage, data_root=Path())
        assert not log.exists()

    def test_a_table_has_nothing_to_prepare_on(self, storage: str) -> None:
        spec = preparing_spec(evaluator={"name": "fakes.table"})
        spec = spec.model_copy(update={"dataset": None})
        with pytest.raises(SpecError, match=r"is prepared on a dataset.*use another strategy"):
            go(spec, storage)

    def test_a_sampler_of_plain_optuna_has_nobody_who_would_do_it(self) -> None:
        import optuna
        from fakes import preparing, space

        from nas.strategies import StrategyError, StrategySampler
        from nas.strategies._suggest import suggest

        made = space.build(None)  # type: ignore[arg-type]
        study = optuna.create_study(sampler=StrategySampler(preparing.build, made))
        with pytest.raises(StrategyError, match="which plain Optuna has no place for"):
            study.optimize(lambda trial: len(suggest(trial, made).choices), n_trials=1)
