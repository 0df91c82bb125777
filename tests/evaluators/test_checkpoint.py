"""Checkpoints: what is kept, and that damaged or foreign files are refused."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save

from evaluators import Artifact, Job, artifacts
from evaluators.artifacts import ArtifactError
from evaluators.checkpoint import best_weights, run_weights
from evaluators.datasets import load_sealed
from evaluators.run import run

MakeJob = Callable[..., Job]


def groups(artifact: Artifact) -> set[str]:
    return {name.split("/")[1] for name in load_file(artifacts.path(artifact))}


def test_a_final_checkpoint_has_best_weights_alone(make_job: MakeJob):
    """Before the last epoch it has what is needed to go on; at the last, half the size or less."""
    dataset = tiny.node_graph()
    going_on, final = run([make_job(dataset, until_epoch=3), make_job(dataset, until_epoch=6)])
    assert groups(going_on.artifact) == {"best", "current", "optimizer", "best_logits"}
    assert groups(final.artifact) == {"best"}


def test_the_best_run_is_chosen(make_job: MakeJob):
    """`best_weights` are those of the run with the highest validation value."""
    dataset = tiny.node_graph()
    (evaluation,) = run([make_job(dataset, options={"seeds": 4})])
    accuracies = []
    for weights in run_weights(evaluation.artifact):
        network = tiny.SPACE.network(make_job(dataset).architecture, dataset.task)
        network.load_state_dict(weights)
        with torch.no_grad():
            right = network.eval()(dataset.x, dataset.edge_index).argmax(1) == dataset.y
        accuracies.append(float(right[dataset.val].double().mean()))
    assert len(set(accuracies)) > 1
    best = run_weights(evaluation.artifact)[accuracies.index(max(accuracies))]
    chosen = best_weights(evaluation.artifact)
    assert all(torch.equal(best[name], chosen[name]) for name in chosen)


@pytest.mark.parametrize("change", ["flip", "cut", "gone"])
def test_a_damaged_file_is_refused(change: str, make_job: MakeJob):
    """One flipped bit, a missing end, a missing file."""
    (evaluation,) = run([make_job(tiny.node_graph(), until_epoch=3)])
    place = artifacts.path(evaluation.artifact)
    content = bytearray(place.read_bytes())
    if change == "gone":
        place.unlink()
    else:
        content[-10] ^= 1
        place.write_bytes(content if change == "flip" else content[:-20])
    with pytest.raises(ArtifactError):
        best_weights(evaluation.artifact)
    with pytest.raises(ArtifactError):
        run([make_job(tiny.node_graph(), resume=evaluation.artifact)])


def test_a_foreign_file_is_refused(make_job: MakeJob, store: str):
    """No safetensors, another program's, a dataset, an unexpected tensor."""
    header = {
        "checkpoint": '{"format": "gnn-nas checkpoint 1", "final": true, "job": {}, "runs": []}'
    }
    for content in (
        b"nothing",
        save({"a": torch.ones(1)}),
        save({"a": torch.ones(1)}, {"checkpoint": "{}"}),
        save({"a": torch.ones(1)}, {"checkpoint": '{"format": "other"}'}),
        save({"run0/best/a": torch.ones(1)}, header),
    ):
        with pytest.raises(ArtifactError):
            best_weights(artifacts.write(store, content))
    job = make_job(tiny.node_graph())
    with pytest.raises(ArtifactError):
        best_weights(job.dataset)
    for content in (b"nothing", save({"a": torch.ones(1)}), save({}, {"dataset": "no JSON"})):
        with pytest.raises(ArtifactError, match="is not a sealed dataset"):
            load_sealed(artifacts.write(store, content))
    place = artifacts.path(job.dataset)
    content = bytearray(place.read_bytes())
    content[-10] ^= 1
    place.write_bytes(content)
    with pytest.raises(ArtifactError, match="damaged"):
        load_sealed(job.dataset)


def test_only_the_same_job_goes_on(make_job: MakeJob):
    """Another seed, another option, or a job that was finished: refused, and named."""
    dataset = tiny.node_graph()
    (part,) = run([make_job(dataset, until_epoch=3)])
    job = make_job(dataset, resume=part.artifact)
    with pytest.raises(ArtifactError, match="seed differ"):
        run([dataclasses.replace(job, seed=job.seed + 1)])
    with pytest.raises(ArtifactError, match="recipe differ"):
        run([make_job(dataset, options={"lr": 0.5}, resume=part.artifact)])
    (final,) = run([job])
    with pytest.raises(ArtifactError, match="finished"):
        run([dataclasses.replace(job, resume=final.artifact)])


def test_a_store_that_cannot_be_made_here_says_what_to_do(tmp_path: Path):
    """As where a study of another machine goes on."""
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ArtifactError, match="mount that folder on this machine too") as caught:
        artifacts.write(artifacts.store_url(tmp_path / "file"), b"content")
    assert isinstance(caught.value.__cause__, OSError)
