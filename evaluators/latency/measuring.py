"""How long networks take, measured beside each other on a machine that others use too.

All networks run in turns, round by round, so that what slows the machine for a while slows all of
them. In every round a reference kernel is timed; a round in which it was slower than it can be is
discarded and repeated. There are bounds to that: what stays noisy says so.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from evaluators.latency.allocator import kept_memory
from evaluators.latency.clocks import Clock, Kind, Run, Sample, clock_of
from evaluators.latency.energy import POWERCAP, Reading, counter
from evaluators.latency.pinning import load, pinned
from evaluators.latency.values import Timing

# By how much the reference of a round may be slower than the lower quartile of all rounds, and the
# interquartile range over the median of a network that is not noisy.
MOST_DRIFT, MOST_SPREAD = 0.05, 0.10
# Rounds that are wanted; fewer than the least are not worth a quartile; no more than so many for
# each that is wanted are tried.
ROUNDS, LEAST_ROUNDS, TRIES = 9, 5, 2
# Seconds that a sample takes at least, by repeating what is shorter, up to so many times. What
# takes less than so many runs once before, so that it finds its own data in the caches.
_SAMPLE, _MOST_REPEATS, _LONG = 1e-3, 1000, 2e-2
# Processes that may want to run now and then beside several threads.
_PASSERS_BY = 0.5
# Seconds that a network runs while energy is counted: a counter moves every 1 to 100 ms.
_ENERGY = 0.5
# How often the reference is timed before a round, and after it.
_LOOKS = 3


def measure(
    runs: Sequence[Run],
    *,
    threads: int = 1,
    kind: Kind = "cpu",
    rounds: int = ROUNDS,
    seconds: float = 3.0,
    report: Callable[[int, int], None] = lambda _done, _wanted: None,
    clock: Clock | None = None,
    reference: Run | None = None,
    powercap: Path = POWERCAP,
) -> list[Timing]:
    """Time functions in turns; the timings are in their order.

    Args:
        runs: each is one inference; they are run before they are timed.
        threads: that they may use; the process is pinned to as many cores meanwhile.
        kind: cpu, or cuda, where CUDA's events are the clock.
        rounds: how many are wanted.
        seconds: that the rounds of one of them may take on average; slow ones get fewer rounds, but
            not fewer than `LEAST_ROUNDS`.
        report: told the rounds so far and those that are wanted.
        clock: by default the one for this kind and number of threads.
        reference: by default a kernel of about a millisecond.
        powercap: where the processor's energy is read.

    Raises:
        LatencyError: more threads than cores that this process may use.
    """
    if not runs:
        return []
    clock = clock or clock_of(kind, threads)
    with pinned(threads), kept_memory():
        every = [reference or _reference(kind), *runs]
        once = [_warm_seconds(run, clock) for run in every]
        repeats = [max(1, min(_MOST_REPEATS, math.ceil(_SAMPLE / each))) for each in once]
        taken = sum(each * times for each, times in zip(once, repeats, strict=True))
        affordable = max(LEAST_ROUNDS, int(seconds * len(runs) / taken))
        wanted = min(rounds, affordable)
        found = _rounds(every, repeats, wanted, clock, report)
        read = counter(kind, powercap)
        spent = [None if read is None else _energy_mj(run, read, clock) for run in runs]
    timings = _timings(found, wanted, threads)
    return [replace(one, energy_mj=mj) for one, mj in zip(timings, spent, strict=True)]


@dataclass(frozen=True)
class _Round:
    """A sample of each function, how slow the reference was, and the load of the machine."""

    reference: float
    samples: tuple[Sample, ...]
    load: float


def _rounds(
    every: Sequence[Run],
    repeats: Sequence[int],
    wanted: int,
    clock: Clock,
    report: Callable[[int, int], None],
) -> list[_Round]:
    """Rounds until as many are good as are wanted, or no more may be tried."""
    found: list[_Round] = []
    while len(found) < TRIES * wanted and len(_good(found)) < wanted:
        found.append(_round(every, repeats, clock))
        report(min(wanted, len(_good(found))), wanted)
    return found


def _round(every: Sequence[Run], repeats: Sequence[int], clock: Clock) -> _Round:
    def reference() -> float:
        # The least of a few: one process that comes and goes makes no slow machine.
        return min(clock(every[0], repeats[0]).figure for _ in range(_LOOKS))

    before, first = load(), reference()
    pairs = zip(every[1:], repeats[1:], strict=True)
    samples = tuple(clock(run, times) for run, times in pairs)
    # At both ends: what comes in between is noticed at one of them, unless it is gone by then.
    return _Round(max(first, reference()), samples, (before + load()) / 2)


def _sample(run: Run, times: int, clock: Clock) -> Sample:
    first = clock(run, 1)
    return first if first.wall > _LONG else clock(run, times)


def _good(found: Sequence[_Round]) -> list[_Round]:
    """Those whose reference is near the best: the lower quartile of all so far."""
    return [one for one in found if one.reference <= (1 + MOST_DRIFT) * _best(found)]


def _best(found: Sequence[_Round]) -> float:
    return _quartile([one.reference for one in found])


def _timings(found: Sequence[_Round], wanted: int, threads: int) -> list[Timing]:
    """Of the good rounds; where there are too few, of the best, which are noisy then."""
    steady = len(_good(found)) >= wanted
    kept = _good(found) if steady else sorted(found, key=lambda one: one.reference)[:wanted]
    drift = max(one.reference for one in kept) / _best(found) - 1
    busy = float(np.mean([one.load for one in kept]))
    steady = steady and not _crowded(busy, threads)
    by_run = zip(*(one.samples for one in kept), strict=True)
    return [_timing(samples, busy, drift, steady) for samples in by_run]


def _crowded(busy: float, threads: int) -> bool:
    """Whether others want the cores that several threads need, all at a time.

    One that has to wait for its core makes the others wait in turn, which takes many times longer
    in every round alike, so that no drift shows it. A single thread's CPU time does not mind.
    """
    cores = os.cpu_count() or 1
    others = busy * cores - 1
    return threads > 1 and others > cores - threads + _PASSERS_BY


def _timing(samples: Sequence[Sample], busy: float, drift: float, steady: bool) -> Timing:
    low, median, high = np.quantile([sample.figure for sample in samples], [0.25, 0.5, 0.75])
    spread = float((high - low) / median)
    cpu, wall = [sample.cpu for sample in samples], [sample.wall for sample in samples]
    return Timing(
        latency_ms=1e3 * float(low),
        cpu_ms=1e3 * _quartile(cpu),
        cpu_median_ms=1e3 * float(np.median(cpu)),
        wall_ms=1e3 * _quartile(wall),
        wall_median_ms=1e3 * float(np.median(wall)),
        spread=spread,
        rounds=len(samples),
        load=busy,
        drift=drift,
        noisy=not steady or spread > MOST_SPREAD,
    )


def _quartile(values: Sequence[float]) -> float:
    return float(np.quantile(values, 0.25)) if values else 0.0


def _warm_seconds(run: Run, clock: Clock) -> float:
    """Seconds of a run once it has run: memory is there, and what is made at first is made."""
    first = clock(run, 1).wall
    later = [clock(run, 1).wall for _ in range(3 if first < 0.1 else 1)]
    return max(1e-9, min(later))


def _energy_mj(run: Run, read: Callable[[], Reading], clock: Clock) -> float | None:
    times = math.ceil(_ENERGY / _warm_seconds(run, clock))
    before = read()
    clock(run, times)
    joules = before.until(read())
    return None if joules is None else 1e3 * joules / times


def _reference(kind: Kind) -> Run:
    """What networks do, in about a millisecond: a product, rows chosen, and their sums."""
    generator = torch.Generator().manual_seed(0)
    left = torch.rand(1024, 128, generator=generator).to(kind)
    right = torch.rand(128, 64, generator=generator).to(kind)
    rows = torch.randint(1024, (4096,), generator=generator).to(kind)

    def run() -> object:
        with torch.inference_mode():
            product = left @ right
            return torch.zeros_like(product).index_add_(0, rows, product[rows])

    return run
