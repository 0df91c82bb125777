"""Evaluates in worker processes with one thread each, with hard limits on time and memory.

Workers are started afresh (spawn), ignore Ctrl-C, and on Linux are killed by the kernel when the
study's process dies. A batch over its time has its process killed; a batch whose process died is
tried once more. If that is no end of it, its jobs are tried one by one, so that a time-out or a
crash is the failure of the guilty one alone. Use as many workers as there are cores.
"""

import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Annotated, TypeAlias

from annotated_types import Ge, Gt
from pebble import ProcessExpired, ProcessPool

from evaluators.executors import _worker
from evaluators.executors._worker import Raised
from evaluators.executors.inline import bounded
from evaluators.values import Evaluation, Executor, Failure, FailureKind, Job
from search_spaces import PluginError

_Future: TypeAlias = "Future[Sequence[Evaluation] | Raised]"
_DEATHS = 2
_BROKEN_POOLS = 3


def build(
    *,
    workers: Annotated[int, Ge(1)] = 1,
    timeout_seconds: Annotated[float, Gt(0)] | None = None,
    memory_gb: Annotated[float, Gt(0)] | None = None,
) -> Executor:
    """The executor. On Linux, the thread that submits first must live as long as the executor.

    Args:
        workers: how many processes.
        timeout_seconds: a bound on each candidate: checked by the evaluator first; the process of a
            batch that has not ended one second and a tenth later is killed.
        memory_gb: GiB of private memory that a worker may take above what it has after its imports
            (RLIMIT_DATA; Linux only).

    Raises:
        PluginError: a memory limit on another system than Linux.
    """
    if memory_gb is not None and not sys.platform.startswith("linux"):
        raise PluginError("executor processes: memory_gb needs Linux; leave it out here")
    return _Processes(workers, timeout_seconds, memory_gb)


@dataclass
class _Batch:
    """Jobs under one handle: together at first, and one by one after a fault of some of them."""

    jobs: list[Job]
    done: list[Evaluation] = field(default_factory=list)
    one_by_one: bool = False
    deaths: int = 0
    broken: int = 0
    started: float = field(default_factory=time.perf_counter)

    @property
    def next(self) -> list[Job]:
        """What a worker is to do now."""
        return self.jobs[len(self.done) :][: 1 if self.one_by_one else None]

    def part(self) -> None:
        """Go on one by one."""
        self._begin_next()
        self.one_by_one = True

    def end(self, evaluations: Sequence[Evaluation]) -> None:
        """Keep what has been done of it."""
        self.done += evaluations
        self._begin_next()

    def failed(self, kind: FailureKind, message: str) -> Evaluation:
        """Of the only job that was under way."""
        seconds = time.perf_counter() - self.started
        return Evaluation(0, seconds=seconds, failure=Failure(kind, message))

    def _begin_next(self) -> None:
        self.deaths, self.started = 0, time.perf_counter()


class _WorkerProcess(SpawnProcess):
    """A process that never ends as if all were well.

    Pebble takes status 0 for a worker that has retired, and would wait for its batch for ever.
    """

    @property
    def exitcode(self) -> int | None:
        return super().exitcode or None


class _Context(SpawnContext):
    Process = _WorkerProcess


