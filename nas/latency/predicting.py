"""What a device's profile says of a study's architectures, before any of them is trained."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.artifacts import sha256_of
from evaluators.facts import CandidateError
from evaluators.latency.device import this_device
from evaluators.latency.profile import SUFFIX, devices_folder, load_profile, profile_path
from evaluators.latency.profiled import Profile
from evaluators.latency.values import (
    Interval,
    LatencyError,
    ProfileError,
    Runtime,
    UnknownOperatorError,
    Workload,
    random_skew,
)
from evaluators.latency.work import work_of
from evaluators.values import Failure
from nas._tables import LatencyTable
from nas.constraints import ends
from search_spaces import Architecture, SearchSpace, Task

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Latency:
    """How long networks take on one device, on one size of graph.

    Attributes:
        profile: of the device.
        digest: sha256 of the profile's file.
        workload: the size of the graph.
    """

    profile: Profile
    digest: str
    workload: Workload

    @property
    def metrics(self) -> tuple[str, ...]:
        """What it predicts; each comes with the two metrics of its `ends`."""
        return self.profile.metrics

    def bound_to(self) -> dict[str, Any]:
        """What a study is bound to: a resumed one must find the same."""
        device = asdict(self.profile.device)
        return {
            "device": {name: device[name] for name in ("name", "machine", "fingerprint")},
            "runtime": self.profile.runtime,
            "threads": self.profile.device.threads,
            "workload": asdict(self.workload),
            "profile": self.digest,
        }

    def facts(self, space: SearchSpace, architecture: Architecture, task: Task) -> dict[str, float]:
        """Of each metric the prediction and its two ends.

        Raises:
            CandidateError: the network does something that the profile has never timed.
        """
        facts: dict[str, float] = {}
        for metric, interval in self._intervals(space, architecture, task).items():
            low, high = ends(metric)
            facts |= {metric: interval.mean, low: interval.low, high: interval.high}
        return facts

    def mark(self, space: SearchSpace, architecture: Architecture, task: Task) -> str:
        """What the record must say of a prediction; empty where nothing limits it."""
        marks = []
        if self.profile.foreign:
            device = self.profile.device
            marks.append(f'predicted from the profile of another device: "{device.name}"')
        if self.profile.outdated:
            marks.append(self.profile.outdated)
        found = self._intervals(space, architecture, task).values()
        if beyond := dict.fromkeys(what for interval in found for what in interval.beyond):
            marks.append(f"predicted beyond what was profiled: {', '.join(beyond)}")
        return "; ".join(marks)

    def _intervals(
        self, space: SearchSpace, architecture: Architecture, task: Task
    ) -> dict[str, Interval]:
        trace = work_of(space, architecture, task, self.workload)
        try:
            return {m: self.profile.predict(trace, self.workload, m) for m in self.metrics}
        except UnknownOperatorError as error:
            made_of = " ".join(f"{name}={value}" for name, value in architecture.choices.items())
            said = f"{error}; the network: {made_of}"
            raise CandidateError(Failure("error", said)) from error

    def refusal(self) -> str:
        """Why nothing can be measured here; empty on the profile's own device."""
        mine = self.profile.device
        try:
            here = this_device(threads=mine.threads, kind=mine.kind)
        except LatencyError as error:
            return str(error)
        if self.profile.fits(here):
            return ""
        return f'the profile "{mine.name}" is of {mine.machine}, this is {here.machine}'


def open_latency(table: LatencyTable, task: Task, edge_index: "Tensor | None") -> Latency:
    """The profile that `[latency]` names, checked against it, and the workload.

    Args:
        edge_index: [2, E] of the study's graph, for the skew of its own workload.

    Raises:
        LatencyError: no such profile; it has another runtime or number of threads, or is of
            another device and that is not accepted.
    """
    try:
        profile = _used_here(load_profile(table.device), accept_device=table.accept_device)
    except LatencyError as error:
        raise ProfileError(f"device: {error}") from error
    if not profile.metrics:
        raise ProfileError(
            f'device: the profile "{profile.name}" has too few samples to predict from; go on '
            f"with: nas latency profile --device {profile.name}"
        )
    wanted = {"runtime": table.runtime, "threads": table.threads}
    has = _has(profile)
    for key, value in wanted.items():
        if value is not None and value != has[key]:
            others = [name for name, found in _others(table.device) if found[key] == value]
            hint = "no profile has it; leave it out"
            if others:
                hint = f"profiles that have it: {', '.join(others)}"
            raise ProfileError(
                f'{key}: expected that of the profile "{profile.name}", {has[key]}, got {value}; '
                f"{hint}"
            )
    digest = sha256_of(profile_path(table.device))
    return Latency(profile, digest, _workload(table, task, edge_index))


def _has(profile: Profile) -> Mapping[str, Runtime | int]:
    return {"runtime": profile.runtime, "threads": profile.device.threads}


def _others(asked: str) -> Iterator[tuple[str, Mapping[str, Runtime | int]]]:
    """The profiles beside the one that was asked for, by name, where they can be read."""
    folder = Path(asked).parent if asked.endswith(SUFFIX) else devices_folder()
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            yield path.stem, _has(load_profile(path))
        except ProfileError:
            continue


def _used_here(profile: Profile, *, accept_device: bool) -> Profile:
    device = profile.device
    try:
        here = this_device(threads=device.threads, kind=device.kind)
    except LatencyError:  # this machine has no device of that kind
        if not accept_device:
            raise
        return replace(profile, foreign=True)
    return profile.used_on(here, accept_device=accept_device)


def _workload(table: LatencyTable, task: Task, edge_index: "Tensor | None") -> Workload:
    given = table.workload
    if given is None:
        return Workload.of(task, edge_index)
    skew = random_skew(given.edges / given.nodes) if given.skew is None else given.skew
    return Workload(given.nodes, given.edges, skew, given.graphs)
