"""How weights are taken over: by a plug-in that a proposal names, wherever the trial is trained."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.studies import fake_spec
from safetensors import safe_open

from evaluators import Artifact, Inheritance, artifacts
from evaluators.artifacts import ArtifactError
from evaluators.checkpoint import best_weights
from evaluators.run import run
from nas.candidate import candidate
from nas.compare import Bench, entrants, run_one
from nas.setting_up import set_up
from nas.spec import StudySpec
from nas.store import Store
from nas.strategies import Finished
from nas.study import resume, search
from search_spaces.plugins import Plugin

HALF, ALIKE = "fakes.halving_heir", "alike"


def spec_with(by: str = HALF, trials: int = 4) -> StudySpec:
    """Networks of one size, each from the weights of trial 0."""
    spec = fake_spec(
        trials,
        "random",
        space={"kinds": ["plain"], "widths": [4]},
        evaluator={"name": "training", "epochs": 2, "weight_decay": 0.0},
    )
    return spec.model_copy(update={"strategy": Plugin(HALF, {"by": by})})


def go(spec: StudySpec, storage: str) -> Store:
    search(spec, storage=storage, data_root=Path())
    return Store(storage)


def told(store: Store) -> list[tuple[Any, ...]]:
    """All of the trials but times."""
    return [
        (
            t.number,
            t.architecture,
            t.inherit,
            t.inherit_by,
            {k: v for k, v in t.metrics.items() if k != "train_seconds"},
        )
        for t in store.trials("fake")
    ]


def test_it_is_recorded_with_the_trial(storage: str) -> None:
    """Of trials that inherit, and of no others."""
    store = go(spec_with(), storage)
    assert [(t.inherit, t.inherit_by) for t in store.trials("fake")] == [
        (None, None),
        *[(0, HALF)] * 3,
    ]


def test_another_way_makes_other_networks(storage: str, tmp_path: Path) -> None:
    half = told(go(spec_with(), storage))
    alike = told(go(spec_with(ALIKE), f"sqlite:///{tmp_path / 'alike.db'}"))
    assert [row[1] for row in half] == [row[1] for row in alike]
    assert half[0] == (*alike[0][:3], None, alike[0][4])
    assert all(one[4] != other[4] for one, other in zip(half[1:], alike[1:], strict=True))


def test_what_it_does_is_what_the_network_begins_with(storage: str) -> None:
    """At a learning rate of 0 the weights stay half of the parent's."""
    store = go(spec_with(trials=1), storage)
    setup, place = set_up(spec_with(), Path()), store.artifacts("fake")
    parent = store.trial("fake", 0)
    assert parent.architecture is not None
    artifact = Artifact(place, str(parent.artifact))
    spec = replace(setup.spec.evaluator, options={"epochs": 1, "lr": 0.0, "weight_decay": 0.0})
    job = setup.job(parent.architecture, setup.sealed(place), place, 1)
    choices = {k: v for k, v in parent.architecture.choices.items() if k != "train.lr"}
    plain = replace(parent.architecture, choices=choices)
    found = {}
    for by in (HALF, ALIKE):
        inherit = Inheritance(artifact, parent.architecture, by)
        (evaluation,) = run([replace(job, architecture=plain, evaluator=spec, inherit=inherit)])
        assert evaluation.artifact is not None
        found[by] = best_weights(evaluation.artifact)
    for name, tensor in best_weights(artifact).items():
        torch.testing.assert_close(found[ALIKE][name], tensor)
        torch.testing.assert_close(found[HALF][name], tensor / 2)


def test_a_resumed_study_goes_on_as_it_would_have(storage: str, tmp_path: Path) -> None:
    whole = go(spec_with(trials=6), f"sqlite:///{tmp_path / 'whole.db'}")
    store = go(spec_with(trials=3), storage)
    resume("fake", storage=storage, data_root=Path(), trials=6)
    assert told(store) == told(whole)


