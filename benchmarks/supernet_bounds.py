"""Is one supernet worth it, where networks are wanted for many bounds on latency?

40 bounds on the latency that a profile of this machine predicts, of networks for Cora, served by

- the supernet: trained, and one search on its slices (`nas supernet train`, `specialise`);
- one search for accuracy and latency that trains each candidate to its end, with the same strategy
  and no less CPU time;
- a search of 20 trials for each bound; a few of them are run.

No winner counts by what its search has seen: each is trained alone on fresh seeds. Hypervolume is
of the mean accuracy there and the logarithm of latency, as a share of all between the narrowest
and the widest bound, and an accuracy of 0.5 and of 1. It takes the best of all winners after they
are confirmed, so many different ones are an advantage, however they were chosen. What a bound is
served with is its own winner: that is the mean accuracy. Control: a random draw, ranked by random
values in place of those of slices.

How long the supernet is trained, and how many slices are looked at (`FULL`), is the third size that
was tried: the two longer ones served the bounds as well, for more than a tenth of the searches.
"""

import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from reporting import Row, bounded, row, table, told
from supernet_parts import DATA, Ground
from supernet_ranking import SPACE

from evaluators.latency.plan import general_plan
from nas.compare import paired_interval
from nas.confirm import FRESH_SEEDS
from nas.constraints import Constraint
from nas.feasible import fastest
from nas.latency.profiles import make_profile
from nas.pareto import hypervolume
from nas.setting_up import set_up
from nas.setup import Setup
from nas.spec import StudySpec, spec_from_mapping
from nas.store import Store
from nas.study import resume, search
from nas.supernet._choosing import Evaluated, best
from nas.supernet.specialising import Request, specialise
from nas.supernet.training import train
from search_spaces import Architecture

BOUNDS, TRIALS = 40, 20
METRIC, LATENCY = "val_accuracy", "latency_ms"
ACCURACY, FORESEEN = {METRIC: "maximize"}, {"val_accuracy_foreseen": "maximize"}
FAST = {LATENCY: "minimize"}
# The same for both sides: after 50 evaluations no strategy is better (benchmarks/strategies.md).
STRATEGY = "linas"
# Of 20 trials none would be left to its default population.
SEPARATE = {"name": "evolution", "population": 10, "sample": 5}
# Trials by which the search learns how long one takes.
FIRST = 5
FLOOR = 0.5
LEAST_SAVED = 10.0
# Of the fastest network that is found, which another descent may miss a little.
SLACK = 1.05


@dataclass(frozen=True)
class Size:
    """How much is trained: `seeds` of everything, and `fresh` ones that confirm."""

    minutes: float
    seeds: int
    fresh: int
    separate: int
    epochs: int
    evaluations: int
    supernet: Mapping[str, Any]


FULL = Size(3.0, 3, 3, 3, 200, 400, {"epochs": 25, "samples": 150})
QUICK = Size(0.6, 1, 1, 1, 40, 80, {"epochs": 4, "samples": 200})


@dataclass(frozen=True)
class Asked:
    """What is asked of all sides.

    Attributes:
        ground: of Cora, on which winners are confirmed.
        setup: predicts latency.
        device: file of the profile.
        start: the fastest network, with which all sides begin.
        bounds: on latency, ascending.
    """

    size: Size
    data_root: Path
    ground: Ground
    setup: Setup
    device: Path
    start: Architecture
    bounds: tuple[Constraint, ...]

    def facts(self, architecture: Architecture) -> Mapping[str, float]:
        """Its predicted latency, with the ends of its spread."""
        if self.setup.latency is None:
            raise SystemExit("expected a profile")
        return self.setup.latency.facts(self.setup.space, architecture, self.setup.task)

    def latency(self, architecture: Architecture) -> float:
        """In ms, as it is held against a bound."""
        return self.bounds[0].judged(self.facts(architecture))

    def study(self, name: str, seed: int, evaluator: Mapping[str, Any], **tables: Any) -> StudySpec:
        """One that begins with the fastest; `tables` take the place of others."""
        study = {"name": name, "seed": seed, "start": [dict(self.start.choices)]}
        study |= tables.pop("study")
        return _spec(self.device, study, evaluator, **tables)


