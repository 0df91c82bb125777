"""Clocks for networks: how long one run takes of the processor, of the day, and on a GPU."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

Run: TypeAlias = Callable[[], object]
Kind: TypeAlias = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Sample:
    """Seconds of one run: of CPU time, of wall time, and by the clock that gives the figure."""

    cpu: float
    wall: float
    figure: float


# Runs something so many times.
Clock: TypeAlias = Callable[[Run, int], Sample]


def clock_of(kind: Kind, threads: int) -> Clock:
    """The clock of a device: its figure is CPU time of one thread, else wall time, or events."""
    if kind == "cuda":
        return _by_events
    return _by_cpu_time if threads == 1 else _by_wall_time


def _by_cpu_time(run: Run, times: int) -> Sample:
    cpu, wall = _clocked(run, times, time.thread_time)
    return Sample(cpu, wall, cpu)


def _by_wall_time(run: Run, times: int) -> Sample:
    cpu, wall = _clocked(run, times, time.process_time)
    return Sample(cpu, wall, wall)


def _by_events(run: Run, times: int) -> Sample:
    start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    def repeated() -> None:
        start.record()
        for _ in range(times):
            run()
        end.record()
        end.synchronize()

    torch.cuda.synchronize()
    cpu, wall = _clocked(repeated, 1, time.thread_time)
    return Sample(cpu / times, wall / times, start.elapsed_time(end) / 1e3 / times)


def _clocked(run: Run, times: int, cpu_time: Callable[[], float]) -> tuple[float, float]:
    cpu, wall = cpu_time(), time.perf_counter()
    for _ in range(times):
        run()
    return (cpu_time() - cpu) / times, (time.perf_counter() - wall) / times
