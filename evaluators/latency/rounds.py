"""A round of measurements: networks built, compiled where asked, and timed in turns."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from evaluators._faults import CandidateError, network_fault
from evaluators.facts import facts
from evaluators.latency.graphs import inputs
from evaluators.latency.measuring import ROUNDS, measure
from evaluators.latency.plan import Plan
from evaluators.latency.runtimes import compile_network, runnable
from evaluators.latency.samples import Case, Sample
from evaluators.latency.values import Device, Runtime, Timing
from search_spaces import UsageError

Run = Callable[[], object]
Say = Callable[[str], None]
# So many networks and graphs are in memory at a time, and timed beside each other.
BATCH = 8


@dataclass(frozen=True)
class Timed:
    """What became of a round.

    Attributes:
        samples: of the cases that could be run, in their order.
        failed: (case, why) of those that could not be built or run.
        compiling: seconds that went to compiling.
    """

    samples: tuple[Sample, ...]
    failed: tuple[tuple[Case, str], ...]
    compiling: float


class Bench:
    """Where cases are timed; a context, which keeps compiled networks until it ends."""

    def __init__(
        self,
        plan: Plan,
        device: Device,
        runtime: Runtime,
        say: Say = lambda _: None,
        rounds: int = ROUNDS,
    ) -> None:
        self._plan, self._device, self._runtime, self._say = plan, device, runtime, say
        self._rounds = rounds
        self._folder = tempfile.TemporaryDirectory(prefix="nas-latency-")
        self._packages: dict[tuple[object, ...], Path] = {}
        self._compiling = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def time(self, cases: Sequence[Case]) -> Timed:
        """Time all cases, a batch at a time."""
        samples: list[Sample] = []
        failed: list[tuple[Case, str]] = []
        before = self._compiling
        for first in range(0, len(cases), BATCH):
            ready: list[Case] = []
            runs: list[Run] = []
            for case in cases[first : first + BATCH]:
                try:
                    runs.append(self._run(case))
                    ready.append(case)
                except (CandidateError, UsageError) as error:
                    failed.append((case, str(error)))
            timings = self._timed(runs)
            samples += [self._sample(c, t) for c, t in zip(ready, timings, strict=True)]
        return Timed(tuple(samples), tuple(failed), self._compiling - before)

    def _timed(self, runs: Sequence[Run]) -> list[Timing]:
        if not runs:
            return []
        device = self._device
        return measure(runs, threads=device.threads, kind=device.kind, rounds=self._rounds)

    def _run(self, case: Case) -> Run:
        """The case as a function, which has run once."""
        with network_fault("building and running the network"), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = self._plan.network(case).to(self._device.kind)
            graph = inputs(case.task, case.workload)
            tensors = tuple(tensor.to(self._device.kind) for tensor in graph)
            if self._runtime == "compiled":
                run: Run = runnable(self._package(case, network, tensors), tensors, "compiled")
            else:
                run = runnable(network, tensors, "eager")
            run()
        return run

    def _package(self, case: Case, network: nn.Module, tensors: Sequence[Tensor]) -> Path:
        task = case.task
        key = (case.architecture.structure_key, task.kind, task.n_features, task.n_classes)
        if key not in self._packages:
            self._say(f"compiling network {len(self._packages) + 1}")
            began = time.perf_counter()
            try:
                self._packages[key] = compile_network(
                    network, tensors, Path(self._folder.name), threads=self._device.threads
                )
            finally:
                self._compiling += time.perf_counter() - began
        return self._packages[key]

    def _sample(self, case: Case, timing: Timing) -> Sample:
        counted = facts(self._plan.space(case), case.architecture, replace(case.task, n_graphs=1))
        return Sample(case, self._plan.trace(case), timing, counted["macs"], counted["params"])