class _Processes:
    def __init__(
        self, workers: int, timeout_seconds: float | None, memory_gb: float | None
    ) -> None:
        self.workers = workers
        self._timeout_seconds, self._memory_gb = timeout_seconds, memory_gb
        self._submitted = 0
        self._running: dict[_Future, tuple[int, _Batch]] = {}
        self._pool: ProcessPool | None = None

    def submit(self, jobs: Sequence[Job]) -> int:
        if len(self._running) >= self.workers:
            raise RuntimeError(f"all {self.workers} workers are busy; call wait() first")
        handle, self._submitted = self._submitted, self._submitted + 1
        self._schedule(handle, _Batch(bounded(jobs, self._timeout_seconds)))
        return handle

    def _schedule(self, handle: int, batch: _Batch) -> None:
        # As bytes: jobs that a worker cannot unpickle (a module it cannot import) would be lost.
        jobs = batch.next
        content = pickle.dumps(jobs)
        limit = None
        if self._timeout_seconds is not None:
            limit = 1.0 + 1.1 * self._timeout_seconds * len(jobs)
        with no_interrupts():
            pool = self._live_pool()
            future = pool.schedule(_worker.evaluate, args=(content,), timeout=limit)
        self._running[future] = (handle, batch)

    def _live_pool(self) -> ProcessPool:
        """The pool, or a new one: pools break when an idle worker is killed."""
        # `active` starts a pool that is new, and is false for one that broke.
        if self._pool is None or not self._pool.active:
            self._stop_pool()
            self._pool = ProcessPool(
                max_workers=self.workers,
                initializer=_worker.start,
                initargs=(os.getpid(), self._memory_gb),
                context=_Context(),
            )
        return self._pool

    def wait(self, timeout_seconds: float | None = None) -> Mapping[int, Sequence[Evaluation]]:
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        ended: dict[int, Sequence[Evaluation]] = {}
        while self._running and not ended:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            done, _ = wait(self._running, left, FIRST_COMPLETED)
            if not done:
                break
            for future in done:
                handle, batch = self._running.pop(future)
                evaluations = self._outcome(handle, batch, future)
                if evaluations is not None:
                    ended[handle] = evaluations
        return ended

    def _outcome(self, handle: int, batch: _Batch, future: _Future) -> Sequence[Evaluation] | None:
        """The evaluations of a batch, or None where something of it has been started again."""
        error = future.exception()
        if error is None:
            result = future.result()
            if isinstance(result, Raised):
                raise _exception(result)
            batch.end(result)
        elif isinstance(error, BrokenProcessPool):
            # Workers died that had no batch: not this one's fault, unless no worker ever starts.
            batch.broken += 1
            if batch.broken > _BROKEN_POOLS:
                raise RuntimeError("the worker processes die while they start") from error
        else:
            _blame(batch, error)
        if len(batch.done) == len(batch.jobs):
            return batch.done
        self._schedule(handle, batch)
        return None

    def shutdown(self, wait: bool = True) -> None:
        while wait and self._running:
            self.wait()
        self._running.clear()
        self._stop_pool()

    def _stop_pool(self) -> None:
        if self._pool is not None:
            self._pool.stop()  # type: ignore[no-untyped-call]
            self._pool.join()
            self._pool = None


def _blame(batch: _Batch, error: BaseException) -> None:
    """Note that the process of a batch was killed for its time, or died; others raise."""
    if isinstance(error, ProcessExpired):
        batch.deaths += 1
        if batch.deaths < _DEATHS:
            return
    elif not isinstance(error, TimeoutError):
        raise error
    if len(batch.next) > 1:
        batch.part()
    elif isinstance(error, ProcessExpired):
        message = f"its process died {batch.deaths} times: {_death(error)}"
        batch.end([batch.failed("crash", message)])
    else:
        message = "its process was killed: over its time, and hanging"
        batch.end([batch.failed("timeout", message)])


def _death(error: ProcessExpired) -> str:
    code = error.exitcode
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit status {code or 0}"


def _exception(raised: Raised) -> Exception:
    note = f"in a worker process:\n{raised.traceback}"
    if raised.pickled is None:
        return RuntimeError(note)
    error: Exception = pickle.loads(raised.pickled)  # noqa: S301 - from our own worker
    error.add_note(note)
    return error


@contextmanager
def no_interrupts() -> Iterator[None]:
    """Threads and processes started in here are born with Ctrl-C blocked: it is the driver's.

    They inherit the mask of signals. The resource tracker of multiprocessing would lift it when it
    starts, so it is started before.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
