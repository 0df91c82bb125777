"""An evaluator that has something prepared: what an architecture is worth, it reads there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators import Evaluation, Job, artifacts
from evaluators.preparation import Preparation
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
        artifact = artifacts.write(job.store, job.architecture.key.encode())
        return Evaluation(job.until_epoch, {"val_accuracy": worth}, artifact=artifact)


def build(
    task: Task, *, log: str, preparing_epochs: int = 6, says: Mapping[str, Any] | None = None
) -> Weighing:
    what = Preparation(Plugin("fakes.preparing", says or {}), preparing_epochs, passes=20.0)
    return Weighing(what, log)
