"""Profile a device: round after round of networks, more of them where they are predicted badly.

Jianfeng Liu and others, nn-Meter (2021), sample kernels again around those that a test predicts
worst. Here the test is the round itself: each network is predicted before it is timed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from evaluators.latency.measuring import LEAST_ROUNDS
from evaluators.latency.plan import Plan
from evaluators.latency.profiled import LEAST, Profile
from evaluators.latency.rounds import BATCH, Bench
from evaluators.latency.samples import Case, Sample, Samples
from evaluators.latency.values import Device, LatencyError, ProfileError, Runtime

# Compiling takes much longer than timing: few networks, each on several graphs.
_COMPILED_NETWORKS, _GRAPHS_EACH = 2, 8
# Many networks, each timed a little, tell more than few that are timed well.
_ROUNDS = LEAST_ROUNDS
# Predicted within this (of the logarithm), a case needs no others near it.
_GOOD = 0.1
# A predictor is fitted again when there are so many times as many samples.
_GROWN = 1.25
_FRUITLESS_ROUNDS = 3


@dataclass(frozen=True)
class Standing:
    """How far a profile is.

    Attributes:
        samples: in all.
        seconds_left: of measuring.
        error: median |log(predicted / measured)| of the last round, before it was measured.
        noisy: share of all samples.
        message: something that people should know now; else empty.
    """

    samples: int
    seconds_left: float
    error: float | None
    noisy: float
    message: str = ""


Report = Callable[[Standing], None]


def check_goes_on(profile: Profile, device: Device, runtime: Runtime, plan: Plan) -> None:
    """Refuse to mix samples.

    Raises:
        ProfileError: the profile is of another device, runtime or plan, or was adapted.
    """
    what = None
    if not profile.fits(device):
        what = f"of another device: {profile.device.machine}, {profile.device.threads} thread(s)"
    elif profile.runtime != runtime:
        what = f"of the runtime {profile.runtime}"
    elif profile.origin is not None:
        what = f'adapted from "{profile.origin}"'
    elif profile.plan != plan.to_json():
        what = "of another space, graph or seed"
    if what is not None:
        raise ProfileError(
            f'the profile "{profile.name}" is {what}; it cannot go on with this one: give another '
            "name with --device"
        )


def profile_device(
    profile: Profile,
    plan: Plan,
    *,
    seconds: float,
    save: Callable[[Profile], None],
    report: Report = lambda _: None,
) -> Profile:
    """Go on with a profile for so many seconds of measuring, and fit what it then has.

    Args:
        save: called after each round and at the end; what it has written is what a kill leaves.
        report: told after each round.

    Raises:
        LatencyError: nothing that the plan draws can be run.
    """
    profile, left, fitted_to, fruitless = profile.fitted(), seconds, len(profile.samples), 0

    def tell(message: str, error: float | None = None) -> None:
        noisy = float(profile.samples.column("noisy").mean()) if len(profile.samples) else 0.0
        report(Standing(len(profile.samples), max(0.0, left), error, noisy, message))

    try:
        while left > 0:
            began = time.perf_counter()
            cases = next_cases(profile, plan)
            with Bench(plan, profile.device, profile.runtime, tell, _ROUNDS) as bench:
                timed = bench.time(cases)
            for line in dict.fromkeys(
                f"left out: {c.architecture!r}: {w}" for c, w in timed.failed
            ):
                tell(line)
            fruitless = 0 if timed.samples else fruitless + 1
            if fruitless == _FRUITLESS_ROUNDS:
                raise LatencyError(
                    f"nothing of {fruitless * len(cases)} networks could be timed; the last: "
                    f"{timed.failed[-1][1]}"
                )
            new = predicted_before(profile, timed.samples)
            drawn = profile.drawn + len(cases)
            profile = replace(profile, samples=profile.samples + Samples.of(new), drawn=drawn)
            if len(profile.samples) >= max(LEAST, _GROWN * fitted_to):
                profile, fitted_to = profile.fitted(), len(profile.samples)
            save(profile)
            left -= time.perf_counter() - began - timed.compiling
            tell("", _median_error(new))
    finally:  # also where someone has seen enough: what is there is fitted
        profile = profile.fitted()
        if len(profile.samples):
            save(profile)
    return profile


def next_cases(profile: Profile, plan: Plan) -> list[Case]:
    """The next round: half of it near what was predicted worst in the last one, if anything was."""
    drawn = profile.drawn
    if profile.runtime == "compiled":
        networks = [plan.case(drawn + i * _GRAPHS_EACH) for i in range(_COMPILED_NETWORKS)]
        return [
            plan.resized(case, drawn + i * _GRAPHS_EACH + j) if j else case
            for i, case in enumerate(networks)
            for j in range(_GRAPHS_EACH)
        ]
    errors = np.abs(profile.samples.errors[-BATCH:])
    bad = np.flatnonzero(np.nan_to_num(errors) > _GOOD)
    worst = bad[np.argsort(-errors[bad])][: BATCH // 2]
    first = len(profile.samples) - len(errors)
    near = [
        plan.near(profile.samples.case(first + int(place)), drawn + i)
        for i, place in enumerate(worst)
    ]
    return near + [plan.case(drawn + i) for i in range(len(near), BATCH)]


def predicted_before(profile: Profile, samples: tuple[Sample, ...]) -> list[Sample]:
    """The samples with the errors that the profile, which does not have them yet, makes."""
    predictor = profile.predictors.get("latency_ms")
    if predictor is None or not samples:
        return list(samples)
    means, _ = predictor.predict_many(
        np.array([sample.trace.work for sample in samples]), [s.case.workload for s in samples]
    )
    measured = np.array([sample.timing.latency_ms for sample in samples])
    errors = np.log(means / measured)
    return [replace(s, error=float(e)) for s, e in zip(samples, errors, strict=True)]


def _median_error(samples: list[Sample]) -> float | None:
    errors = np.abs([sample.error for sample in samples])
    return None if not len(errors) or np.isnan(errors).any() else float(np.median(errors))
