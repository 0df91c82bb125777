"""The evaluator `inherited`: of whose slices it evaluates, what it refuses, and fine-tuning."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluators import Artifact, Evaluation, Job, artifacts, checkpoint, preparing, tensors
from evaluators.artifacts import ArtifactError
from evaluators.datasets import Dataset, save_sealed
from evaluators.inherited import build
from evaluators.preparation import PreparationJob, Prepares
from evaluators.run import run
from nas.contracts import graphs, networks
from search_spaces import Architecture, SearchSpace, SpaceError, gnn
from search_spaces.plugins import Plugin

NODES = graphs.node_graph()
SPACE = networks.small_space(NODES.task)
OPTIONS: dict[str, Any] = {"epochs": 3, "steps": 2, "samples": 10}
ARCHITECTURES = [SPACE.sample(np.random.default_rng(i)) for i in range(4)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One for all tests here."""
    return artifacts.store_url(tmp_path_factory.mktemp("artifacts"))


def prepared(
    store: str, dataset: Dataset = NODES, space: SearchSpace = SPACE, seed: int = 3, until: int = 3
) -> Artifact:
    """A supernet, trained until this epoch of 3."""
    evaluator = build(dataset.task, **OPTIONS)
    assert isinstance(evaluator, Prepares)
    sealed = save_sealed(dataset.seal(), store)
    job = PreparationJob(evaluator.preparation, space, sealed, store, seed, until)
    artifact = preparing.prepare(job).artifact
    assert artifact is not None
    return artifact


@pytest.fixture(scope="module")
def net(store: str) -> Artifact:
    """The supernet of the tests that need no other."""
    return prepared(store)


def a_job(net: Artifact | None, store: str, which: int = 0, **options: Any) -> Job:
    plugin = Plugin("inherited", {**OPTIONS, **options})
    dataset = save_sealed(NODES.seal(), store)
    until = max(1, options.get("fine_tune_epochs", 0))
    return Job(ARCHITECTURES[which], SPACE, plugin, dataset, store, 3, until, prepared=net)


def alone(job: Job) -> Evaluation:
    (evaluation,) = run([job])
    return evaluation


def numbers(evaluation: Evaluation) -> dict[str, float]:
    assert evaluation.failure is None, evaluation.failure
    return {k: v for k, v in evaluation.metrics.items() if not k.endswith("_seconds")}


def test_a_slice_is_of_the_supernet_of_its_own_job(net: Artifact, store: str) -> None:
    """Two supernets in one batch: the numbers are those of each alone, what is foreseen too."""
    other = prepared(store, seed=4)
    jobs = [a_job(one, store, i) for i in range(3) for one in (net, other)]
    together = [numbers(evaluation) for evaluation in run(jobs)]
    assert together == [numbers(alone(job)) for job in jobs]
    for name in ("val_loss", "val_accuracy_foreseen"):
        assert all(together[i][name] != together[i + 1][name] for i in (0, 2, 4))


def test_an_architecture_outside_the_space_is_refused(net: Artifact, store: str) -> None:
    """By the decision and its choices."""
    inside = a_job(net, store)
    width = next(name for name in inside.architecture.choices if name.endswith("width"))
    outside = Architecture("gnn", {**inside.architecture.choices, width: 6})
    with pytest.raises(SpaceError, match=rf'"{width}" expected one of \[4, 8\], got 6'):
        alone(replace(inside, architecture=outside))
    assert alone(inside).metrics


def test_a_supernet_of_something_else_is_refused_by_name(net: Artifact, store: str) -> None:
    """Of another space, of another dataset, of both; its own is not."""
    wider = gnn.build(NODES.task, depth=[1, 2], operators=["gcn"], width=[4, 16], pre_layers=[0])
    elsewhere = replace(NODES, fingerprint="elsewhere")
    for of, says in (
        ({"space": wider}, "prepared for another space;"),
        ({"dataset": elsewhere}, "prepared for another dataset;"),
        ({"space": wider, "dataset": elsewhere}, "another space and another dataset;"),
    ):
        given: dict[str, Any] = of
        artifact = prepared(store, **given)
        with pytest.raises(ArtifactError, match=f"{artifact.sha256[:12]} was .*{says}"):
            alone(a_job(artifact, store))
    assert alone(a_job(net, store)).metrics


