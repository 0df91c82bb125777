"""How well latency is predicted: beside the device's own repeatability, and what else ranks."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evaluators.latency.held_out import held_out, structures, timed_twice
from evaluators.latency.plan import Plan
from evaluators.latency.profiled import Profile
from evaluators.latency.rounds import Bench
from evaluators.latency.samples import Array, Case, Sample
from evaluators.latency.values import Device
from evaluators.latency.work import CandidateError


@dataclass(frozen=True)
class Figures:
    """One predictor against measurements.

    Attributes:
        name: what predicts.
        spearman: rank correlation over all pairs of a network and a graph.
        spearman_within: the median of that within one size of graph.
        kendall: over all pairs.
        mape: mean |predicted - measured| / measured.
        within_10, within_20: share of pairs that are predicted so many percent away or less.
        pairs: how many.
        inside_90: share of pairs within their 90 % intervals; None for what gives no interval.
    """

    name: str
    spearman: float
    spearman_within: float
    kendall: float
    mape: float
    within_10: float
    within_20: float
    pairs: int
    inside_90: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON; what cannot be computed (of constants) is None."""
        return {k: None if v != v else v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class Checked:
    """A check of a profile.

    Attributes:
        rows: the predictor, the device measured twice, FLOPs, parameters, the nearest device.
        networks, sizes: held-out networks, and the sizes of graph on each of which all were run.
        noisy: share of measurements that stayed noisy.
        foreign: whether the profile is of another device.
        beyond: share of pairs that go beyond what was profiled.
        seen: share of pairs whose network was profiled, on other graphs: of a small space.
        apart_seconds: between the first and the second time of each.
    """

    rows: tuple[Figures, ...]
    networks: int
    sizes: int
    noisy: float
    foreign: bool
    beyond: float
    seen: float
    apart_seconds: float

    @property
    def ceiling(self) -> float:
        """The share within 10 % where the device predicts itself: what noise leaves to win."""
        return self.rows[1].within_10

    @property
    def of_ceiling(self) -> float:
        """The predictor's share within 10 %, of the ceiling."""
        return self.rows[0].within_10 / self.ceiling if self.ceiling else float("nan")

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        share = self.of_ceiling
        values = {name: value for name, value in vars(self).items() if name != "rows"}
        return {
            "rows": [row.to_json() for row in self.rows],
            **values,
            "ceiling": self.ceiling,
            "of_ceiling": None if share != share else share,
        }


def figures(
    name: str, predicted: Array, measured: Array, groups: Sequence[int] | NDArray[np.int64]
) -> Figures:
    """Figures of predictions [n] against measurements [n], on graphs of these numbers [n]."""
    apart = np.abs(predicted / measured - 1)
    group = np.asarray(groups)
    within = [
        _spearman(predicted[group == one], measured[group == one]) for one in np.unique(group)
    ]
    known = [value for value in within if value == value]
    return Figures(
        name=name,
        spearman=_spearman(predicted, measured),
        spearman_within=float(np.median(known)) if known else float("nan"),
        kendall=float(stats.kendalltau(predicted, measured).statistic),
        mape=float(apart.mean()),
        within_10=float((apart <= 0.1).mean()),
        within_20=float((apart <= 0.2).mean()),
        pairs=len(measured),
    )


def _spearman(first: Array, second: Array) -> float:
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(stats.spearmanr(first, second).statistic)


def check(
    profile: Profile,
    plan: Plan,
    device: Device,
    *,
    networks: int = 20,
    sizes: int = 4,
    nearest: Profile | None = None,
    report: Callable[[int, int], None] = lambda _done, _wanted: None,
    say: Callable[[str], None] = lambda _: None,
) -> Checked:
    """Measure held-out networks on held-out graphs, twice, and compare predictions with them.

    What is predicted is the geometric mean of both; the second pass begins when the first has been
    through everything, so that what changes meanwhile shows.

    Args:
        nearest: a profile of another device, whose predictions are used as they are.
        report: told how many of how many measurements are done.

    Raises:
        LatencyError: too few networks are left that the profile has not seen, or can be run.
        UnknownOperatorError: a network does what was never timed.
    """
    cases = held_out(profile, plan, networks, sizes)
    _check_predicted(cases, plan, [profile] if nearest is None else [profile, nearest])
    with Bench(plan, device, profile.runtime, say) as bench:
        twice = timed_twice(bench, cases, report)
    kept = twice.first
    graphs = [place // networks for place in twice.places]
    return Checked(
        rows=tuple(_rows(profile, nearest, kept, twice.times, graphs)),
        networks=networks,
        sizes=sizes,
        noisy=twice.noisy,
        foreign=not profile.fits(device),
        beyond=_share_beyond(profile, kept),
        seen=float(
            np.mean([s.case.architecture.structure_key in structures(profile) for s in kept])
        ),
        apart_seconds=twice.apart_seconds,
    )


def _check_predicted(cases: Sequence[Case], plan: Plan, profiles: Sequence[Profile]) -> None:
    """Raise what predicting raises, before time is spent on measuring."""
    for case in cases:
        try:
            trace = plan.trace(case)
        except CandidateError:  # the bench leaves it out
            continue
        for profile in profiles:
            profile.predict(trace, case.workload)


def _rows(
    profile: Profile,
    nearest: Profile | None,
    samples: Sequence[Sample],
    times: Array,
    graphs: Sequence[int],
) -> Iterator[Figures]:
    measured = np.sqrt(times[0] * times[1])
    traces, sizes = [s.trace for s in samples], [s.case.workload for s in samples]
    row = figures("predictor", profile.predict_many(traces, sizes)[0], measured, graphs)
    yield replace(row, inside_90=_share_inside(profile, samples, measured))
    yield figures("measured twice", times[1], times[0], graphs)
    counted = np.array([[sample.macs, sample.params] for sample in samples])
    for column, name in enumerate(("flops", "params")):
        line = _line(profile, column)
        yield figures(name, line(counted[:, column]), measured, graphs)
    if nearest is not None:
        there = nearest.predict_many(traces, sizes)[0]
        yield figures(f"nearest: {nearest.name}", there, measured, graphs)


def _line(profile: Profile, column: int) -> Callable[[Array], Array]:
    """Latency from one count alone: a line in logarithms, through the profile's networks."""
    networks = np.array([not case["part"] for case in profile.samples.cases])
    counts = np.log(1 + profile.samples.facts[networks, column])
    known = np.log(profile.samples.column("latency_ms")[networks])
    slope, offset = np.polyfit(counts, known, 1)
    return lambda values: np.asarray(np.exp(offset + slope * np.log(1 + values)))


def _share_beyond(profile: Profile, samples: Sequence[Sample]) -> float:
    return float(np.mean([bool(profile.predict(s.trace, s.case.workload).beyond) for s in samples]))


def _share_inside(profile: Profile, samples: Sequence[Sample], measured: Array) -> float:
    """The share within their intervals; 0.9 is what they promise."""
    intervals = [profile.predict(s.trace, s.case.workload) for s in samples]
    return float(np.mean([i.low <= m <= i.high for i, m in zip(intervals, measured, strict=True)]))
