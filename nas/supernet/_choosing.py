"""The best candidate for each of several bounds: by predictions, and by measurements where known.

All bounds share the candidates, so a wider bound never has a worse winner.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from evaluators.latency.values import Timing
from nas.constraints import Constraint
from nas.latency.remeasure import ROUNDS, TOGETHER, Measure
from nas.setup import Setup
from nas.supernet._problem import LATENCY
from search_spaces import Architecture

# How many times a bound a busy machine may take for a network that keeps it.
_BEYOND_NOISE = 3.0


@dataclass(frozen=True)
class Evaluated:
    """A candidate that ended well.

    Attributes:
        architecture: of it.
        loss: by which it is ranked, lower is better.
        facts: its predicted latency, with the ends of its spread.
    """

    architecture: Architecture
    loss: float
    facts: Mapping[str, float]


def best(
    candidates: Sequence[Evaluated], bound: Constraint, timings: Mapping[str, Timing]
) -> Evaluated | None:
    """The best that keeps a bound, the fastest of equally good ones; None where none does.

    Args:
        timings: by structure; what was measured well counts in place of what was predicted, and so
            does what took so long that no noise explains it.
    """

    def latency(one: Evaluated) -> Mapping[str, float]:
        timing = timings.get(one.architecture.structure_key)
        if timing is None or (timing.noisy and timing.latency_ms <= _BEYOND_NOISE * bound.bound):
            return one.facts
        return {LATENCY: timing.latency_ms}

    keeping = [one for one in candidates if not bound.violation(latency(one))]
    return min(keeping, key=lambda one: (one.loss, bound.judged(latency(one))), default=None)


def measured(
    setup: Setup,
    candidates: Sequence[Evaluated],
    bounds: Sequence[Constraint],
    measure: Measure,
    say: Callable[[str], None],
) -> tuple[dict[str, Timing], Sequence[Evaluated]]:
    """Timings, by structure, of the best of each bound, and of those that take their places.

    One that breaks its bound when it is measured leaves it to the next, which is measured too.

    Returns:
        The timings; the candidates that may win: all, or where predictions are so far off that
        after many rounds no winner is known, what was measured alone.
    """
    timings: dict[str, Timing] = {}
    without: set[str] = set()
    for _ in range(ROUNDS):
        found = (best(candidates, bound, timings) for bound in bounds)
        wanted = {one.architecture.structure_key: one.architecture for one in found if one}
        missing = [a for key, a in wanted.items() if key not in timings and key not in without]
        if not missing:
            return timings, candidates
        say(f"measuring {len(missing)} network{'s' * (len(missing) != 1)} on this device")
        for at in range(0, len(missing), TOGETHER):
            together = missing[at : at + TOGETHER]
            for architecture, one in zip(together, measure(setup, together), strict=True):
                if isinstance(one, Timing):
                    timings[architecture.structure_key] = one
                else:
                    without.add(architecture.structure_key)
                    say(f"warning: {architecture.key[:12]} was not measured: {one}")
    say(f"warning: {_far_off(candidates, timings)}")
    tried = {*timings, *without}
    return timings, [one for one in candidates if one.architecture.structure_key in tried]


def _far_off(candidates: Sequence[Evaluated], timings: Mapping[str, Timing]) -> str:
    """How far predictions are from what was measured, after many rounds."""
    ratios = [
        timings[one.architecture.structure_key].latency_ms / one.facts[LATENCY]
        for one in candidates
        if one.architecture.structure_key in timings
    ]
    off = f"the median takes {median(ratios):.1f} times what was predicted. " if ratios else ""
    return (
        f"{len(timings)} networks were measured, the best of each bound first, and bounds are "
        f"still broken: {off}Only what was measured counts now; profile this device again, on a "
        "quiet machine: nas latency profile"
    )
