"""Does a stretch of a preparation: epoch by epoch, from checkpoint to checkpoint.

A checkpoint is one safetensors file with what `Preparer.state_dict` gave, and a JSON header: which
preparation it belongs to, and how many epochs are complete. Stopped or killed at any epoch, a
preparation goes on from its last checkpoint as if nothing had happened.
"""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from evaluators import stopping, tensors
from evaluators._batches import batches_of
from evaluators._faults import CandidateError, memory_fault
from evaluators._recipe import seed_torch
from evaluators.artifacts import ArtifactError
from evaluators.datasets._base import Dataset
from evaluators.preparation import Advance, PreparationJob, PreparedEpoch, Preparer
from evaluators.values import Artifact, Failure
from search_spaces import PluginError, SearchSpace, plugins

_FORMAT = "gnn-nas preparation 1"


def prepare(job: PreparationJob) -> Advance:
    """Go on with a preparation until its end, a pause, a request to stop, or its time is over.

    An exception in the preparation's own code is raised: it is a fault of a program, and not of
    any candidate. Running out of memory, and a metric that is not finite, are failures.

    Raises:
        PluginError: what it returns is no metric, or no distribution over the space's decisions.
        ArtifactError: its checkpoint is missing, damaged or of another preparation.
    """
    began, run = time.perf_counter(), _Run(job)
    with torch.random.fork_rng(devices=[]):
        try:
            with memory_fault("preparing"):
                run.begin()
                while run.epoch < job.until_epoch and not stopping.requested():
                    run.advance()
                    spent = time.perf_counter() - began
                    if job.timeout_seconds is not None and spent > job.timeout_seconds:
                        run.epoch -= 1  # it is not recorded
                        limit = f"{job.timeout_seconds:g} seconds"
                        raise _failed("timeout", f"one epoch takes longer than {limit}")
                    if spent > _pause_seconds(job):
                        break
        except CandidateError as error:
            seconds = time.perf_counter() - began
            return Advance(run.epoch, seconds=seconds, failure=error.failure)
        artifact = run.save() if run.done else None
    last = run.done[-1].metrics if run.done else {}
    seconds = time.perf_counter() - began
    return Advance(run.epoch, last, seconds, artifact, epochs=tuple(run.done))


def _pause_seconds(job: PreparationJob) -> float:
    """Half of the time that it has at most, so that the epoch after is not cut off."""
    half = math.inf if job.timeout_seconds is None else job.timeout_seconds / 2
    return half if job.pause_seconds is None else min(half, job.pause_seconds)


def weights(artifact: Artifact) -> dict[str, Tensor]:
    """The tensors that a preparation has left.

    Raises:
        ArtifactError: it is missing, damaged or no preparation's.
    """
    return _read(artifact)[1]


def check_origin(artifact: Artifact, space: SearchSpace, dataset: Dataset) -> None:
    """Refuse what was prepared for another space or dataset.

    Raises:
        ArtifactError: it is of another one, or missing, damaged or no preparation's.
    """
    of = _read(artifact)[0]["of"]
    found = {"space": space.digest, "dataset": dataset.fingerprint}
    other = [name for name, value in found.items() if of[name] != value]
    if other:
        raise ArtifactError(
            f"the artifact {artifact.sha256[:12]} was prepared for another "
            f"{' and another '.join(other)}; prepare it for this one"
        )


class _Run:
    def __init__(self, job: PreparationJob) -> None:
        self.job, self.epoch = job, 0
        self.done: list[PreparedEpoch] = []

    def begin(self) -> None:
        job = self.job
        if job.dataset is None:
            raise PluginError(f"{job.label} needs a dataset")
        batches = batches_of(job.dataset)
        build = plugins.load("preparation", job.plugin.name).prepare
        seed_torch(job.seed, 0, 0)
        self.preparer: Preparer = build(job.space, batches, job.seed, **job.plugin.options)
        self.identity = {
            "preparation": job.preparation.key,
            "space": job.space.digest,
            "dataset": batches.dataset.fingerprint,
            "seed": job.seed,
        }
        if job.resume is None:
            return
        header, state = _read(job.resume)
        if header["of"] != self.identity:
            raise ArtifactError(f"the artifact {job.resume.sha256[:12]} is of another preparation")
        self.epoch = int(header["epoch"])
        self.preparer.load_state_dict(state)

    def advance(self) -> None:
        """One epoch more."""
        seed_torch(self.job.seed, 0, self.epoch + 1)
        metrics = _numbers(self.preparer.epoch(self.epoch + 1), self.job.label)
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise _failed("divergence", f"{name} is {value} in epoch {self.epoch + 1}")
        self.epoch += 1
        distribution = _checked(self.preparer.distribution(), self.job.space, self.job.label)
        self.done.append(PreparedEpoch(self.epoch, metrics, distribution))

    def save(self) -> Artifact:
        # Cloned: two names of one tensor are two in the file.
        state = self.preparer.state_dict().items()
        copied = {name: tensor.detach().cpu().clone() for name, tensor in state}
        header = {"format": _FORMAT, "of": self.identity, "epoch": self.epoch}
        return tensors.write(self.job.store, "preparation", header, copied)


def _failed(kind: Any, message: str) -> CandidateError:
    return CandidateError(Failure(kind, message))


def _numbers(metrics: Mapping[str, float], label: str) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in metrics.items()}
    except (AttributeError, TypeError, ValueError):
        raise PluginError(
            f"{label}: epoch: expected it to return numbers by name, got {metrics!r}"
        ) from None


def _checked(
    distribution: Mapping[str, Sequence[float]], space: SearchSpace, label: str
) -> dict[str, tuple[float, ...]]:
    checked = {}
    for name, row in distribution.items():
        decision = space.by_name.get(name)
        if decision is None:
            raise PluginError(f'{label}: distribution over "{name}", which is no decision')
        values = tuple(float(value) for value in row)
        wanted = len(decision.choices)
        is_positive = len(values) == wanted and min(values) >= 0
        if not (is_positive and math.isclose(sum(values), 1, abs_tol=1e-4)):
            raise PluginError(
                f'{label}: expected {wanted} probabilities for the choices of "{name}", '
                f"got {list(values)}"
            )
        checked[name] = values
    return checked


def _read(artifact: Artifact) -> tuple[dict[str, Any], dict[str, Tensor]]:
    return tensors.read(artifact, "preparation", "of a preparation", _FORMAT)
