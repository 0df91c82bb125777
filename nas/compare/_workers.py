"""Runs in worker processes: started afresh, one thread each, gone when their parent is.

A worker keeps to one seed as long as it can, so that an architecture that several strategies
propose with that seed is evaluated once. Where there is one worker it is this process.
"""

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeAlias

from evaluators.executors.processes import no_interrupts
from nas.compare._bench import Bench, Parcel
from nas.compare._entrants import Entrant
from nas.compare._run import ComparisonError, Run
from nas.compare._search import run_one
from nas.strategies import Finished
from search_spaces import UsageError

Task: TypeAlias = tuple[Entrant, int]
# {seed: the strategies that wait for their run with it}
Queues: TypeAlias = dict[int, deque[Entrant]]
_Line: TypeAlias = "Connection[Any, Any]"
_TICK_SECONDS = 0.5
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Told:
    """What a run says: how many trials it has made, and itself when it has ended.

    Attributes:
        warnings: of its evaluator, in this process so far.
    """

    task: Task
    trials: int
    run: Run | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Raised:
    """An exception in a worker, by what the parent raises for it."""

    kind: type[Exception]
    message: str
    trace: str


def run_all(
    bench: Bench, tasks: Sequence[Task], trials: int, workers: int, told: Callable[[Told], None]
) -> None:
    """Make the runs, and tell of each as it goes on and when it has ended.

    Args:
        bench: of this process.
        tasks: strategies and seeds.
        trials: of each run.
        workers: processes at a time.
        told: called in this process.

    Raises:
        UsageError, ComparisonError: of a run.
        RuntimeError: a fault of the program, in a run.
    """
    queues: Queues = {}
    for entrant, seed in tasks:
        queues.setdefault(seed, deque()).append(entrant)
    workers = min(workers, len(tasks))
    if workers > 1:
        _in_processes(bench, queues, trials, workers, told)
        return
    for seed, queue in queues.items():
        for entrant in queue:
            run = run_one(bench, entrant, seed, trials, _ticker(bench, (entrant, seed), told))
            told(Told((entrant, seed), run.trials, run, tuple(bench.warnings)))


def _ticker(bench: Bench, task: Task, told: Callable[[Told], None]) -> Callable[[Finished], None]:
    """Tell how far a run is, at most twice a second."""
    last = time.monotonic()

    def tick(finished: Finished) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _TICK_SECONDS:
            last = now
            told(Told(task, finished.ordinal + 1, warnings=tuple(bench.warnings)))

    return tick


@dataclass
class _Worker:
    process: SpawnProcess
    connection: _Line
    seed: int | None = None


def _in_processes(
    bench: Bench, queues: Queues, trials: int, workers: int, told: Callable[[Told], None]
) -> None:
    crew: list[_Worker] = []
    try:
        with _no_interrupts_and_one_thread():
            for number in range(workers):
                crew.append(_started(Parcel.of(bench), f"{bench.store}/{number}", trials))
        busy = [worker for worker in crew if _give(worker, queues, crew)]
        while busy:
            ready = wait([worker.connection for worker in busy])
            for worker in [w for w in busy if w.connection in ready]:
                message = _received(worker)
                told(message)
                if message.run is not None and not _give(worker, queues, crew):
                    busy.remove(worker)
    finally:
        for worker in crew:
            worker.process.kill()
        for worker in crew:
            worker.process.join()
            worker.connection.close()


@contextmanager
def _no_interrupts_and_one_thread() -> Iterator[None]:
    """For processes started in here: Ctrl-C is their parent's, and numpy reads this as it loads."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        with no_interrupts():
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _started(parcel: Parcel, store: str, trials: int) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, parcel, store, trials), daemon=True)
    process.start()
    # Only the worker has its end now: when it dies, ours says so.
    theirs.close()
    return _Worker(process, ours)


def _give(worker: _Worker, queues: Queues, crew: Sequence[_Worker]) -> bool:
    """Send a worker its next run: of its own seed, of one that nobody has, or of the longest."""
    if not queues:
        return False
    taken = {other.seed for other in crew}
    free = [seed for seed in queues if seed not in taken]
    if worker.seed not in queues:
        worker.seed = free[0] if free else max(queues, key=lambda seed: len(queues[seed]))
    seed = worker.seed
    entrant = queues[seed].popleft()
    if not queues[seed]:
        del queues[seed]
    with suppress(BrokenPipeError):  # it is dead: what is received next says so
        worker.connection.send((entrant, seed))
    return True


def _received(worker: _Worker) -> Told:
    try:
        message: Told | _Raised = worker.connection.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join()
        raise ComparisonError(
            f"a worker process died ({_death(worker.process.exitcode)}); runs that have ended are "
            "kept, and the same command goes on with the rest"
        ) from None
    if isinstance(message, _Raised):
        error = message.kind(message.message)
        error.add_note(f"in a worker process:\n{message.trace}")
        raise error
    return message


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit status {code or 0}"


def _work(connection: _Line, parcel: Parcel, store: str, trials: int) -> None:
    """The life of a worker process: run after run, until its parent kills it."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        bench = parcel.bench(store)
        while True:
            task: Task = connection.recv()
            run = run_one(bench, *task, trials=trials, tick=_ticker(bench, task, connection.send))
            connection.send(Told(task, run.trials, run, tuple(bench.warnings)))
    except (UsageError, ComparisonError) as error:
        kind = UsageError if isinstance(error, UsageError) else ComparisonError
        connection.send(_Raised(kind, str(error), traceback.format_exc()))
    except Exception as error:  # crosses to the parent, where the program's boundary reports it
        message = f"{type(error).__name__}: {error}"
        connection.send(_Raised(RuntimeError, message, traceback.format_exc()))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
