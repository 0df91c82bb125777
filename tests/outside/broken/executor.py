"""Hands the evaluations of a batch over in the order in which nobody asked."""

from collections.abc import Mapping, Sequence

from evaluators import Evaluation
from evaluators.executors import inline


class Backwards:
    workers = 1
    in_process = True

    def __init__(self) -> None:
        self.inner = inline.build()
        self.submit, self.interrupt = self.inner.submit, self.inner.interrupt
        self.shutdown = self.inner.shutdown

    def wait(self, timeout_seconds: float | None = None) -> Mapping[int, Sequence[Evaluation]]:
        return {handle: done[::-1] for handle, done in self.inner.wait(timeout_seconds).items()}


def build() -> Backwards:
    return Backwards()
