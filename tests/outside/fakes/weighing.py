"""An evaluator that has something prepared: what an architecture is worth, it reads there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from evaluators import Artifact, Evaluation, Job, Preparation, batches_of, checkpoint
from evaluators.checkpoint import RunState
from evaluators.preparing import weights
from search_spaces import Task
from search_spaces.plugins import Plugin


@dataclass(frozen=True)
class Weighing:
    preparation: Preparation
    log: str
    epochs: int = 5
    metrics: tuple[str, ...] = ("val_accuracy",)

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        return [self._one(job) for job in jobs]

    def _one(self, job: Job) -> Evaluation:
        if job.prepared is None:
            raise RuntimeError("a job came without what is prepared")
        with Path(self.log).open("a") as file:
            file.write(f"{job.architecture.key} {job.seed} {job.prepared.sha256}\n")
        known, choices = weights(job.prepared), job.architecture.choices
        worth = sum(
            float(known[d.name].softmax(0)[d.choices.index(choices[d.name])])
            for d in job.space.decisions
            if d.name in choices
        )
        return Evaluation(job.until_epoch, {"val_accuracy": worth}, artifact=_kept(job, worth))


def _kept(job: Job, worth: float) -> Artifact:
    """The checkpoint of a network that nobody has trained."""
    torch.manual_seed(job.seed)
    network = job.space.network(job.architecture, batches_of(job.dataset).dataset.task)
    measured = {"val_accuracy": worth}
    state = RunState(job.until_epoch, best=dict(network.state_dict()), metrics=measured)
    return checkpoint.write(job.store, {}, {}, [state], final=True)


def build(
    task: Task, *, log: str, preparing_epochs: int = 6, says: Mapping[str, Any] | None = None
) -> Weighing:
    what = Preparation(Plugin("fakes.preparing", says or {}), preparing_epochs, passes=20.0)
    return Weighing(what, log)
