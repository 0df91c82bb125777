"""Profiles of made-up devices: what a network takes is a sum of known costs, with known noise."""

import numpy as np

from evaluators.latency.plan import Plan, plan_of
from evaluators.latency.profiled import Profile
from evaluators.latency.samples import Case, Sample, Samples, task_of
from evaluators.latency.tracing import WORK, Trace
from evaluators.latency.values import Device, Timing, Workload
from search_spaces import SearchSpace, gnn

DEVICE = Device("made-up", "a processor, 2 cores", "f" * 32)
GRAPH = Workload(200, 800, 0.3)
TASK = task_of("node_classification", 12, 3, GRAPH)


def small_space() -> SearchSpace:
    return gnn.build(
        TASK,
        depth=(1, 2),
        operators=("gcn", "sage", "linear"),
        width=(4, 8, 16),
        activation=("relu",),
        normalization=("none",),
    )


def small_plan(seed: int = 0) -> Plan:
    return plan_of(small_space(), TASK, GRAPH, seed=seed)


def costs(speed: float = 1.0) -> np.ndarray:
    """Milliseconds of a unit of each kind of work."""
    return speed * np.array(
        [0.01 if name.endswith(".calls") else 60.0 if ".gflop" in name else 300.0 for name in WORK]
    )


def timing(latency_ms: float, *, noisy: bool = False, energy_mj: float | None = None) -> Timing:
    same = [latency_ms] * 5
    return Timing(*same, 0.01, 9, 0.5, 0.01, noisy, 1000, energy_mj)


def sample(plan: Plan, case: Case, speed: float = 1.0, noise: float = 0.0) -> Sample:
    trace = plan.trace(case)
    rng = np.random.default_rng(int(trace.work.sum() * 1e9) % 2**32)
    taken = float(trace.work @ costs(speed)) * float(np.exp(noise * rng.normal()))
    return Sample(case, trace, timing(taken), 1000.0 * case.workload.nodes, 100.0)


def made_up_profile(
    count: int = 40, *, plan: Plan | None = None, device: Device = DEVICE, speed: float = 1.0
) -> Profile:
    plan = plan or small_plan()
    samples = [sample(plan, plan.case(i), speed) for i in range(count)]
    profile = Profile.begun(device, "eager", plan.to_json())
    return Profile(**{**vars(profile), "samples": Samples.of(samples), "drawn": count}).fitted()


def known_trace(profile: Profile, **more: float) -> Trace:
    """The work of the profile's first sample, and more of some kinds."""
    work = profile.samples.works[0].copy()
    for name, amount in more.items():
        work[WORK.index(name.replace("__", "."))] += amount
    return Trace(work, frozenset(), 1000, 100)