@dataclass(frozen=True)
class Side:
    """What one way gives.

    Attributes:
        winners: of each bound, None where nothing keeps it.
        seconds: of CPU.
        looked_at: candidates.
    """

    winners: tuple[Architecture | None, ...]
    seconds: float
    looked_at: int

    @property
    def distinct(self) -> list[Architecture]:
        return list({one.structure_key: one for one in self.winners if one is not None}.values())


def bounds(data_root: Path, store: str, *, quick: bool) -> tuple[list[Row], str]:
    """Rows and a table."""
    size = QUICK if quick else FULL
    known: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        asked = _asked(size, data_root, store, Path(folder))
        sides: dict[str, list[Side]] = {"supernet": [], "search": [], "shuffled": []}
        for seed in range(size.seeds):
            ours = _supernet(asked, seed, folder)
            sides["supernet"].append(ours)
            sides["search"].append(_search(asked, seed, folder, ours.seconds))
            sides["shuffled"].append(_shuffled(asked, seed))
            for name, found in sides.items():
                _confirm(asked, found[-1].distinct, known)
                shown = f"{_volume(asked, found[-1], known):.4f}, {found[-1].seconds:.0f} s"
                told(f"seed {seed}: {name}: hypervolume {shown}")
        separate = _separate(asked, folder)
        _confirm(asked, separate.distinct, known)
    return _said(asked, sides, separate, known)


def _spec(
    device: Path, study: Mapping[str, Any], evaluator: Mapping[str, Any], **tables: Any
) -> StudySpec:
    """Of networks of the space for Cora, in this process."""
    data = DATA["Cora"]
    return spec_from_mapping(
        {
            "study": study,
            "space": {"name": "gnn"} | {name: list(choices) for name, choices in SPACE.items()},
            "dataset": {"name": data.name, **data.options},
            "strategy": {"name": STRATEGY},
            "evaluator": evaluator,
            "budget": {"trials": FIRST},
            "executor": {"name": "inline"},
            "latency": {"device": str(device), "remeasure": False},
            **tables,
        }
    )


def _asked(size: Size, data_root: Path, store: str, folder: Path) -> Asked:
    """Bounds from the fastest network to the 90th percentile of random ones, equally far apart."""
    told(f"profiling for {size.minutes:g} minutes")
    make_profile("bounds", plan=general_plan(), minutes=size.minutes, folder=folder)
    device = folder / "bounds.npz"
    study = {"name": "bounds", "objectives": ACCURACY | FAST}
    setup = set_up(_spec(device, study, {"name": "training"}), data_root)
    ground = Ground.of("Cora", data_root, store, SPACE)
    confidence = 0.95 if setup.spec.latency is None else setup.spec.latency.confidence
    never = Constraint(LATENCY, "<=", 1e-9, confidence)
    start = fastest(setup, never).architecture
    if start is None:
        raise SystemExit("no network of the space could be built")
    asked = Asked(size, data_root, ground, setup, device, start, (never,))
    drawn = ground.drawn(300)
    ground.alone(drawn[:20], 1, 0)  # PyG compiles the first time in a process
    widest = float(np.quantile([asked.latency(one) for one in drawn], 0.9))
    found = np.geomspace(SLACK * asked.latency(start), widest, BOUNDS)
    told(f"{BOUNDS} bounds from {found[0]:.3g} to {found[-1]:.3g} ms")
    return replace(asked, bounds=tuple(replace(never, bound=float(one)) for one in found))


def _supernet(asked: Asked, seed: int, folder: str) -> Side:
    size, name = asked.size, f"supernet-{seed}"
    place: dict[str, Any] = {
        "storage": f"sqlite:///{folder}/{name}.db",
        "data_root": asked.data_root,
    }
    evaluator = {"name": "inherited", **size.supernet}
    spec = asked.study(name, seed, evaluator, study={"objectives": FORESEEN | FAST})
    values = tuple(one.bound for one in asked.bounds)
    request = Request(values, strategy=STRATEGY, evaluations=size.evaluations, measures=False)
    began = time.process_time()
    train(spec, **place)
    told(f"seed {seed}: the supernet is trained in {time.process_time() - began:.0f} CPU seconds")
    found = specialise(name, request, **place)
    seconds = time.process_time() - began
    return Side(tuple(one.architecture for one in found.winners), seconds, found.evaluations)


