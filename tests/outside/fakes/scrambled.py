"""Several workers in one process, whose batches end in a random order."""

from collections.abc import Mapping, Sequence

import numpy as np

from evaluators import Evaluation, Job, stopping
from evaluators.run import run


class Scrambled:
    in_process = True

    def __init__(self, workers: int, seed: int) -> None:
        self.workers = workers
        self._rng = np.random.default_rng(seed)
        self._submitted = 0
        self._under_way: dict[int, list[Job]] = {}

    def submit(self, jobs: Sequence[Job]) -> int:
        if len(self._under_way) >= self.workers:
            raise RuntimeError("more batches than workers")
        handle, self._submitted = self._submitted, self._submitted + 1
        self._under_way[handle] = list(jobs)
        return handle

    def wait(self, timeout_seconds: float | None = None) -> Mapping[int, Sequence[Evaluation]]:
        handles = sorted(self._under_way)
        if not handles:
            return {}
        handle = handles[int(self._rng.integers(len(handles)))]
        return {handle: run(self._under_way.pop(handle))}

    def interrupt(self) -> None:
        stopping.request()

    def shutdown(self, wait: bool = True) -> None:
        self._under_way.clear()


def build(*, workers: int = 4, seed: int = 0) -> Scrambled:
    return Scrambled(workers, seed)
