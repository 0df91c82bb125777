"""A profile of this machine, or of another, whose times are planted: wider networks are slower."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from evaluators.facts import facts
from evaluators.latency.device import this_device
from evaluators.latency.profile import save_profile
from evaluators.latency.profiled import Profile
from evaluators.latency.samples import Case, Sample, Samples, task_of
from evaluators.latency.values import Runtime, Timing, Workload
from evaluators.latency.work import work_of
from fakes.space import build
from search_spaces import Architecture, SearchSpace

SIZES = (6, 12, 24, 48)


def timing(latency_ms: float, *, noisy: bool = False) -> Timing:
    """What would have been measured."""
    return Timing(
        latency_ms=latency_ms,
        cpu_ms=latency_ms,
        cpu_median_ms=latency_ms,
        wall_ms=latency_ms,
        wall_median_ms=latency_ms,
        spread=0.01,
        rounds=9,
        load=0.5,
        drift=0.01,
        noisy=noisy,
    )


def planted_ms(architecture: Architecture, nodes: int = 12) -> float:
    """Milliseconds of an architecture of `fakes.space`."""
    return 0.1 + 0.001 * int(architecture.choices.get("width", 4)) * nodes


def profile_of(
    *,
    name: str = "here",
    elsewhere: bool = False,
    runtime: Runtime = "eager",
    space: SearchSpace | None = None,
    milliseconds: Callable[[Architecture, int], float] = planted_ms,
    sizes: Sequence[int] = SIZES,
    per_size: int = 12,
    noise: float = 0.05,
) -> Profile:
    """A profile fitted to planted times, with some noise for the predictor to expect."""
    rng = np.random.default_rng(0)
    samples = []
    for nodes in sizes:
        workload = Workload(nodes, nodes - 1, 1 / nodes)
        task = task_of("node_classification", 3, 2, workload)
        of = space or build(task)
        for _ in range(per_size):
            architecture = of.sample(rng)
            trace = work_of(of, architecture, task, workload)
            known = facts(of, architecture, task)
            taken = timing(milliseconds(architecture, nodes) * float(np.exp(rng.normal(0, noise))))
            case = Case(architecture, task, workload)
            samples.append(Sample(case, trace, taken, known["macs"], known["params"]))
    device = replace(this_device(), name=name)
    if elsewhere:
        device = replace(device, machine="a board", fingerprint="0" * len(device.fingerprint))
    return Profile(device, runtime, {}, Samples.of(samples)).fitted()


def write_profile(folder: Path, **what: object) -> Path:
    """The file of such a profile, named like its device."""
    profile = profile_of(**what)  # type: ignore[arg-type]
    path = folder / f"{profile.name}.npz"
    save_profile(profile, path)
    return path
