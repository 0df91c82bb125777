"""A profile for another device, runtime or number of threads, from a few probes of it.

What networks do is the same everywhere; what each kind of work costs is not. The probes are chosen
so that they tell these costs apart: greedily, each next one that adds most to the determinant of
the information about the logarithms of the costs (D-optimal).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evaluators.latency.costs import MEMBERS
from evaluators.latency.plan import Plan
from evaluators.latency.predictor import Predictor
from evaluators.latency.profiled import LEAST, Profile
from evaluators.latency.rounds import Bench
from evaluators.latency.samples import Array, Case, Samples
from evaluators.latency.values import Device, LatencyError, Runtime

PROBES = 10
SECONDS = 300.0
_LEAST_PROBES = 3
# Standard deviations of logarithms: of each cost, relative to the source's, and of a measurement.
_PRIOR_SD, _NOISE_SD = 0.35, 0.1
_BATCH = 5


@dataclass(frozen=True)
class Probed:
    """How far an adaptation is: so many of so many probes are measured."""

    done: int
    wanted: int
    message: str = ""


def adapt(
    source: Profile,
    plan: Plan,
    device: Device,
    runtime: Runtime,
    *,
    probes: int = PROBES,
    seconds: float = SECONDS,
    report: Callable[[Probed], None] = lambda _: None,
) -> Profile:
    """A profile of a device from that of another, and at most so many networks timed here.

    Args:
        plan: of the source, whose networks the probes are.
        seconds: after which no further probe begins; compiling does not count.

    Raises:
        LatencyError: the source predicts nothing, or fewer than three probes could be timed.
    """
    _check_source(source)
    chosen = choose(source, probes)
    found = Samples.of([])

    def say(message: str) -> None:
        report(Probed(len(found), len(chosen), message))

    with Bench(plan, device, runtime, say) as bench:
        for found in _timed(bench, chosen, seconds):
            report(Probed(len(found), len(chosen)))
    return replace(
        Profile.begun(device, runtime, source.plan),
        samples=found,
        predictors=_adapted(source, found),
        seen=source.seen,
        drawn=len(chosen),
        origin=source.name,
    )


def _check_source(source: Profile) -> None:
    if not source.predictors or source.seen is None:
        raise LatencyError(
            f'profile "{source.name}" has {len(source.samples)} samples, too few to adapt: '
            f"expected {LEAST} or more; go on with: nas latency profile --device {source.name}"
        )
    if source.origin is not None:
        raise LatencyError(
            f'profile "{source.name}" was adapted itself; adapt from "{source.origin}"'
        )


def _timed(bench: Bench, chosen: Sequence[Case], seconds: float) -> Iterator[Samples]:
    """All samples so far, after each batch; a LatencyError where they stay too few."""
    left, found, failed = seconds, Samples.of([]), ""
    for batch in _batches(chosen):
        if left <= 0:
            break
        began = time.perf_counter()
        timed = bench.time(batch)
        found = found + Samples.of(timed.samples)
        failed = timed.failed[-1][1] if timed.failed else failed
        left -= time.perf_counter() - began - timed.compiling
        yield found
    if len(found) < _LEAST_PROBES:
        raise LatencyError(
            f"{len(found)} of {len(chosen)} probes could be timed, too few to adapt from"
            + (f"; the last that could not: {failed}" if failed else "")
        )


def _adapted(source: Profile, found: Samples) -> dict[str, Predictor]:
    """Of each metric that was measured often enough."""
    predictors, sizes = {}, found.sizes()
    for metric, predictor in source.predictors.items():
        known = np.flatnonzero(found.known(metric))
        if len(known) >= _LEAST_PROBES:
            measured = found.column(metric)[known].tolist()
            predictors[metric] = predictor.adapted(
                found.works[known], [sizes[i] for i in known], measured
            )
    return predictors


def choose(source: Profile, probes: int) -> list[Case]:
    """Of the networks that the source has timed, those whose times here would tell the most."""
    networks = [i for i, case in enumerate(source.samples.cases) if not case["part"]]
    rows = _design(source, networks)
    information = np.diag(1 / _PRIOR_SD**2 * np.ones(rows.shape[1]))
    chosen: list[int] = []
    while len(chosen) < min(probes, len(networks)):
        # det(M + r r') = det(M) (1 + r' M^-1 r)
        gain = np.einsum("ij,ij->i", rows @ np.linalg.inv(information), rows)
        gain[chosen] = -1.0
        best = int(gain.argmax())
        chosen.append(best)
        information += np.outer(rows[best], rows[best])
    return [source.samples.case(networks[place]) for place in chosen]


def _design(source: Profile, networks: Sequence[int]) -> Array:
    """[n, groups + 3] what log(time) changes by, in units of its noise, with what may differ here.

    The logarithms of each group's cost and of all costs; and how large the network and how dense
    the graph is, so that the probes are spread over sizes.
    """
    predictor = source.predictors["latency_ms"]
    works = source.samples.works[networks]
    parts = works * (predictor.cost * predictor.scale) @ MEMBERS.T
    total = parts.sum(axis=1, keepdims=True)
    nodes, edges = source.samples.workloads[networks, 0], source.samples.workloads[networks, 1]
    sizes = np.log(np.stack([np.maximum(total[:, 0], 1e-9), (edges + 1) / nodes], axis=1))
    spread = (sizes - sizes.mean(axis=0)) / np.maximum(sizes.std(axis=0), 1e-9)
    rows: Array = np.hstack([parts / np.maximum(total, 1e-9), np.ones_like(total), spread])
    return rows / _NOISE_SD


def _batches(cases: Sequence[Case]) -> list[Sequence[Case]]:
    """A few at a time, the first ones telling the most: what time is left for is worth having."""
    return [cases[start : start + _BATCH] for start in range(0, len(cases), _BATCH)]
