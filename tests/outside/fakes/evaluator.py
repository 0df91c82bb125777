"""Metrics that are a function of the architecture, seed and epoch; faults on request."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluators import Evaluation, Failure, Job, artifacts
from search_spaces import Task
from search_spaces.canonical import digest


@dataclass(frozen=True)
class Planted:
    epochs: int
    seconds: float
    fail_when_a_is: tuple[int, ...]
    log: str
    raise_when_a_is: tuple[int, ...]
    nan_when_a_is: tuple[int, ...]
    warn_when_a_is: tuple[int, ...] = ()
    metrics: tuple[str, ...] = ("val_accuracy", "val_loss")

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        return [self._one(job) for job in jobs]

    def _one(self, job: Job) -> Evaluation:
        if self.log:
            parent = job.inherit.artifact.sha256 if job.inherit else None
            with Path(self.log).open("a") as file:
                resume = job.resume.sha256 if job.resume else None
                start = f"{job.architecture.key} {job.seed} {job.until_epoch}"
                file.write(f"{start} {parent} {resume}\n")
        time.sleep(self.seconds)
        a, b = int(job.architecture.choices["a"]), int(job.architecture.choices["b"])
        if a in self.raise_when_a_is:
            raise ZeroDivisionError("a fault of the program")
        notes = {"path": "planted", "until": f"epoch {job.until_epoch}"}
        if a in self.warn_when_a_is:
            notes["warning"] = f"a is {a}"
        if a in self.fail_when_a_is:
            failure = Failure("divergence", "the loss is nan")
            return Evaluation(1, failure=failure, notes=notes)
        noise = int(digest([job.architecture.key, job.seed])[:4], 16) / 0xFFFF / 50
        value = (a + b) / 20 * (1 - 0.5 / job.until_epoch) + noise
        content = f"{job.architecture.key} {job.until_epoch}".encode()
        artifact = artifacts.write(job.store, content)
        loss = float("nan") if a in self.nan_when_a_is else 1 - value
        metrics = {"val_accuracy": value, "val_loss": loss}
        return Evaluation(job.until_epoch, metrics, self.seconds, artifact, notes=notes)


def build(
    task: Task,
    *,
    epochs: int = 9,
    seconds: float = 0.0,
    fail_when_a_is: list[int] | None = None,
    raise_when_a_is: list[int] | None = None,
    nan_when_a_is: list[int] | None = None,
    warn_when_a_is: list[int] | None = None,
    log: str = "",
) -> Planted:
    return Planted(
        epochs=epochs,
        seconds=seconds,
        fail_when_a_is=tuple(fail_when_a_is or ()),
        log=log,
        raise_when_a_is=tuple(raise_when_a_is or ()),
        nan_when_a_is=tuple(nan_when_a_is or ()),
        warn_when_a_is=tuple(warn_when_a_is or ()),
    )
