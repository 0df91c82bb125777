"""An evaluator with troubles of its own: a disk that fails at first, a bug, a first try that hangs.

What it has done so far it knows from a file, as its process may be another one each time.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluators import Evaluation, Job, artifacts, sharing
from search_spaces import Task


@dataclass(frozen=True)
class Unsteady:
    log: str
    disk_faults: int
    bug: bool
    hang_first: bool
    epochs: int = 1
    metrics: tuple[str, ...] = ("val_accuracy",)

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        with Path(self.log).open("a") as file:
            file.write(f"{os.getpid()}\n")
        tries = len(Path(self.log).read_text().splitlines())
        if 0 < tries <= self.disk_faults:
            raise OSError(28, "No space left on device")
        if self.bug:
            raise KeyError("a fault of the program")
        if self.hang_first and tries == 1:
            time.sleep(60)
        return [self._one(job) for job in jobs]

    def _one(self, job: Job) -> Evaluation:
        """Its pid, whether it shares a GPU, and the content of what it goes on from."""
        content = artifacts.path(job.resume).read_bytes() if job.resume else b""
        artifact = artifacts.write(job.store, content + b"+")
        metrics = {"val_accuracy": os.getpid(), "shares_gpu": sharing.shares_gpu()}
        return Evaluation(job.until_epoch, metrics, artifact=artifact)


def build(
    task: Task,
    *,
    log: str = os.devnull,
    disk_faults: int = 0,
    bug: bool = False,
    hang_first: bool = False,
) -> Unsteady:
    return Unsteady(log, disk_faults, bug, hang_first)
