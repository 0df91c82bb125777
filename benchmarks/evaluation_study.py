"""A mixed study against the naive loop, and two workers against one."""

import itertools
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from evaluation_measure import Model, evaluated, faster, jobs_of, timed
from reporting import Row, row, table, told
from torch import nn

from evaluators import Executor, Job
from evaluators.datasets import Dataset
from evaluators.executors import processes
from evaluators.run import run
from search_spaces import Architecture, SearchSpace, plugins

Loop: TypeAlias = Callable[[nn.Module, Dataset, int], float]
BATCH = 8  # random search proposes so many at a time
STUDY_TRIALS = 100
FASTER, TWO_WORKERS = 8.0, 1.6
REPEATS = 2
START_SECONDS = 15


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        architectures: of the mixed study's sample.
        epochs: of a candidate.
        naive_epochs: that are timed of it by the naive loop, whose every epoch costs the same.
        jobs: for one worker, and for two.
    """

    architectures: int = 20
    epochs: int = 200
    naive_epochs: int = 20
    jobs: int = 64


def mixed(size: Size, dataset: Dataset, loops: Mapping[str, Loop]) -> tuple[str, list[Row]]:
    """CPU time of random architectures of all operators, batch by batch, each side in turn.

    The evaluator trains to the end, with checkpoints and all metrics, as a study does.
    """
    space, sample = _sample(dataset, size.architectures)
    batches = [sample[i : i + BATCH] for i in range(0, len(sample), BATCH)]
    _evaluate(dataset, space, sample[:1], 1)  # imports, and what is prepared once for all
    spent: dict[str, float] = dict.fromkeys((*loops, "evaluator"), 0.0)
    failed = 0
    for number, batch in enumerate(batches):
        told(f"study: batch {number + 1} of {len(batches)}")
        for name, loop in loops.items():
            _, ms = timed(partial(_loop, dataset, space, batch, loop, size.naive_epochs))
            spent[name] += ms * size.epochs / size.naive_epochs
        failures, ms = timed(partial(_evaluate, dataset, space, batch, size.epochs))
        spent["evaluator"] += ms
        failed += failures
    return _mixed_report(size, spent, failed)


def _mixed_report(size: Size, spent: Mapping[str, float], failed: int) -> tuple[str, list[Row]]:
    ours = spent["evaluator"]
    lines, rows = {}, []
    for name, ms in spent.items():
        each = ms / size.architectures / 1000
        lines[name] = [f"{each:.2f}", f"{3600 / each:,.0f}", f"{ms / ours:.2f}"]
    case = f"mixed study, {size.architectures} of {STUDY_TRIALS} trials, {size.epochs} epochs"
    names = [name for name in spent if name != "evaluator"]
    for name in names:
        bound = FASTER if name == names[0] else None
        rows.append(faster(case, f"candidates an hour / {name}", ours, spent[name], bound))
    # What fails ends early, and would count as fast.
    rows.append(row(case, "candidates without a failure", size.architectures - failed))
    rows[-1] |= {"target": f">= {size.architectures}", "ok": failed == 0}
    columns = ["", "CPU s a candidate", "candidates an hour of one core", "times the evaluator's"]
    return table(f"{case} on Cora", columns, lines), rows


def _sample(dataset: Dataset, count: int) -> tuple[SearchSpace, list[Architecture]]:
    """Different random architectures of the space `gnn` with every operator that there is."""
    operators = list(plugins.names("operator"))
    space: SearchSpace = plugins.load("space", "gnn").build(dataset.task, operators=operators)
    rng = np.random.default_rng(0)
    found: dict[str, Architecture] = {}
    while len(found) < count:
        architecture = space.sample(rng)
        found.setdefault(architecture.key, architecture)
    return space, list(found.values())


def _loop(
    dataset: Dataset, space: SearchSpace, batch: Sequence[Architecture], loop: Loop, epochs: int
) -> None:
    for architecture in batch:
        torch.manual_seed(0)
        loop(space.network(architecture, dataset.task), dataset, epochs)


def _evaluate(
    dataset: Dataset, space: SearchSpace, batch: Sequence[Architecture], epochs: int
) -> int:
    """Returns how many failed."""
    jobs = jobs_of(dataset, [(space, architecture, 0) for architecture in batch], epochs)
    return sum(evaluation.failure is not None for evaluation in run(jobs))


def two_workers(size: Size, dataset: Dataset) -> tuple[str, list[Row]]:
    """Throughput by the clock of the executor `processes`, with one worker and with two, in turn.

    Lists of equal jobs in batches, so that no worker waits for the other at the end. A first round
    warms up and is not counted.
    """
    space, architecture = Model().candidate(dataset.task)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    load = os.getloadavg()[0]
    executors = {workers: processes.build(workers=workers) for workers in seconds}
    seeds = itertools.count()  # what is in the store already would not be written again
    try:
        for repeat in range(1 + REPEATS):
            for workers, executor in executors.items():
                told(f"workers: {workers}, round {repeat} of {REPEATS}")
                made = [(space, architecture, next(seeds)) for _ in range(size.jobs)]
                jobs = jobs_of(dataset, made, size.epochs)
                if repeat == 0:
                    _start(executor, jobs)
                seconds[workers].append(_wall(executor, jobs))
    finally:
        for executor in executors.values():
            executor.shutdown(wait=False)
    rates = {w: size.jobs / statistics.median(spent[1:]) for w, spent in seconds.items()}
    lines = {f"workers: {w}": [f"{3600 * rate:,.0f}"] for w, rate in rates.items()}
    case = f"executor processes, {size.jobs} candidates of {size.epochs} epochs"
    one, two = (1000 / rates[w] for w in (1, 2))
    text = table(f"{case}, GCN 64 on Cora", ["", "candidates an hour"], lines)
    text += f"\n{one / two:.2f} times, {os.cpu_count()} cores, load before {load:.1f}\n"
    return text, [faster(case, "wall ms a candidate, 2 workers / 1", two, one, TWO_WORKERS)]


def _start(executor: Executor, jobs: Sequence[Job]) -> None:
    """Start the workers, and give all of them the time to import what they need."""
    for _ in evaluated(executor, [jobs[:1]]):
        time.sleep(START_SECONDS)


def _wall(executor: Executor, jobs: Sequence[Job]) -> float:
    began = time.perf_counter()
    batches = [jobs[i : i + BATCH] for i in range(0, len(jobs), BATCH)]
    for _, evaluations in evaluated(executor, batches):
        failures = [e.failure.message for e in evaluations if e.failure is not None]
        if failures:
            raise RuntimeError(f"expected no failure of a GCN on Cora, got: {failures[0]}")
    return time.perf_counter() - began
