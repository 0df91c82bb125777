"""Profiles of devices by name: made, adapted, checked and listed."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from evaluators.latency.adapting import PROBES, Probed, adapt
from evaluators.latency.checking import Checked, check
from evaluators.latency.device import this_device
from evaluators.latency.plan import Plan, general_plan, plan_from_json, plan_of
from evaluators.latency.profile import (
    SUFFIX,
    Profile,
    check_writable,
    devices_folder,
    load_profile,
    profile_path,
    save_profile,
)
from evaluators.latency.profiling import Standing, check_goes_on, profile_device
from evaluators.latency.values import (
    Device,
    LatencyError,
    ProfileError,
    Runtime,
    Workload,
    random_skew,
)
from nas.setting_up import set_up
from nas.spec import StudySpec

Kind: TypeAlias = Literal["cpu", "cuda"]
KINDS: tuple[Kind, ...] = ("cpu", "cuda")


def study_plan(spec: StudySpec, data_root: Path, seed: int = 0, where: str = "the study") -> Plan:
    """What a study's networks do, on graphs around its own or around its `[latency] workload`."""
    setup = set_up(spec, data_root, where=where, with_latency=False)
    given = spec.latency.workload if spec.latency else None
    if given is not None:
        skew = random_skew(given.edges / given.nodes) if given.skew is None else given.skew
        workload = Workload(given.nodes, given.edges, skew, given.graphs)
    else:
        edges = None if setup.dataset is None else setup.dataset.edge_index
        workload = Workload.of(setup.task, edges)
    return plan_of(setup.space, setup.task, workload, seed=seed, made_by=spec.space)


def make_profile(
    name: str | None = None,
    *,
    plan: Plan | None = None,
    minutes: float = 10.0,
    runtime: Runtime | None = None,
    threads: int | None = None,
    kind: Kind = "cpu",
    seed: int = 0,
    folder: Path | None = None,
    report: Callable[[Standing], None] = lambda _: None,
) -> Profile:
    """Profile this device, or go on with a profile of it; the file is written after each round.

    Args:
        name: of the device, or the path of its file; by default what this device is called.
        plan: what to time, from `study_plan`; by default what a profile that is there was made
            for, or networks of all operators, on graphs of usual sizes.
        runtime, threads: by default those of the profile that is there, or eager and 1.
        seed: of a plan of its own.
        minutes: of measuring, beside which compiling takes its own.
        folder: of profiles; by default `devices_folder()`.

    Raises:
        ProfileError: the file is of another device, runtime or plan, or cannot be read or written.
    """
    if name is not None and profile_path(name, folder).exists():
        known = load_profile(name, folder)
        runtime, threads = runtime or known.runtime, threads or known.device.threads
    runtime = runtime or "eager"
    device = named(this_device(threads=threads or 1, kind=kind), name, runtime)
    path = profile_path(name or device.name, folder)
    check_writable(path.parent)
    if path.exists():
        started = load_profile(path)
        plan = plan or plan_from_json(started.plan)
        check_goes_on(started, device, runtime, plan)
    else:
        plan = plan or general_plan(seed)
        started = Profile.begun(device, runtime, plan.to_json())
    return profile_device(
        started,
        plan,
        seconds=60 * minutes,
        save=lambda current: save_profile(current, path),
        report=report,
    )


def named(device: Device, name: str | None, runtime: Runtime) -> Device:
    """The device under the name of its profile: one for each number of threads and runtime."""
    if name is not None:
        return replace(device, name=Path(name).name.removesuffix(SUFFIX))
    more = [] if device.threads == 1 else [f"{device.threads}-threads"]
    more += [] if runtime == "eager" else [runtime]
    return replace(device, name="-".join([device.name, *more]))


