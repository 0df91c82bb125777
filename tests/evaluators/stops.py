"""Stops at chosen epochs, and what a job that was stopped is compared by."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from evaluators import Artifact, Evaluation, Job, artifacts, stopping
from evaluators._runs import Run
from evaluators.run import run


class Bell:
    """Asks to stop once so many epochs of runs, of whichever, are complete."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        original = Run.complete_epoch

        def complete_epoch(one: Run, value: float, train_loss: float) -> bool:
            if self.left is not None:
                self.left -= 1
                if self.left == 0:
                    stopping.request()
            return original(one, value, train_loss)

        monkeypatch.setattr(Run, "complete_epoch", complete_epoch)

    def evaluate(self, jobs: Sequence[Job], stop_after: int | None) -> list[Evaluation]:
        self.left = stop_after
        if stop_after == 0:
            stopping.request()
        try:
            return run(jobs)
        finally:
            stopping.clear()


def outcome(evaluation: Evaluation) -> tuple[Any, ...]:
    """All of an evaluation and its checkpoint but times, comparable."""
    metrics = {k: v for k, v in evaluation.metrics.items() if k != "train_seconds"}
    failure = evaluation.failure
    told = None if failure is None else (failure.kind, failure.message)
    kept = () if evaluation.artifact is None else content(evaluation.artifact)
    return evaluation.epoch, metrics, told, evaluation.early, dict(evaluation.notes), kept


def header(artifact: Artifact) -> dict[str, Any]:
    with safe_open(artifacts.path(artifact), framework="pt") as file:
        read: dict[str, Any] = json.loads(file.metadata()["checkpoint"])
    return read


def content(artifact: Artifact) -> tuple[Any, ...]:
    """Every bit of a checkpoint, times aside."""
    said = header(artifact)
    for one in said["runs"]:
        del one["seconds"]
        one["metrics"].pop("train_seconds", None)
    tensors = load_file(artifacts.path(artifact))
    bits = {
        name: (tensor.dtype, tuple(tensor.shape), tensor.numpy().tobytes())
        for name, tensor in sorted(tensors.items())
    }
    return said, bits


def resumed(jobs: Sequence[Job], evaluations: Sequence[Evaluation]) -> list[Job]:
    """The jobs that were stopped, to go on from where that was."""
    return [
        dataclasses.replace(job, resume=evaluation.artifact)
        for job, evaluation in zip(jobs, evaluations, strict=True)
        if evaluation.early
    ]


def in_parts(bell: Bell, jobs: Sequence[Job], stops: Sequence[int]) -> list[Evaluation]:
    """Stopped after so many epochs, resumed, stopped again, ...; and then to the end."""
    ended = bell.evaluate(jobs, stops[0] if stops else None)
    assert all(one.early in ("", "stopped") for one in ended)
    rest = resumed(jobs, ended)
    if not rest:
        return ended
    others = iter(in_parts(bell, rest, stops[1:]))
    return [next(others) if one.early else one for one in ended]
