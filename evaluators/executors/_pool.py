"""What executors with workers have in common: batches under handles, and what becomes of faults.

A batch over its time has its worker killed; a batch whose worker died is tried once more. If that
is no end of it, its jobs are tried one by one, so that a time-out or a crash is the failure of the
guilty one alone. What fails without a job's fault is tried again, after a pause, and not for ever.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from evaluators.errors import Attempts
from evaluators.executors._worker import Raised
from evaluators.executors.inline import bounded
from evaluators.preparation import Work
from evaluators.values import Evaluation, Failure, FailureKind

_Future: TypeAlias = "Future[Any]"
_DEATHS = 2


class WorkerDiedError(Exception):
    """The worker of a batch ended while it was at work.

    Attributes:
        how: in words: "SIGKILL".
        kind: of the failure, if that goes on.
    """

    def __init__(self, how: str, kind: FailureKind = "crash") -> None:
        super().__init__(how)
        self.how, self.kind = how, kind


class WorkerLostError(OSError):
    """A worker is gone that had not begun its batch, or its machine is, or what it was to read."""


class Backend(Protocol):
    """The workers of a pool."""

    def schedule(self, jobs: Sequence[Work], limit_seconds: float | None) -> _Future:
        """Give jobs to a free worker, which is killed when it takes longer than the limit."""
        ...

    def outcome(self, future: _Future) -> Sequence[Evaluation] | Raised:
        """What came of it.

        Raises:
            WorkerDiedError: at work on it.
            TimeoutError: its worker was killed because of the limit.
            WorkerLostError: by no fault of its jobs.
        """
        ...

    def interrupt(self) -> None:
        """Have `evaluators.stopping` say in all workers, those to come too, that they are to."""
        ...

    def stop(self) -> None:
        """End all workers now. They are started when they are needed."""
        ...


@dataclass
class _Batch:
    """Jobs under one handle: together at first, and one by one after a fault of some of them."""

    handle: int
    jobs: list[Work]
    done: list[Evaluation] = field(default_factory=list)
    one_by_one: bool = False
    deaths: int = 0
    attempts: Attempts = field(default_factory=Attempts)
    started: float = field(default_factory=time.perf_counter)

    @property
    def next(self) -> list[Work]:
        """What a worker is to do now."""
        return self.jobs[len(self.done) :][: 1 if self.one_by_one else None]

    @property
    def is_done(self) -> bool:
        return len(self.done) == len(self.jobs)

    def end(self, evaluations: Sequence[Evaluation]) -> None:
        """Keep what has been done of it."""
        self.done += evaluations
        self._begin_next()

    def fail(self, kind: FailureKind, message: str) -> None:
        """It is the fault of the only job that was under way; of several, go on one by one."""
        if len(self.next) > 1:
            self.one_by_one = True
            return self._begin_next()
        seconds = time.perf_counter() - self.started
        return self.end([Evaluation(0, seconds=seconds, failure=Failure(kind, message))])

    def died(self, error: WorkerDiedError) -> None:
        """Count a death; the second is a failure."""
        self.deaths += 1
        if self.deaths == _DEATHS:
            self.fail(error.kind, f"its process died {self.deaths} times: {error.how}")

    def _begin_next(self) -> None:
        self.deaths, self.attempts, self.started = 0, Attempts(), time.perf_counter()


class Pool:
    """An executor over workers of any kind."""

    in_process = False

    def __init__(self, backend: Backend, workers: int, timeout_seconds: float | None) -> None:
        self.workers = workers
        self._backend, self._timeout_seconds = backend, timeout_seconds
        self._submitted = 0
        self._running: dict[_Future, _Batch] = {}
        # Those that wait before they are tried again, and until when.
        self._resting: list[tuple[float, _Batch]] = []
        self._errors: list[Exception] = []

    def submit(self, jobs: Sequence[Work]) -> int:
        if len(self._running) + len(self._resting) >= self.workers:
            raise RuntimeError(f"all {self.workers} workers are busy; call wait() first")
        handle, self._submitted = self._submitted, self._submitted + 1
        self._schedule(_Batch(handle, bounded(jobs, self._timeout_seconds)))
        return handle

    def _schedule(self, batch: _Batch) -> None:
        jobs, limit = batch.next, None
        if self._timeout_seconds is not None:
            limit = 1.0 + 1.1 * self._timeout_seconds * len(jobs)
        self._running[self._backend.schedule(jobs, limit)] = batch

    def wait(self, timeout_seconds: float | None = None) -> Mapping[int, Sequence[Evaluation]]:
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        ended: dict[int, Sequence[Evaluation]] = {}
        while not ended:
            if self._errors:  # only now: what ended beside it has been handed over
                raise self._errors.pop(0)
            if not self._running and not self._resting:
                break
            progress = self._step(deadline, ended)
            if not progress and deadline is not None and time.monotonic() >= deadline:
                break
        return ended

    def _step(self, deadline: float | None, ended: dict[int, Sequence[Evaluation]]) -> bool:
        """Wait for what comes first: workers, whose answers are taken; a rest; the deadline."""
        self._wake()
        moments = [moment for moment, _ in self._resting]
        until = min(moments if deadline is None else [*moments, deadline], default=None)
        left = None if until is None else max(0.0, until - time.monotonic())
        if not self._running:
            time.sleep(left or 0.0)
            return False
        done, _ = wait(self._running, left, FIRST_COMPLETED)
        for future in done:
            batch = self._running.pop(future)
            try:
                self._end(batch, future)
            except Exception as error:  # of any kind; it is raised, in its turn
                self._errors.append(error)
            if batch.is_done:
                ended[batch.handle] = batch.done
        return bool(done)

    def _wake(self) -> None:
        """Start those that have rested."""
        now = time.monotonic()
        due = [batch for moment, batch in self._resting if moment <= now]
        self._resting = [(moment, batch) for moment, batch in self._resting if moment > now]
        for batch in due:
            self._schedule(batch)

    def _end(self, batch: _Batch, future: _Future) -> None:
        """Note what came of the part of a batch that was under way, and go on with it."""
        try:
            result = self._backend.outcome(future)
        except WorkerDiedError as death:
            batch.died(death)
        except WorkerLostError as loss:
            return self._rest(batch, loss)
        except TimeoutError:
            batch.fail("timeout", "its process was killed: over its time, and hanging")
        else:
            if isinstance(result, Raised):
                if not result.may_pass:
                    raise result.exception
                return self._rest(batch, result.exception, result.where)
            batch.end(result)
        if not batch.is_done:
            self._schedule(batch)
        return None

    def _rest(self, batch: _Batch, error: Exception, where: str = "") -> None:
        self._resting.append((time.monotonic() + batch.attempts.pause(error, where), batch))

    def interrupt(self) -> None:
        self._backend.interrupt()

    def shutdown(self, wait: bool = True) -> None:
        try:
            while wait and (self._running or self._resting):
                self.wait()
        finally:
            self._running.clear()
            self._resting.clear()
            self._backend.stop()