def test_what_is_no_trained_supernet_is_refused(net: Artifact, store: str) -> None:
    """Not trained to its end, none at all, a checkpoint of a network, and one that is gone."""
    begun = prepared(store, until=2)
    with pytest.raises(ArtifactError, match=f"{begun.sha256[:12]} is not trained to its end"):
        alone(a_job(begun, store))
    with pytest.raises(ArtifactError, match="nothing was prepared for it"):
        alone(a_job(None, store))
    trained = alone(a_job(net, store, fine_tune_epochs=1)).artifact
    with pytest.raises(ArtifactError, match="preparation"):
        alone(a_job(trained, store))
    with pytest.raises(ArtifactError, match="0" * 12):
        alone(a_job(replace(net, sha256="0" * 64), store))


def test_fine_tuning_begins_with_the_slice(net: Artifact, store: str) -> None:
    """Hardly moved, it measures what the slice does; from new weights it would not."""
    still = {"alone_lr": 1e-12, "weight_decay": 0.0, "dropout": 0.0, "fine_tune_epochs": 1}
    for which in range(len(ARCHITECTURES)):
        slice_, tuned = (
            numbers(alone(a_job(net, store, which, **options))) for options in ({}, still)
        )
        assert tuned["val_loss"] == pytest.approx(slice_["val_loss"], abs=1e-3)
        new = replace(
            a_job(None, store, which),
            evaluator=Plugin("training", {"epochs": 1, "lr": 0.0, "dropout": 0.0}),
        )
        assert numbers(alone(new))["val_loss"] != pytest.approx(slice_["val_loss"], abs=1e-3)


def test_fine_tuning_trains(net: Artifact, store: str) -> None:
    """The training loss falls and the weights are others; 0 epochs leave none behind."""
    short, long = (
        alone(a_job(net, store, alone_lr=0.05, fine_tune_epochs=n, dropout=0.0)) for n in (1, 40)
    )
    assert numbers(long)["val_loss"] < numbers(short)["val_loss"]
    assert numbers(long)["val_accuracy_foreseen"] == numbers(short)["val_accuracy_foreseen"]
    assert short.artifact is not None
    assert long.artifact is not None
    one, other = (checkpoint.best_weights(e.artifact) for e in (short, long))
    assert any(not torch.equal(one[name], other[name]) for name in one)
    assert alone(a_job(net, store)).artifact is None


def test_in_company_fine_tuning_is_what_it_is_alone(net: Artifact, store: str) -> None:
    jobs = [a_job(net, store, i, fine_tune_epochs=4) for i in (0, 1, 2, 0)]
    together = [numbers(evaluation) for evaluation in run(jobs)]
    assert together == [numbers(alone(job)) for job in jobs]
    assert together[0] != together[1]


def changed(net: Artifact, store: str, factor: float) -> Artifact:
    """The supernet with all of its weights this often."""
    header, state = preparing._read(net)
    weights: dict[str, Tensor] = {
        name: tensor * factor if name.startswith("weights/") else tensor
        for name, tensor in state.items()
    }
    return tensors.write(store, "preparation", header, weights)


def test_a_slice_that_is_not_finite_is_a_failure(net: Artifact, store: str) -> None:
    """Diverged, in words; a sound one beside it is not."""
    spoiled = changed(net, store, float("inf"))
    failed, sound = run([a_job(spoiled, store), a_job(net, store)])
    assert failed.failure is not None
    assert failed.failure.kind == "divergence"
    assert "not finite" in failed.failure.message
    assert not failed.metrics
    assert numbers(sound) == numbers(alone(a_job(net, store)))


def test_fine_tuning_that_diverges_is_a_failure(net: Artifact, store: str) -> None:
    """At a learning rate that nothing survives."""
    failed = alone(a_job(net, store, alone_lr=1e30, fine_tune_epochs=5))
    assert failed.failure is not None
    assert failed.failure.kind == "divergence"
    assert not failed.metrics
