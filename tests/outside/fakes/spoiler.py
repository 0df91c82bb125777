"""Sums the features of the dataset; or writes into them, in place, while others still read.

Two batches meet through files: who reads has the dataset, then who spoils writes into it, then who
reads takes its sum.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from evaluators import Evaluation, Job, artifacts
from evaluators._batches import batches_of
from search_spaces import Task


@dataclass(frozen=True)
class Spoiler:
    meeting: str
    spoils: str
    epochs: int = 1
    metrics: tuple[str, ...] = ("sum",)

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        x = batches_of(jobs[0].dataset).dataset.x
        if not self.spoils:
            self._meet("read", "spoiled")
        else:
            self._meet("", "read")
            if self.spoils == "features":
                x.fill_(1e6)
            else:  # the file, as if it were shared for writing
                place = artifacts.path(jobs[0].dataset)
                size = place.stat().st_size
                shared = torch.from_file(str(place), shared=True, size=size, dtype=torch.uint8)
                shared[size // 2 :].fill_(1)
            self._meet("spoiled", "")
        return [Evaluation(job.until_epoch, {"sum": float(x.double().sum())}) for job in jobs]

    def _meet(self, done: str, wanted: str) -> None:
        folder = Path(self.meeting)
        if done:
            (folder / done).touch()
        deadline = time.monotonic() + 60
        while wanted and not (folder / wanted).exists():
            if time.monotonic() > deadline:
                raise RuntimeError(f"nobody has {wanted}")
            time.sleep(0.01)


def build(task: Task, *, meeting: str, spoils: str = "") -> Spoiler:
    return Spoiler(meeting, spoils)