def adapt_profile(
    source_name: str,
    name: str | None = None,
    *,
    plan: Plan | None = None,
    runtime: Runtime | None = None,
    threads: int | None = None,
    kind: Kind = "cpu",
    probes: int = PROBES,
    folder: Path | None = None,
    report: Callable[[Probed], None] = lambda _: None,
) -> Profile:
    """Make a profile of this device from that of another, by timing a few networks.

    Args:
        source_name: the profile to begin from, by name or path.
        name: of this device, or the path of its file.
        plan: of the source; needed where its space was made in Python.
        runtime, threads: by default those of the source.

    Raises:
        LatencyError: the source cannot be used, or has the name of the result.
    """
    source = load_profile(source_name, folder)
    runtime = runtime or source.runtime
    threads = threads or source.device.threads
    device = named(this_device(threads=threads, kind=kind), name, runtime)
    path = profile_path(name or device.name, folder)
    if path.exists():
        raise ProfileError(
            f"{path} is there already and would be replaced; give another name with --device, or "
            "delete it"
        )
    check_writable(path.parent)
    adapted = adapt(
        source,
        plan or plan_from_json(source.plan),
        device,
        runtime,
        probes=probes,
        report=report,
    )
    save_profile(adapted, path)
    return adapted


def check_profile(
    name: str,
    *,
    plan: Plan | None = None,
    networks: int = 20,
    sizes: int = 4,
    nearest: str | None = None,
    accept_device: bool = False,
    folder: Path | None = None,
    report: Callable[[int, int], None] = lambda _done, _wanted: None,
    say: Callable[[str], None] = lambda _: None,
) -> Checked:
    """Measure networks and graphs that a profile has not seen, and compare it with them.

    Args:
        nearest: another profile, to be compared with as it is.
        accept_device: measure here, though the profile is of another device.

    Raises:
        ProfileError: the profile is of another device than this one.
    """
    subject = load_profile(name, folder)
    other = None if nearest is None else load_profile(nearest, folder)
    if subject.outdated:
        say(f'warning: the profile "{subject.name}" was {subject.outdated}')
    mine = subject.device
    device = this_device(mine.name, threads=mine.threads, kind=mine.kind)
    return check(
        subject.used_on(device, accept_device=accept_device),
        plan or plan_from_json(subject.plan),
        device,
        networks=networks,
        sizes=sizes,
        nearest=other,
        report=report,
        say=say,
    )


@dataclass(frozen=True)
class Listed:
    """A file among the profiles.

    Attributes:
        name: under which it is found.
        profile: None where it cannot be read.
        here: whether it is of this machine.
        problem: why it cannot be read; else empty.
    """

    name: str
    profile: Profile | None
    here: bool
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """One row."""
        found = self.profile
        if found is None:
            return {"name": self.name, "problem": self.problem}
        return {
            "name": self.name,
            "machine": found.device.machine,
            "kind": found.device.kind,
            "threads": found.device.threads,
            "runtime": found.runtime,
            "samples": len(found.samples),
            "noisy": noisy_share(found),
            "metrics": list(found.metrics),
            "adapted_from": found.origin,
            "torch": found.versions.get("torch"),
            "this_machine": self.here,
            "note": found.outdated,
            "problem": "",
        }


def devices(folder: Path | None = None) -> list[Listed]:
    """The profiles in a folder, by name."""
    machines = {}
    for kind in KINDS:
        with suppress(LatencyError):  # no GPU here
            machines[kind] = this_device(kind=kind).fingerprint
    found = []
    for path in sorted((folder or devices_folder()).glob(f"*{SUFFIX}")):
        try:
            one = load_profile(path)
        except ProfileError as error:
            found.append(Listed(path.stem, None, False, str(error)))
        else:
            here = machines.get(one.device.kind) == one.device.fingerprint
            found.append(Listed(path.stem, one, here))
    return found


def noisy_share(found: Profile) -> float:
    """Which share of the samples was taken while the machine was noisy."""
    return float(found.samples.column("noisy").mean()) if len(found.samples) else 0.0