def _search(asked: Asked, seed: int, folder: str, least: float) -> Side:
    """Trials until no fewer CPU seconds are spent than `least`."""
    name = f"search-{seed}"
    place: dict[str, Any] = {
        "storage": f"sqlite:///{folder}/{name}.db",
        "data_root": asked.data_root,
    }
    evaluator = {"name": "training", "epochs": asked.size.epochs}
    study = {"objectives": ACCURACY | FAST, "constraints": [str(asked.bounds[-1])]}
    spec = asked.study(name, seed, evaluator, study=study)
    began = time.process_time()
    ended = search(spec, **place).trials.ended
    while (spent := time.process_time() - began) < least:
        more = max(1, int((least - spent) * ended / spent))
        ended = resume(name, trials=ended + more, **place).trials.ended
    trained = [
        Evaluated(t.architecture, -t.metrics[METRIC], asked.facts(t.architecture))
        for t in Store(place["storage"]).trials(name)
        if t.state == "complete" and t.architecture is not None
    ]
    return Side(_winners(asked, trained), spent, ended)


def _shuffled(asked: Asked, seed: int) -> Side:
    """Control: as many candidates, drawn, with values that say nothing."""
    drawn = [asked.start, *asked.ground.drawn(asked.size.evaluations, seed=1 + seed)]
    values = np.random.default_rng(seed).random(len(drawn))
    values[0] = 2.0  # no other loses to the fastest
    candidates = [
        Evaluated(one, float(value), asked.facts(one))
        for one, value in zip(drawn, values, strict=True)
    ]
    return Side(_winners(asked, candidates), 0.0, len(drawn))


def _winners(asked: Asked, candidates: Sequence[Evaluated]) -> tuple[Architecture | None, ...]:
    """Chosen as among slices."""
    found = [best(candidates, one, {}) for one in asked.bounds]
    return tuple(None if one is None else one.architecture for one in found)


def _separate(asked: Asked, folder: str) -> Side:
    """Searches for some of the bounds; all others have no winner."""
    winners: list[Architecture | None] = [None] * BOUNDS
    storage = f"sqlite:///{folder}/separate.db"
    evaluator = {"name": "training", "epochs": asked.size.epochs}
    tables = {"strategy": SEPARATE, "budget": {"trials": TRIALS}}
    began = time.process_time()
    for at in _places(asked.size.separate):
        study = {"objectives": ACCURACY, "constraints": [str(asked.bounds[at])]}
        spec = asked.study(f"separate-{at}", 0, evaluator, study=study, **tables)
        search(spec, storage=storage, data_root=asked.data_root)
        front = Store(storage).front(f"separate-{at}")
        winners[at] = front[0].architecture if front else None
        told(f"bound {at + 1} of {BOUNDS}: searched, {time.process_time() - began:.0f} s in all")
    return Side(tuple(winners), time.process_time() - began, TRIALS * asked.size.separate)


