"""Is latency predicted well enough, on this device, for networks and graphs that it has not seen?

`check`: this device is profiled; then networks that are not in the profile run on graphs that are
not in it, twice, the second time after all others. The prediction stands beside the second
measurement, which is what noise leaves to win, and beside everything else that could rank: FLOPs,
parameters, a random forest on the same samples.
`transfer`: the same for two threads and for compiled programs, from 10 probes of each, beside 10
probes without a source, and the source's predictions as they are.
`search`: benchmarks/latency_search.py. `tables`: benchmarks/latency_tables.py.

    python benchmarks/latency.py [--quick] [--json FILE] [--data-root DIR] [--write]
                                 [--only check,transfer,search,tables] [--minutes M] [--keep DIR]
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import latency_search
import latency_tables
import numpy as np
from numpy.typing import NDArray
from reporting import Row, bounded, by_section, command_line, row, table, told
from sklearn.ensemble import RandomForestRegressor

from evaluators.latency.checking import Figures, figures
from evaluators.latency.costs import sizes
from evaluators.latency.device import this_device
from evaluators.latency.held_out import Twice, held_out, timed_twice
from evaluators.latency.plan import Plan, general_plan, plan_from_json
from evaluators.latency.predictor import Predictor
from evaluators.latency.profile import load_profile
from evaluators.latency.profiled import Profile
from evaluators.latency.rounds import Bench
from evaluators.latency.samples import Sample, task_of
from evaluators.latency.values import Device, Workload
from evaluators.latency.work import work_of
from nas.latency.profiles import adapt_profile, make_profile
from search_spaces import gnn, plugins

DOCUMENT = Path(__file__).with_suffix(".md")
SECTIONS = ("check", "transfer", "search", "tables")
PROBES = 10
ASKED = 2_000
CORA = task_of("node_classification", 1_433, 7, Workload(2_708, 10_556))
COLUMNS = ("", "Spearman", "within a graph", "Kendall", "MAPE", "within 10 %", "within 20 %")

Floats: TypeAlias = NDArray[np.float64]
Guess: TypeAlias = Callable[[Sequence[Sample]], Floats]


@dataclass(frozen=True)
class Size:
    """How long the device is profiled, and what it is checked on."""

    minutes: float
    networks: int
    sizes: int
    compiled_networks: int


FULL = Size(minutes=12.0, networks=20, sizes=8, compiled_networks=16)
QUICK = Size(minutes=0.7, networks=8, sizes=3, compiled_networks=3)


def main() -> None:
    quick = "a minute of profiling, few networks"
    parser = command_line(__doc__, quick, DOCUMENT, SECTIONS)
    parser.add_argument("--data-root", type=Path, default=Path("data"), metavar="DIR")
    parser.add_argument("--minutes", type=float, help="of profiling")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep profiles and pools here")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)

        def run(section: str) -> tuple[str, list[Row]]:
            rows, text = _section(section, size, arguments, folder)
            return text, rows

        by_section(arguments, run, DOCUMENT, "Latency", " --data-root data")


def _section(
    section: str, size: Size, arguments: argparse.Namespace, folder: Path
) -> tuple[list[Row], str]:
    if section == "tables":
        return latency_tables.tabulated(quick=arguments.quick)
    source = _profile(arguments.minutes or size.minutes, folder)
    if section == "check":
        return checked(source, size)
    if section == "transfer":
        return transferred(source, size, folder)
    pools = None if arguments.keep is None else folder / "pools"
    how = latency_search.QUICK if arguments.quick else latency_search.FULL
    return latency_search.searched(source, how, arguments.data_root, pools)


def _profile(minutes: float, folder: Path) -> Profile:
    """The profile of this device in the folder, or a new one."""
    path = folder / "source.npz"
    if path.exists():
        return load_profile(path)
    told(f"profiling for {minutes:g} minutes")
    found = make_profile("source", plan=general_plan(), minutes=minutes, folder=folder)
    told(f"{len(found.samples)} samples")
    return found


def checked(source: Profile, size: Size) -> tuple[list[Row], str]:
    """Rows and a table: networks and graphs that are not in the profile."""
    plan = plan_from_json(source.plan)
    twice = _twice(source, plan, source.device, size.networks, size.sizes)
    first, (once, again) = twice.first, twice.times
    truth, graphs = np.sqrt(once * again), [place // size.networks for place in twice.places]
    guesses: dict[str, Guess] = {
        "predictor": lambda s: _predicted(source, s),
        "FLOPs": lambda s: _line(source, s, 0),
        "parameters": lambda s: _line(source, s, 1),
        "random forest on the same samples": lambda s: _forest(source, s),
    }
    found = {n: figures(n, guess(first), truth, graphs) for n, guess in guesses.items()}
    repeated = figures("measured twice", again, once, graphs)
    ours = found["predictor"]
    rest = [one for name, one in found.items() if name != "predictor"]
    # Not a rival but a part of it: what the correction adds.
    additive = figures("its additive cost alone", _additive(source, first), truth, graphs)
    case = f"{source.device.machine}, {source.device.threads} thread, {source.runtime}"
    rows = _check_rows(case, ours, repeated, rest)
    quick, median = _speed(source)
    rows.append(bounded(row(case, "ms of a prediction, mean", quick), "<", 1))
    title = (
        f"{case}: {len(source.samples)} samples; {len(first)} pairs of an unseen network and an "
        f"unseen graph; {twice.noisy:.0%} of measurements noisy"
    )
    said = (
        f"A prediction takes {quick:.2f} ms (mean of {ASKED:,} random architectures on a graph of "
        f"Cora's size, parts that are seen for the first time included; median {median:.2f} ms)."
    )
    return rows, f"{_table(title, [ours, additive, repeated, *rest])}\n{said}\n"


def _check_rows(case: str, ours: Figures, repeated: Figures, rest: Sequence[Figures]) -> list[Row]:
    within = row(case, "within 10 %, of what repeats", ours.within_10, repeated.within_10)
    return [
        bounded(row(case, "Spearman", ours.spearman), ">=", 0.97),
        bounded(row(case, "Spearman within a graph, median", ours.spearman_within), ">=", 0.9),
        bounded(within, ">=", 0.7),
        *(
            row(
                case,
                f"Spearman and MAPE beside {one.name}",
                ours.spearman,
                one.spearman,
                "ahead in both",
                ours.spearman > one.spearman and ours.mape < one.mape,
            )
            for one in rest
        ),
    ]


def _speed(source: Profile) -> tuple[float, float]:
    """Mean and median milliseconds of CPU time from an architecture to its interval."""
    space, load = gnn.build(CORA), Workload(CORA.n_nodes, CORA.n_edges, 0.4)
    rng = np.random.default_rng(0)
    for operator in gnn.OPERATORS:  # PyG writes and compiles code the first time in a process
        plugins.load("operator", operator).build(8, 8)
    taken = []
    for architecture in [space.sample(rng) for _ in range(ASKED)]:
        began = time.process_time()
        source.predict(work_of(space, architecture, CORA, load), load)
        taken.append(1e3 * (time.process_time() - began))
    return float(np.mean(taken)), float(np.median(taken))


def transferred(source: Profile, size: Size, folder: Path) -> tuple[list[Row], str]:
    """Rows and tables: two threads and compiled programs, from 10 probes each."""
    rows: list[Row] = []
    texts = []
    cases: list[tuple[str, dict[str, Any], int]] = [
        ("compiled", {"runtime": "compiled"}, size.compiled_networks)
    ]
    if (os.cpu_count() or 1) > 1:
        cases.insert(0, ("2 threads", {"threads": 2}, size.networks))
    for name, options, networks in cases:
        path = folder / f"{name.replace(' ', '-')}.npz"
        if not path.exists():
            told(f"{name}: {PROBES} probes")
            adapt_profile(
                str(folder / "source.npz"), str(path), probes=PROBES, folder=folder, **options
            )
        adapted = load_profile(path)
        plan = plan_from_json(source.plan)
        device = this_device(threads=adapted.device.threads)
        twice = _twice(adapted, plan, device, networks, min(size.sizes, 6))
        first, (once, again) = twice.first, twice.times
        truth, graphs = np.sqrt(once * again), [place // networks for place in twice.places]
        guesses: dict[str, Guess] = {
            "10 probes, adapted": lambda s, p=adapted: _predicted(p, s),  # type: ignore[misc]
            "FLOPs, line through the probes": lambda s, p=adapted: _line(p, s, 0),  # type: ignore[misc]
            "10 probes, from scratch": lambda s, p=adapted: _scratch(p, s),  # type: ignore[misc]
            "nearest device: the source as it is": lambda s: _predicted(source, s),
        }
        found = [figures(n, guess(first), truth, graphs) for n, guess in guesses.items()]
        repeated = figures("measured twice", again, once, graphs)
        rows += _transfer_rows(f"to {name}", *found)
        title = f"From 1 thread, eager to {name}: {len(first)} pairs, unseen"
        texts.append(_table(title, [found[0], repeated, *found[1:]]))
    return rows, "\n\n".join(texts)


def _transfer_rows(
    case: str, ours: Figures, flops: Figures, scratch: Figures, nearest: Figures
) -> list[Row]:
    mine, its = ours.spearman, nearest.spearman
    beside = "beside the nearest device"
    return [
        bounded(row(case, "Spearman", mine), ">=", 0.93),
        *(
            row(case, f"Spearman beside {o.name}", mine, o.spearman, "ahead", mine > o.spearman)
            for o in (flops, scratch)
        ),
        row(case, f"Spearman {beside}", mine, its, "no worse by 0.01", mine >= its - 0.01),
        row(case, f"MAPE {beside}", ours.mape, nearest.mape, "lower", ours.mape < nearest.mape),
    ]


def _table(title: str, found: Sequence[Figures]) -> str:
    lines: Mapping[str, Sequence[str]] = {
        one.name: (
            f"{one.spearman:.3f}",
            f"{one.spearman_within:.3f}",
            f"{one.kendall:.3f}",
            f"{one.mape:.1%}",
            f"{one.within_10:.1%}",
            f"{one.within_20:.1%}",
        )
        for one in found
    }
    return table(title, COLUMNS, lines)


def _twice(profile: Profile, plan: Plan, device: Device, networks: int, n_sizes: int) -> Twice:
    """Held-out cases timed once, and all of them once more."""
    cases = held_out(profile, plan, networks, n_sizes)
    with Bench(plan, device, profile.runtime, told) as bench:
        return timed_twice(bench, cases, lambda done, wanted: told(f"{done} of {wanted} timed"))


def _works(samples: Sequence[Sample]) -> tuple[Floats, list[Workload]]:
    return np.array([s.trace.work for s in samples]), [s.case.workload for s in samples]


def _predicted(profile: Profile, samples: Sequence[Sample]) -> Floats:
    return profile.predict_many([s.trace for s in samples], _works(samples)[1])[0]


def _line(profile: Profile, samples: Sequence[Sample], column: int) -> Floats:
    """A line in logarithms through the profile's samples: of FLOPs (0) or parameters (1)."""
    known = np.log(1 + profile.samples.facts[:, column])
    slope, offset = np.polyfit(known, np.log(profile.samples.column("latency_ms")), 1)
    asked = np.array([(s.macs, s.params)[column] for s in samples])
    return np.asarray(np.exp(offset + slope * np.log(1 + asked)))


def _forest(profile: Profile, samples: Sequence[Sample]) -> Floats:
    """A black box: 300 trees on the logarithms of work and sizes."""

    def seen(works: Floats, workloads: Sequence[Workload]) -> Floats:
        return np.hstack([np.log1p(1e6 * works), [sizes(one) for one in workloads]])

    forest = RandomForestRegressor(300, random_state=0, min_samples_leaf=2)
    known = np.log(profile.samples.column("latency_ms"))
    forest.fit(seen(profile.samples.works, profile.samples.sizes()), known)
    return np.asarray(np.exp(forest.predict(seen(*_works(samples)))))


def _additive(profile: Profile, samples: Sequence[Sample]) -> Floats:
    predictor = profile.predictors["latency_ms"]
    return np.asarray(_works(samples)[0] @ (predictor.cost * predictor.scale))


def _scratch(adapted: Profile, samples: Sequence[Sample]) -> Floats:
    """The same predictor from the probes alone."""
    kept = adapted.samples
    fitted = Predictor.fit(kept.works, kept.sizes(), kept.column("latency_ms").tolist())
    return fitted.predict_many(*_works(samples))[0]


if __name__ == "__main__":
    main()
