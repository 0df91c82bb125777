"""Evaluates in worker processes with one thread each, with hard limits on time and memory.

Workers are started afresh (spawn), ignore Ctrl-C, and on Linux are killed by the kernel when the
study's process dies. A batch over its time has its process killed; a batch whose process died is
tried once more. If that is no end of it, its jobs are tried one by one, so that a time-out or a
crash is the failure of the guilty one alone. Faults of the disk or the machine are tried again, at
most three times. Use as many workers as there are cores.
"""

import os
import pickle
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le
from pebble import ProcessExpired, ProcessPool

from evaluators.executors import _worker
from evaluators.executors._pool import Pool, WorkerDiedError, WorkerLostError
from evaluators.executors._worker import Raised
from evaluators.preparation import Work
from evaluators.values import Evaluation, Executor
from search_spaces import PluginError


def build(
    *,
    workers: Annotated[int, Ge(1), Le(1_024)] = 1,
    timeout_seconds: Annotated[float, Gt(0)] | None = None,
    memory_gb: Annotated[float, Ge(0.1), Le(1_000_000)] | None = None,
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
        raise PluginError("memory_gb: it needs Linux; leave it out here")
    return Pool(_Pebble(workers, memory_gb), workers, timeout_seconds)


class _WorkerProcess(SpawnProcess):
    """A process that never ends as if all were well.

    Pebble takes status 0 for a worker that has retired, and would wait for its batch for ever.
    """

    @property
    def exitcode(self) -> int | None:
        return super().exitcode or None


class _Context(SpawnContext):
    Process = _WorkerProcess


class _Pebble:
    """Workers of pebble's pool."""

    def __init__(self, workers: int, memory_gb: float | None) -> None:
        self._workers, self._memory_gb = workers, memory_gb
        self._pool: ProcessPool | None = None
        # Workers read at the first end; that the second is closed tells them to stop.
        self._pipe: tuple[Connection, Connection] | None = None

    def schedule(self, jobs: Sequence[Work], limit_seconds: float | None) -> "Future[Any]":
        # As bytes: jobs that a worker cannot unpickle (a module it cannot import) would be lost.
        content = pickle.dumps(jobs)
        with no_interrupts():
            pool = self._live_pool()
            future: Future[Any] = pool.schedule(
                _worker.evaluate, args=(content,), timeout=limit_seconds
            )
        return future

    def _live_pool(self) -> ProcessPool:
        """The pool, or a new one: pools break when an idle worker is killed."""
        # `active` starts a pool that is new, and is false for one that broke.
        if self._pool is None or not self._pool.active:
            self._stop_pool()
            if self._pipe is None:
                self._pipe = _Context().Pipe(duplex=False)
            self._pool = ProcessPool(
                max_workers=self._workers,
                initializer=_worker.start,
                initargs=(os.getpid(), self._memory_gb, self._pipe[0], self._workers > 1),
                context=_Context(),
            )
        return self._pool

    def outcome(self, future: "Future[Any]") -> Sequence[Evaluation] | Raised:
        try:
            result: Sequence[Evaluation] | Raised = future.result()
        except ProcessExpired as error:
            raise WorkerDiedError(_death(error)) from error
        except BrokenProcessPool as error:
            # Workers died that had no batch: not this one's fault, unless no worker ever starts.
            raise WorkerLostError("worker processes die while they start or are idle") from error
        return result

    def interrupt(self) -> None:
        if self._pipe is not None:
            self._pipe[1].close()

    def stop(self) -> None:
        self._stop_pool()
        if self._pipe is not None:
            for end in self._pipe:
                end.close()
            self._pipe = None

    def _stop_pool(self) -> None:
        if self._pool is not None:
            self._pool.stop()  # type: ignore[no-untyped-call]
            self._pool.join()
            self._pool = None


def _death(error: ProcessExpired) -> str:
    code = error.exitcode
    if code is None or code >= 0:
        return f"exit status {code or 0}"
    name = signal.Signals(-code).name
    # Nothing in a process's end tells who sent the signal.
    return f"{name}: perhaps the kernel's, for want of memory" if name == "SIGKILL" else name


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
