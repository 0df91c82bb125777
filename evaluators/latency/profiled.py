"""A profile: what was timed on one device with one runtime, and what is predicted from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from evaluators.latency.predictor import Predictor
from evaluators.latency.samples import WORKLOADS, Array, Samples, as_row
from evaluators.latency.tracing import WORK, Trace, Work
from evaluators.latency.values import (
    Device,
    Interval,
    LatencyError,
    ProfileError,
    Runtime,
    UnknownOperatorError,
    Workload,
)
from evaluators.values import PREDICTED
from search_spaces.frozen import FrozenMapping

# Fewer samples say nothing about a device.
LEAST = 24
_LIBRARIES = ("torch", "torch_geometric", "numpy")
_CALLS = [place for place, name in enumerate(WORK) if name.endswith(".calls")]


@dataclass(frozen=True, eq=False)
class Range:
    """What a predictor has seen.

    Attributes:
        low, high: [4], of the workloads, see `WORKLOADS`.
        work: [K], the most of each kind of work; 0 for what was never timed.
    """

    low: Array
    high: Array
    work: Work

    @classmethod
    def of(cls, samples: Samples) -> "Range":
        sizes = samples.workloads
        return cls(sizes.min(axis=0), sizes.max(axis=0), samples.works.max(axis=0))

    def beyond(self, work: Work, workload: Workload) -> tuple[str, ...]:
        """In which respects something goes beyond, in words."""
        said = []
        for name, value, low, high in zip(
            WORKLOADS, as_row(workload), self.low, self.high, strict=True
        ):
            if value > high:
                said.append(f"{name} {_number(value)} > {_number(high)}")
            elif value < low:
                said.append(f"{name} {_number(value)} < {_number(low)}")
        kinds: dict[str, list[str]] = {}
        for place in np.flatnonzero((work > 0) & (self.work == 0)):
            if place not in _CALLS:
                what, kind = self._never(int(place))
                kinds.setdefault(what, []).append(kind)
        return (*said, *(f"{w} ({', '.join(dict.fromkeys(k))})" for w, k in kinds.items()))

    def _never(self, place: int) -> tuple[str, str]:
        """What of a kind of work was never timed, in words, and the kind."""
        kind, amount, *_ = WORK[place].split(".")
        same = [i for i, name in enumerate(WORK) if name.startswith(f"{kind}.{amount}.")]
        timed = [i for i in same if self.work[i]]
        product = amount == "gflop"
        size = "other"
        if timed and place > max(timed):
            size = "wider" if product else "larger"
        elif timed and place < min(timed):
            size = "narrower" if product else "smaller"
        return f"{size} {'products' if product else 'tensors'} than any timed", _in_text(kind)


@dataclass(frozen=True, eq=False)
class Profile:
    """One device (machine and threads) with one runtime.

    Attributes:
        device, runtime: of the samples.
        plan: what was to be timed, as `Plan.to_json` has it.
        samples: what was timed here.
        versions: of the libraries that ran, by name.
        predictors: {metric: predictor}; empty until there are `LEAST` samples.
        seen: what the predictors were fitted to; None without predictors.
        drawn: how many cases of the plan were drawn, those that could not be run included.
        origin: the device from which it was adapted, with few samples of its own.
        foreign: whether it is used for another machine than its own, as its user accepted.
    """

    device: Device
    runtime: Runtime
    plan: Mapping[str, Any]
    samples: Samples
    versions: Mapping[str, str] = field(default_factory=FrozenMapping)
    predictors: Mapping[str, Predictor] = field(default_factory=FrozenMapping)
    seen: Range | None = None
    drawn: int = 0
    origin: str | None = None
    foreign: bool = False

    @classmethod
    def begun(cls, device: Device, runtime: Runtime, plan: Mapping[str, Any]) -> "Profile":
        """One without samples, to be made with the libraries that are installed."""
        versions = {name: version(name) for name in _LIBRARIES}
        return cls(device, runtime, plan, Samples.of([]), FrozenMapping(versions))

    @property
    def name(self) -> str:
        return self.device.name

    @property
    def metrics(self) -> tuple[str, ...]:
        """What it predicts."""
        return tuple(metric for metric in PREDICTED if metric in self.predictors)

    def fitted(self) -> "Profile":
        """With predictors fitted to all samples; as it is, where there are too few."""
        predictors = {}
        for metric in PREDICTED:
            known = self.samples.known(metric)
            if known.sum() >= LEAST:
                sizes = [w for w, kept in zip(self.samples.sizes(), known, strict=True) if kept]
                predictors[metric] = Predictor.fit(
                    self.samples.works[known], sizes, self.samples.column(metric)[known].tolist()
                )
        if not predictors:
            return self
        return replace(self, predictors=predictors, seen=Range.of(self.samples))

    def predict(self, trace: Trace, workload: Workload, metric: str = "latency_ms") -> Interval:
        """How long a network takes (or what else the profile predicts), and how sure that is.

        Raises:
            UnknownOperatorError: it does something that was never timed.
            LatencyError: the profile does not predict this metric.
        """
        predictor, seen = self._predictor(metric)
        self._check_known(trace, seen)
        interval = predictor.predict(trace.work, workload)
        return replace(interval, beyond=seen.beyond(trace.work, workload))

    def predict_many(
        self, traces: Sequence[Trace], workloads: Sequence[Workload], metric: str = "latency_ms"
    ) -> tuple[Array, Array]:
        """Means [n], and standard deviations of their logarithms [n]; raises as `predict` does."""
        predictor, seen = self._predictor(metric)
        for trace in traces:
            self._check_known(trace, seen)
        return predictor.predict_many(np.array([t.work for t in traces]), workloads)

    def _predictor(self, metric: str) -> tuple[Predictor, Range]:
        if metric in self.predictors and self.seen is not None:
            return self.predictors[metric], self.seen
        if not self.predictors:
            raise LatencyError(
                f'profile "{self.name}" has {len(self.samples)} samples, too few to predict from: '
                f"expected {LEAST} or more; go on with: nas latency profile --device {self.name}"
            )
        raise LatencyError(
            f'profile "{self.name}" does not predict "{metric}": its device reports none; '
            f"it has {', '.join(self.metrics)}"
        )

    def _check_known(self, trace: Trace, seen: Range) -> None:
        never = [WORK[i].partition(".")[0] for i in _CALLS if trace.work[i] and not seen.work[i]]
        if trace.unknown or never:
            raise UnknownOperatorError(
                f'profile "{self.name}" has never timed what this network does '
                f"({', '.join((*sorted(trace.unknown), *map(_in_text, never)))}); profile the "
                "study's own space: nas latency profile STUDY_FILE, or leave the operator out"
            )

    @property
    def outdated(self) -> str:
        """With which other version of torch it was profiled, in words; empty where with this."""
        mine, here = self.versions.get("torch"), _installed("torch")
        if mine is None or mine.split(".")[:2] == here.split(".")[:2]:
            return ""
        return f"profiled with torch {mine}, this is {here}"

    def fits(self, device: Device) -> bool:
        """Whether the device is the one that was profiled, with as many threads."""
        mine = self.device
        return (mine.fingerprint, mine.kind, mine.threads) == (
            device.fingerprint,
            device.kind,
            device.threads,
        )

    def used_on(self, device: Device, *, accept_device: bool = False) -> "Profile":
        """This profile, for use on a device; marked as foreign where that is another one.

        Raises:
            ProfileError: it is another device, and that was not accepted.
        """
        if self.fits(device):
            return self
        if accept_device:
            return replace(self, foreign=True)
        raise ProfileError(
            f'profile "{self.name}" is of another device: {_in_words(self.device)}; this is '
            f"{_in_words(device)}. Profile this one (nas latency profile), adapt that one to it "
            f"(nas latency adapt --from {self.name}), or use it as it is with --accept-device "
            "(accept_device = true in [latency])"
        )


@cache
def _installed(library: str) -> str:
    """Its version, looked up on disk once: a record is marked for each trial."""
    return version(library)


def _in_text(kind: str) -> str:
    return kind.replace("_", " ")


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.2f}"


def _in_words(device: Device) -> str:
    threads = "1 thread" if device.threads == 1 else f"{device.threads} threads"
    return f"{device.machine}, {threads} [{device.fingerprint[:8]}]"
