"""An evaluator that goes on until it is asked to stop, or its time is over."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluators import Evaluation, Job, artifacts, stopping
from search_spaces import Task


@dataclass(frozen=True)
class Patient:
    seconds: float
    log: str
    epochs: int = 1
    metrics: tuple[str, ...] = ("val_accuracy",)

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        with Path(self.log).open("a") as file:
            file.write("began\n")
        until = time.monotonic() + self.seconds
        while not stopping.requested() and time.monotonic() < until:
            time.sleep(0.01)
        early = "stopped" if stopping.requested() else ""
        return [
            Evaluation(
                0, artifact=artifacts.write(job.store, job.architecture.key.encode()), early=early
            )
            for job in jobs
        ]


def build(task: Task, *, seconds: float, log: str) -> Patient:
    return Patient(seconds, log)