def test_a_checkpoint_that_is_lost_is_trained_again_in_the_same_way(storage: str) -> None:
    """The parent's too, which is needed for it; the control is the weights of before."""
    store = go(spec_with(), storage)
    trial, place = store.trial("fake", 2), store.artifacts("fake")
    before = best_weights(Artifact(place, str(trial.artifact)))
    for number in (0, 2):
        sha256 = str(store.trial("fake", number).artifact)
        artifacts.path(Artifact(place, sha256)).unlink()
    again = candidate("fake", 2, storage=storage, data_root=Path())
    assert again.retrained
    assert all(torch.equal(again.weights[name], tensor) for name, tensor in before.items())
    other = best_weights(Artifact(place, str(store.trial("fake", 3).artifact)))
    assert any(not torch.equal(other[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("by", [HALF, ALIKE])
def test_a_run_of_a_comparison_passes_it_on(by: str, storage: str, tmp_path: Path) -> None:
    spec = spec_with(by, trials=5)
    trials = go(spec, storage).trials("fake")
    setup = set_up(spec, Path())
    bench = Bench(
        setup,
        setup.sealed((tmp_path / "dataset").as_uri()),
        (tmp_path / "checkpoints").as_uri(),
    )
    (entrant,) = (e for e in entrants([HALF], spec) if e.label == HALF)
    ended: list[Finished] = []
    run_one(bench, entrant, 0, 5, ended.append)
    assert [(f.architecture, f.losses and -f.losses[0]) for f in ended] == [
        (t.architecture, t.metrics["val_accuracy"]) for t in trials
    ]


@pytest.mark.parametrize(("by", "named"), [(ALIKE, ""), (HALF, HALF)])
def test_what_a_stopped_trial_goes_on_from_names_the_way(by: str, named: str, storage: str) -> None:
    """The usual one has no name there, as before there were others."""
    store = go(spec_with(trials=1), storage)
    setup, place = set_up(spec_with(), Path()), store.artifacts("fake")
    parent = store.trial("fake", 0)
    assert parent.architecture is not None
    artifact = Artifact(place, str(parent.artifact))
    job = setup.job(parent.architecture, setup.sealed(place), place, 1)
    job = replace(job, inherit=Inheritance(artifact, parent.architecture, by))
    (half,) = run([job])
    assert half.artifact is not None
    with safe_open(artifacts.path(half.artifact), framework="pt") as file:
        of = json.loads(file.metadata()["checkpoint"])["job"]["inherit"]
    assert of == ([artifact.sha256, named] if named else artifact.sha256)
    (on,) = run([replace(job, until_epoch=2, resume=half.artifact)])
    assert (on.epoch, on.failure) == (2, None)
    other = replace(job.inherit, by=HALF if by == ALIKE else ALIKE)  # type: ignore[type-var]
    with pytest.raises(ArtifactError, match="is of another job: inherit differ"):
        run([replace(job, until_epoch=2, resume=half.artifact, inherit=other)])


def test_one_that_is_not_there_is_a_fault_of_the_strategy(storage: str) -> None:
    """Nothing that a user has written; before anything is trained with it."""
    with pytest.raises(ValueError, match=r'strategy ".*" proposes, as trial 1, to inherit by half'):
        go(spec_with("half"), storage)
    store = Store(storage)
    assert "no inheritance is called" in store.status("fake").reason
    assert store.status("fake").trials.ended == 1


def test_a_parent_that_has_not_ended_is_a_fault_of_the_strategy(storage: str) -> None:
    """The control: its own trial, which nobody can begin from."""
    spec = spec_with("alike")
    tables = {**spec.to_json(), "strategy": {"name": "fakes.orphan"}}
    with pytest.raises(ValueError, match="to inherit from trial 0, which is none that it has fold"):
        go(StudySpec.from_json(tables), storage)
    assert Store(storage).status("fake").trials.ended == 0
