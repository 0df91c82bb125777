"""Networks that change from epoch to epoch: told of each, and resumed exactly."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from fakes import fading
from torch import nn

from evaluators import Evaluation, Job
from evaluators._recipe import seed_torch
from evaluators.checkpoint import best_weights, resume
from evaluators.datasets import save_sealed
from evaluators.engine.tracing import UnreadableError, traced
from evaluators.run import run
from evaluators.training import build
from search_spaces import ChangesInTraining, gnn
from search_spaces.plugins import Plugin

DATASET = tiny.node_graph()
SPACE = tiny.SPACE.extended(fading.build(tiny.SPACE, DATASET.task))


@pytest.fixture
def store(tmp_path: Path) -> str:
    return (tmp_path / "artifacts").as_uri()


def job_of(store: str, fades: str, until_epoch: int = 6, kind: str = "mlp", **options: Any) -> Job:
    architecture = SPACE.architecture({"kind": kind, "width": 8, "fading": fades})
    # With dropout, whose random numbers the loss draws too.
    evaluator = Plugin("training", {"epochs": 6, "dropout": 0.5, **options})
    dataset = save_sealed(DATASET.seal(), store)
    return Job(architecture, SPACE, evaluator, dataset, store, 3, until_epoch)


def done(job: Job) -> Evaluation:
    (evaluation,) = run([job])
    assert evaluation.failure is None, evaluation.failure
    return evaluation


def numbers(evaluation: Evaluation) -> dict[str, float]:
    return {k: v for k, v in evaluation.metrics.items() if k != "train_seconds"}


def last_state(store: str, fades: str, epoch: int, **options: Any) -> tuple[dict[str, Any], Any]:
    """The buffers and weights after so many epochs, of a job that would go on."""
    job = job_of(store, fades, epoch, **options)
    artifact = done(job).artifact
    assert artifact is not None
    evaluator: Any = build(DATASET.task, **job.evaluator.options)
    (state,) = resume(artifact, evaluator._identity(job))
    return state.current, artifact


def test_it_is_told_of_each_epoch_once_and_before(store: str) -> None:
    """From 1, in training mode; the loss is that of the network as it is."""
    state, _ = last_state(store, "kept", 4)
    assert state["begun"].tolist() == [0, 1, 1, 1, 1, *[0] * 11]
    losses = state["losses"][1:5]
    assert (losses > 0).all()
    assert losses.unique().numel() == 4
    assert (state["strength"] < 1).any()


def test_the_first_loss_is_that_of_the_untrained_network(store: str) -> None:
    """The control of what is differentiated: without dropout it can be computed here."""
    state, _ = last_state(store, "kept", 1, dropout=0.0)
    losses = []
    for seed in (3, 4):
        seed_torch(seed, 0, 0)
        network = SPACE.network(job_of(store, "kept").architecture, DATASET.task).train()
        logits = network(DATASET.x, DATASET.edge_index)[DATASET.train]
        losses.append(nn.functional.cross_entropy(logits, DATASET.y[DATASET.train]).item())
    assert state["losses"][1].item() == pytest.approx(losses[0], abs=1e-6)
    assert state["losses"][1].item() != pytest.approx(losses[1], abs=1e-6)


def test_what_is_in_buffers_goes_on_exactly(store: str) -> None:
    """In parts of any size: the same metrics, weights and buffers."""
    whole = done(job_of(store, "kept"))
    job, artifact = job_of(store, "kept"), None
    for epoch in (1, 2, 5, 6):
        part = done(replace(job, until_epoch=epoch, resume=artifact))
        artifact = part.artifact
    assert numbers(part) == numbers(whole)
    assert whole.artifact is not None
    assert part.artifact is not None
    one, other = best_weights(whole.artifact), best_weights(part.artifact)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert {"network.norm.weight", "strength", "begun"} <= set(one)


def test_what_is_in_an_attribute_does_not(store: str) -> None:
    """Control."""
    whole = done(job_of(store, "forgetful"))
    _, half = last_state(store, "forgetful", 3)
    assert numbers(done(replace(job_of(store, "forgetful"), resume=half))) != numbers(whole)


def test_it_changes_what_is_learned(store: str) -> None:
    assert numbers(done(job_of(store, "kept"))) != numbers(done(job_of(store, "none")))


def test_such_networks_are_not_read_by_the_engine(store: str) -> None:
    """The control is the same network, which does not change."""
    plain = gnn.build(DATASET.task, operators=("gcn",), depth=(1,))
    space = plain.extended(fading.build(plain, DATASET.task))
    notes = {}
    for fades in ("kept", "none"):
        architecture = space.fill(lambda d: d.choices[0], {"fading": fades})
        job = replace(job_of(store, fades), architecture=architecture, space=space)
        notes[fades] = done(job).notes
    assert (notes["kept"]["path"], notes["none"]["path"]) == ("stock", "fast")
    assert notes["kept"]["reason"] == "it changes from epoch to epoch"
    assert "it changes from epoch to epoch" in notes["kept"]["warning"]


def test_wherever_the_module_stands_that_changes() -> None:
    """The control is the same network without it."""
    network = fading.Fading(nn.Linear(4, 2), 4, forgets=False)
    assert isinstance(network, ChangesInTraining)
    with pytest.raises(UnreadableError, match="it changes from epoch to epoch"):
        traced(nn.Sequential(nn.Linear(4, 4), nn.ModuleDict({"inner": network})["inner"]))
    assert not isinstance(nn.Linear(4, 2), ChangesInTraining)
    traced(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)))


def test_one_that_raises_is_a_failure_of_its_candidate(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(self: Any, epoch: int, loss: Any) -> None:
        if epoch == 3:
            raise ZeroDivisionError("no mask is left")

    monkeypatch.setattr(fading.Fading, "begin_epoch", raises)
    (evaluation,) = run([job_of(store, "kept")])
    assert evaluation.failure is not None
    assert (evaluation.epoch, evaluation.failure.kind) == (2, "error")
    assert "beginning an epoch: ZeroDivisionError: no mask" in evaluation.failure.message
    assert done(job_of(store, "none")).failure is None


@pytest.mark.parametrize("batch_size", [8, 60])
def test_of_whole_graphs_in_batches_the_loss_is_of_the_first(batch_size: int, store: str) -> None:
    """And goes on exactly, though drawing the batch takes random numbers."""
    graphs = tiny.graph_set()
    space = tiny.SPACE.extended(fading.build(tiny.SPACE, graphs.task))
    architecture = space.architecture({"kind": "mlp", "width": 8, "fading": "kept"})
    dataset = save_sealed(graphs.seal(), store)
    evaluator = Plugin("training", {"epochs": 5, "batch_size": batch_size})
    job = Job(architecture, space, evaluator, dataset, store, 3, 5)
    whole = done(job)
    half = done(replace(job, until_epoch=2))
    assert numbers(done(replace(job, resume=half.artifact))) == numbers(whole)
