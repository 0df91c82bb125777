"""This process on as many cores as it may use threads, and who else wants them."""

import gc
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from evaluators.latency.device import cores_for

_PROC = Path("/proc")
# Seconds over which it is seen which cores are idle.
_LOOK = 0.05


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Compute with so many threads, on the idlest cores, without garbage collection.

    Threads, cores and collection are as they were afterwards. Where the system cannot bind threads
    to cores, they are not.

    Raises:
        LatencyError: more threads than cores that this process may use.
    """
    cores = cores_for(threads)
    before, collecting = torch.get_num_threads(), gc.isenabled()
    gc.collect()
    gc.disable()
    torch.set_num_threads(threads)
    try:
        with _bound(_idlest(cores, threads), cores):
            yield
    finally:
        torch.set_num_threads(before)
        if collecting:
            gc.enable()


def load() -> float:
    """How many processes run or want to run now, over the cores; this one is among them."""
    try:
        waiting = float((_PROC / "loadavg").read_text(encoding="ascii").split()[3].split("/")[0])
    except OSError:  # not Linux: the mean of the last minute
        waiting = os.getloadavg()[0] if hasattr(os, "getloadavg") else 1.0
    return waiting / (os.cpu_count() or 1)


@contextmanager
def _bound(cores: Sequence[int], rest: Sequence[int]) -> Iterator[None]:
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    # A thread has cores of its own, and those of the pool that computes are there already.
    before = {thread: os.sched_getaffinity(thread) for thread in _threads()}
    for thread in before:
        _bind(thread, cores)
    try:
        yield
    finally:
        # One that was made meanwhile has the cores of the thread that made it.
        for thread in _threads():
            _bind(thread, before.get(thread, rest))


def _threads() -> list[int]:
    return [int(entry.name) for entry in (_PROC / "self/task").iterdir()]


def _bind(thread: int, cores: Sequence[int] | set[int]) -> None:
    with suppress(ProcessLookupError):  # it has ended
        os.sched_setaffinity(thread, cores)


def _idlest(cores: Sequence[int], number: int) -> Sequence[int]:
    """The cores that do least now: several who measure at a time do not choose the same one."""
    if number == len(cores):
        return cores
    before = _idle_ticks()
    time.sleep(_LOOK)
    after = _idle_ticks()
    return sorted(cores, key=lambda core: before.get(core, 0) - after.get(core, 0))[:number]


def _idle_ticks() -> dict[int, int]:
    """{core: ticks of idleness since the machine started}; empty where the system tells none."""
    try:
        lines = (_PROC / "stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    fields = [line.split() for line in lines if line.startswith("cpu") and line[3].isdigit()]
    return {int(values[0][3:]): int(values[4]) for values in fields}