def _places(count: int) -> list[int]:
    """The middles of so many equal parts of all bounds."""
    return [BOUNDS * (2 * i + 1) // (2 * count) for i in range(count)]


def _confirm(asked: Asked, winners: Sequence[Architecture], known: dict[str, float]) -> None:
    """Train on fresh seeds what was not; a network that fails has an accuracy of 0."""
    missing = [one for one in winners if one.structure_key not in known]
    seeds = range(FRESH_SEEDS, FRESH_SEEDS + asked.size.fresh) if missing else ()
    found = [asked.ground.alone(missing, asked.size.epochs, seed) for seed in seeds]
    for at, one in enumerate(missing):
        known[one.structure_key] = fmean(each[at].metrics.get(METRIC, 0.0) for each in found)


def _volume(asked: Asked, side: Side, known: Mapping[str, float]) -> float:
    narrowest, widest = asked.bounds[0].bound, asked.bounds[-1].bound
    points = [
        (1 - known[one.structure_key], math.log(asked.latency(one) / widest))
        for one in side.distinct
    ]
    whole = (1 - FLOOR) * math.log(widest / narrowest)
    return hypervolume(points, (1 - FLOOR, 0.0)) / whole if points else 0.0


def _accuracy(side: Side, known: Mapping[str, float], places: Sequence[int]) -> float:
    """Confirmed, the mean over bounds; 0 where a bound has no winner."""
    winners = [side.winners[at] for at in places]
    return fmean(0.0 if one is None else known[one.structure_key] for one in winners)


def _said(
    asked: Asked,
    sides: Mapping[str, Sequence[Side]],
    separate: Side,
    known: Mapping[str, float],
) -> tuple[list[Row], str]:
    size = asked.size
    volumes = {name: [_volume(asked, s, known) for s in found] for name, found in sides.items()}
    cpu = {name: fmean(side.seconds for side in found) for name, found in sides.items()}
    cpu["separate"] = separate.seconds / size.separate * BOUNDS
    mean = {name: fmean(values) for name, values in volumes.items()}
    every, some = range(BOUNDS), _places(size.separate)
    accuracy = {n: fmean(_accuracy(s, known, every) for s in found) for n, found in sides.items()}
    at_some = fmean(_accuracy(s, known, some) for s in sides["supernet"])
    ours, theirs = mean["supernet"], mean["search"]
    control = accuracy["shuffled"]
    case, volume = f"Cora, {BOUNDS} bounds, {size.seeds} seeds", "hypervolume, confirmed"
    both = f"{volume}, beside one search"
    shuffled = f"{volume}, beside shuffled values (control)"
    served = "mean accuracy of what bounds are served with, confirmed"
    saved = f"CPU seconds, {BOUNDS} searches (extrapolated) beside the supernet"
    alone = _accuracy(separate, known, some)
    rows = [
        row(case, both, ours, theirs, "mean larger", ours > theirs),
        row(case, shuffled, ours, mean["shuffled"], "mean larger", ours > mean["shuffled"]),
        row(case, served, accuracy["supernet"], accuracy["search"]),
        row(
            case,
            f"{served}, beside shuffled values (control)",
            accuracy["supernet"],
            control,
            "mean larger",
            accuracy["supernet"] > control,
        ),
        row(case, "the same beside separate searches, at theirs", at_some, alone),
        bounded(
            row(
                case, "CPU seconds, one search beside the supernet", cpu["search"], cpu["supernet"]
            ),
            ">=",
            1.0,
        ),
        bounded(row(case, saved, cpu["separate"], cpu["supernet"]), ">=", LEAST_SAVED),
    ]
    apart = [a - b for a, b in zip(volumes["supernet"], volumes["search"], strict=True)]
    text = _table(asked, sides, mean, accuracy, cpu)
    return rows, f"{text}\n{_words(asked, apart, cpu, separate, at_some, alone)}\n"


def _table(
    asked: Asked,
    sides: Mapping[str, Sequence[Side]],
    mean: Mapping[str, float],
    accuracy: Mapping[str, float],
    cpu: Mapping[str, float],
) -> str:
    named = {
        "supernet": f"one supernet, {STRATEGY} on slices",
        "search": f"one search, {STRATEGY}, {asked.size.epochs} epochs each",
        "shuffled": "shuffled values (control)",
    }
    lines = {
        named[name]: (
            f"{fmean(side.looked_at for side in found):.0f}",
            f"{cpu[name]:.0f}" if cpu[name] else "",
            f"{fmean(len(side.distinct) for side in found):.1f}",
            f"{mean[name]:.4f}",
            f"{accuracy[name]:.4f}",
        )
        for name, found in sides.items()
    }
    lines[f"{BOUNDS} searches of {TRIALS} trials, extrapolated from {asked.size.separate}"] = (
        f"{BOUNDS * TRIALS}",
        f"{cpu['separate']:.0f}",
        "",
        "",
        "",
    )
    low, high = asked.bounds[0].bound, asked.bounds[-1].bound
    title = (
        f"Cora, {BOUNDS} bounds from {low:.2g} to {high:.2g} ms, {asked.size.seeds} seeds; winners "
        f"trained alone on {asked.size.fresh} fresh seeds"
    )
    columns = ("", "candidates", "CPU s", "networks", "hypervolume", "mean accuracy")
    return table(title, columns, lines)


def _words(
    asked: Asked,
    apart: Sequence[float],
    cpu: Mapping[str, float],
    separate: Side,
    at_some: float,
    alone: float,
) -> str:
    interval, _ = paired_interval(apart)
    shown = "no interval" if interval is None else f"95 %: {interval[0]:+.4f} to {interval[1]:+.4f}"
    spent = separate.seconds / asked.size.separate
    return (
        f"Hypervolume of the supernet less that of one search: {fmean(apart):+.4f} ({shown}). "
        f"One of the separate searches takes {spent:.0f} CPU s (mean of {asked.size.separate}), "
        f"{BOUNDS} of them {cpu['separate'] / cpu['supernet']:.1f} times the supernet with all its "
        f"bounds; at their bounds they reach {alone:.4f}, the supernet {at_some:.4f}."
    )
