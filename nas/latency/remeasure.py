"""A study's front on the device itself: predictions chose it, measurements have the last word."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import torch

from evaluators._faults import network_fault
from evaluators.facts import CandidateError
from evaluators.latency.graphs import inputs
from evaluators.latency.measuring import measure
from evaluators.latency.runtimes import runnable
from evaluators.latency.values import LatencyError, Timing
from nas.record import TrialRecord
from nas.setup import Setup
from nas.store import Store
from nas.store.latencies import store_latencies
from search_spaces import Architecture
from search_spaces.sparsity.leaving import edges_left

# Measured side by side, and recorded together: no more than these is lost when all is killed.
TOGETHER = 16
# How often the front may change by what was measured of it; how many networks are measured in all,
# in fronts as large as the first, or this many.
ROUNDS, MOST, LEAST = 10, 3, 24

# A timing, or why there is none, of each architecture.
Measure: TypeAlias = Callable[[Setup, Sequence[Architecture]], Sequence[Timing | str]]


def remeasure(
    store: Store, setup: Setup, say: Callable[[str], None], measure: Measure | None = None
) -> int:
    """Measure the front, and what takes the place of those that do not stay on it.

    A measured latency may break a constraint, or be beaten by what was predicted of another trial.
    So the front is made again from the record, with what was measured where it is known, until all
    of it is measured. What was measured is recorded bit by bit: one that was interrupted goes on.

    Args:
        say: told of what is done, in lines.
        measure: by default `measured`.

    What was measured on a busy device is recorded, but does not count: it is measured again by the
    next call.

    Returns:
        How many networks were measured well.
    """
    name = setup.spec.study.name
    first, without, noisy = store.front(name), set[str](), list[int]()
    tried, most = 0, max(LEAST, MOST * len(first))
    for _ in range(ROUNDS):
        missing = _missing(store.front(name), without)[: most - tried]
        if not missing:
            break
        say(f"measuring {_networks(len(missing))} of the front on this device")
        for start in range(0, len(missing), TOGETHER):
            batch = missing[start : start + TOGETHER]
            found, busy = _batch(store, setup, batch, say, measure or measured)
            without |= found
            noisy += busy
        tried += len(missing)
    if noisy:
        say(
            f"warning: this device was too busy to measure {_trials(noisy)} well: predictions "
            f"count for them; measure again with: nas resume {name}"
        )
    last = store.front(name)
    if tried:
        _tell_changes(first, last, say)
    if left := len(_missing(last, without)):
        say(
            f"{_networks(left)} of the front are not measured, {tried} were, and many did not stay "
            f"on it; go on with: nas resume {name}"
        )
    return tried - len(without)


def _structure(trial: TrialRecord) -> str:
    return trial.architecture.structure_key if trial.architecture is not None else ""


def _missing(front: Sequence[TrialRecord], without: set[str]) -> list[TrialRecord]:
    """What is to be measured; those that differ in their recipe alone have one network."""
    found: dict[str, TrialRecord] = {}
    for trial in front:
        if not trial.is_measured_well and _structure(trial) not in without:
            found.setdefault(_structure(trial), trial)
    return list(found.values())


def _batch(
    store: Store,
    setup: Setup,
    trials: Sequence[TrialRecord],
    say: Callable[[str], None],
    measure: Measure,
) -> tuple[set[str], list[int]]:
    """Measure networks side by side; record it for all trials that have them.

    Returns:
        The structures that could not be measured well; the trials whose timings are noisy.
    """
    name = setup.spec.study.name
    found = measure(setup, [t.architecture for t in trials if t.architecture is not None])
    pairs = list(zip(trials, found, strict=True))
    timings = {_structure(t): one.to_json() for t, one in pairs if isinstance(one, Timing)}
    alike = [t for t in store.trials(name) if t.state == "complete" and _structure(t) in timings]
    store_latencies(store, name, {trial.number: timings[_structure(trial)] for trial in alike})
    for trial, one in pairs:
        if isinstance(one, str):
            say(f"warning: trial {trial.number} was not measured: {one}")
    without = {_structure(t) for t, one in pairs if isinstance(one, str) or one.noisy}
    return without, [t.number for t, one in pairs if isinstance(one, Timing) and one.noisy]


def _tell_changes(
    first: Sequence[TrialRecord], last: Sequence[TrialRecord], say: Callable[[str], None]
) -> None:
    before, after = {t.number for t in first}, {t.number for t in last}
    changes = [
        f"{_trials(numbers)} {verb}"
        for numbers, verb in ((before - after, "left it"), (after - before, "joined it"))
        if numbers
    ]
    say(f"the front as measured: {'; '.join(changes) or 'no other than predicted'}")


def _trials(numbers: Collection[int]) -> str:
    return f"trial{'s' * (len(numbers) != 1)} {', '.join(map(str, sorted(numbers)))}"


def _networks(number: int) -> str:
    return f"{number} network{'s' * (number != 1)}"


def measured(setup: Setup, architectures: Sequence[Architecture]) -> Sequence[Timing | str]:
    """Time untrained networks in turns on the study's workload, by the runtime of its profile.

    Each as it will leave: sparse ones are as small as they will be, and have as many edges.

    Raises:
        LatencyError: nothing can be measured here.
    """
    latency = setup.latency
    if latency is None:
        raise LatencyError("a study without [latency] has no device to measure on")
    device, runtime = latency.profile.device, latency.profile.runtime
    runs: list[Callable[[], object]] = []
    reasons: list[str] = []
    with TemporaryDirectory(prefix="nas-latency-") as folder:
        for architecture in architectures:
            try:
                with network_fault("preparing the network"), torch.random.fork_rng(devices=[]):
                    torch.manual_seed(setup.spec.study.seed)
                    built = setup.space.network(architecture, setup.task)
                    built = setup.space.counted(built, architecture)
                    load = latency.workload
                    load = replace(load, edges=edges_left(built, load.edges))
                    graph = tuple(each.to(device.kind) for each in inputs(setup.task, load))
                    network = setup.space.deployed(built, architecture)
                    network = network.to(device.kind).eval()
                    runs.append(
                        runnable(network, graph, runtime, Path(folder), threads=device.threads)
                    )
            except CandidateError as error:
                reasons.append(str(error))
            else:
                reasons.append("")
        timings = measure(runs, threads=device.threads, kind=device.kind) if runs else []
    rest = iter(timings)
    return [reason or next(rest) for reason in reasons]
