"""Networks and graphs that a profile has not seen, timed twice, to hold predictions against."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evaluators.latency.plan import Plan
from evaluators.latency.profiled import Profile
from evaluators.latency.rounds import BATCH, Bench
from evaluators.latency.samples import Array, Case, Sample
from evaluators.latency.values import LatencyError
from search_spaces import Architecture
from search_spaces.task import TaskKind

_LEAST_PAIRS = 3


def held_out(profile: Profile, plan: Plan, networks: int, sizes: int) -> list[Case]:
    """Networks and sizes of graph that the profile has not seen; graph by graph.

    All networks of a kind of task run on each of its graphs. Compiled, all graphs are of one task,
    so that each network is compiled once.

    Raises:
        LatencyError: the space has too few such networks.
    """
    graphs = [plan.case(index, "check") for index in range(sizes)]
    if profile.runtime == "compiled":
        graphs = [graphs[0], *(plan.resized(graphs[0], i, "check") for i in range(1, sizes))]
    seen = structures(profile)
    found: list[Case] = []
    for graph in graphs:
        chosen = _unseen(plan, graph.task.kind, networks, seen)
        cases = [plan.bounded(replace(graph, architecture=one)) for one in chosen]
        smallest = min((case.workload for case in cases), key=lambda size: size.nodes)
        found += [case.on(smallest) for case in cases]
    return found


def _unseen(plan: Plan, kind: TaskKind, networks: int, seen: Collection[str]) -> list[Architecture]:
    """Networks that were not profiled; of a small space, of which all were, others too."""
    new: dict[str, Architecture] = {}
    old: dict[str, Architecture] = {}
    for index in range(100 + 20 * networks):
        architecture = plan.sample(kind, index, "check")
        key = architecture.structure_key
        (old if key in seen else new).setdefault(key, architecture)
        if len(new) == networks:
            break
    chosen = [*new.values(), *old.values()][:networks]
    if len(chosen) < networks:
        raise LatencyError(
            f"the space has {len(chosen)} different networks, expected {networks}; give fewer with "
            "--networks"
        )
    return chosen


def structures(profile: Profile) -> frozenset[str]:
    """The keys of the networks that were profiled."""
    return frozenset(case["structure_key"] for case in profile.samples.cases)


@dataclass(frozen=True)
class Twice:
    """Cases that were timed two times.

    Attributes:
        places: [n] of those that could be timed both times, among all.
        first, second: [n] their samples.
        apart_seconds: between both times of a case.
    """

    places: tuple[int, ...]
    first: tuple[Sample, ...]
    second: tuple[Sample, ...]
    apart_seconds: float

    @property
    def times(self) -> Array:
        """[2, n] milliseconds."""
        both = (self.first, self.second)
        return np.array([[sample.timing.latency_ms for sample in one] for one in both])

    @property
    def noisy(self) -> float:
        """The share of measurements that stayed noisy."""
        return float(np.mean([sample.timing.noisy for sample in (*self.first, *self.second)]))


def timed_twice(
    bench: Bench,
    cases: Sequence[Case],
    report: Callable[[int, int], None] = lambda _done, _wanted: None,
) -> Twice:
    """Time all cases, and then all of them once more: what changes meanwhile shows.

    Args:
        report: told how many of how many measurements are done.

    Raises:
        LatencyError: too few can be timed.
    """
    began, apart = time.perf_counter(), 0.0
    passes: list[dict[int, Sample]] = []
    for done in (0, len(cases)):
        apart = time.perf_counter() - began
        passes.append({})
        for start in range(0, len(cases), BATCH):
            batch = cases[start : start + BATCH]
            places = {id(case): start + i for i, case in enumerate(batch)}
            passes[-1] |= {places[id(s.case)]: s for s in bench.time(batch).samples}
            report(done + start + len(batch), 2 * len(cases))
    once, again = passes
    both = tuple(place for place in once if place in again)
    if len(both) < _LEAST_PAIRS:
        raise LatencyError(
            f"{len(both)} of {len(cases)} held-out networks could be timed, too few to compare"
        )
    first, second = (tuple(samples[place] for place in both) for samples in passes)
    return Twice(both, first, second, apart)
