"""Evaluates in the process of the study itself, one batch at a time.

Simple, and without protection: time-outs are checked by the evaluator between epochs and batches,
and a candidate that hangs or gets the process killed takes the study with it. Hard limits need the
executor `processes`. Faults of the disk are tried again, at most three times. A batch runs inside
`wait`, with one thread of torch, so that the numbers are those of a worker process.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, TypeVar

from annotated_types import Gt

from evaluators import stopping
from evaluators.errors import Attempts, located, may_pass, place
from evaluators.preparation import PreparationJob, Work
from evaluators.run import run
from evaluators.values import Evaluation, Executor, Job

W = TypeVar("W", Job, PreparationJob, Work)


def build(*, timeout_seconds: Annotated[float, Gt(0)] | None = None) -> Executor:
    """The executor.

    Args:
        timeout_seconds: a bound on each candidate, checked between epochs and batches.
    """
    return _Inline(timeout_seconds)


class _Inline:
    workers = 1
    in_process = True

    def __init__(self, timeout_seconds: float | None) -> None:
        self._timeout_seconds = timeout_seconds
        self._submitted = 0
        self._waiting: dict[int, list[Work]] = {}

    def submit(self, jobs: Sequence[Work]) -> int:
        if self._waiting:
            raise RuntimeError("the executor inline takes one batch at a time; call wait() first")
        handle, self._submitted = self._submitted, self._submitted + 1
        self._waiting[handle] = bounded(jobs, self._timeout_seconds)
        return handle

    def wait(
        self,
        timeout_seconds: float | None = None,  # noqa: ARG002 - a batch runs to its end
    ) -> Mapping[int, Sequence[Evaluation]]:
        if not self._waiting:
            return {}
        handle, jobs = self._waiting.popitem()
        with one_thread():
            return {handle: _attempted(jobs)}

    def interrupt(self) -> None:
        stopping.request()

    def shutdown(self, wait: bool = True) -> None:
        if wait:
            self.wait()
        self._waiting.clear()
        stopping.clear()


def _attempted(jobs: Sequence[Work]) -> Sequence[Evaluation]:
    """Run jobs; again where a fault may pass. Others are raised with a note of where they are."""
    attempts = Attempts()
    while True:
        try:
            return run(jobs)
        except Exception as error:
            where = place(error, jobs)
            if not may_pass(error):
                error.add_note(located(where, jobs))
                raise
            time.sleep(attempts.pause(error, where))


def bounded(jobs: Sequence[W], timeout_seconds: float | None) -> list[W]:
    """The jobs with a time limit, where they have no stricter one."""
    if timeout_seconds is None:
        return list(jobs)
    return [
        replace(job, timeout_seconds=min(timeout_seconds, job.timeout_seconds or timeout_seconds))
        for job in jobs
    ]


@contextmanager
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
