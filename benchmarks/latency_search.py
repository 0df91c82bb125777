"""Is a search better off with predicted latency than with parameters in its place?

All 420 networks of a small space (28 with --quick) are trained from two or three seeds and timed
once on this machine. Searches are replayed on them: each sees the validation value of the first
seed, beside the latency that the profile predicts or the parameters, and ends with a front. A front
is judged by what no search has seen: the validation values of the other seeds and the measured
latency. The hypervolume is a share of what the whole pool has. Then each dataset is searched in
earnest, by `nas.search`, with several seeds.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from evaluation_measure import evaluated, store
from numpy.typing import NDArray
from reporting import Row, bounded, row, table, told

import nas
from evaluators import Evaluation, Executor, Job
from evaluators.datasets import save_sealed
from evaluators.executors import processes
from evaluators.latency.measuring import measure
from evaluators.latency.predictor import SIGMAS
from evaluators.latency.profile import save_profile
from evaluators.latency.profiled import Profile
from evaluators.latency.runtimes import runnable
from evaluators.latency.values import Workload
from evaluators.latency.work import work_of
from nas.compare import Bench, entrants, paired_interval, run_one
from nas.constraints import parse
from nas.pareto import hypervolume
from nas.setting_up import set_up
from nas.setup import Setup
from nas.spec import spec_from_mapping
from search_spaces import Architecture

DATASETS: Mapping[str, Mapping[str, Any]] = {
    "Cora": {"name": "planetoid", "subset": "Cora", "normalize": "row"},
    "minesweeper": {"name": "heterophilous", "subset": "minesweeper"},
}
# Epochs and seeds, at most: a larger graph takes longer.
MOST = {"Cora": (60, 3), "minesweeper": (15, 2)}
SPACE = {
    "name": "gnn",
    "operators": ["gcn", "gat", "sage", "tag", "transformer", "gin", "linear"],
    "heads": [4],
    "hops": [2],
    "aggregation": ["mean"],
    "width": [16, 64],
    "activation": ["relu"],
    "normalization": ["none"],
    "connectivity": ["plain"],
    "pre_layers": [0],
    "post_layers": [0],
    "output": ["linear", "gcn"],
}
STRATEGY = "nsga2"
# Seeds of the searches in earnest: also of their training, so none that judges is among them.
SEARCHES = (0, 10, 11, 12, 13)
SECOND = ("latency_ms", "params")
BATCH, WORKERS = 6, 2
MOST_VIOLATIONS = 0.05
# Bounds on latency, as quantiles of what was measured.
BOUNDS = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Size:
    """How much is trained and how often searches are replayed."""

    depth: tuple[int, ...] = (1, 2)
    epochs: int = 60
    seeds: int = 3
    trials: int = 60
    replays: int = 20
    searches: int = 5
    datasets: tuple[str, ...] = ("Cora", "minesweeper")


FULL = Size()
QUICK = Size(depth=(1,), epochs=5, trials=10, replays=8, searches=1, datasets=("Cora",))


@dataclass(frozen=True)
class Entry:
    """One network of a pool.

    Attributes:
        choices: its decisions.
        scores: validation, one a seed.
        params: trainable numbers.
        predicted, log_sd: milliseconds, and the spread of their logarithm.
        measured: milliseconds.
        noisy: whether that was taken while the machine was noisy.
    """

    choices: Mapping[str, Any]
    scores: tuple[float, ...]
    params: float
    predicted: float
    log_sd: float
    measured: float
    noisy: bool


def searched(
    profile: Profile, size: Size, data_root: Path, pools: Path | None
) -> tuple[list[Row], str]:
    """Rows and a table of each dataset.

    Args:
        pools: a folder in which pools are kept, and found again.
    """
    rows: list[Row] = []
    lines: dict[str, Sequence[str]] = {}
    for name in size.datasets:
        setup = set_up(_spec(name, size), data_root)
        entries = _pool(name, setup, profile, size, pools)
        rows += _replayed(name, setup, entries, size, lines)
        rows += _constrained(name, setup, entries, size, lines)
        rows += _in_earnest(name, entries, profile, size, data_root, lines)
    columns = ("", "with predicted latency", "with parameters", "difference", "wanted")
    return rows, table("Searches", columns, lines)


def _spec(name: str, size: Size, second: str = "params", seed: int = 0, **tables: Any) -> Any:
    metric = "val_roc_auc" if name == "minesweeper" else "val_accuracy"
    return spec_from_mapping(
        {
            "study": {
                "name": f"{name.lower()}-{second.replace('_', '-')}",
                "objectives": {metric: "maximize", second: "minimize"},
                "batch": 4,
                "seed": seed,
            },
            "space": {**SPACE, "depth": list(size.depth)},
            "dataset": dict(DATASETS[name]),
            "strategy": {"name": STRATEGY, "population": 12},
            "evaluator": {"name": "training", "epochs": _epochs(name, size)},
            "budget": {"trials": size.trials},
            "executor": {"name": "processes", "workers": WORKERS},
            **tables,
        }
    )


def _epochs(name: str, size: Size) -> int:
    return min(size.epochs, MOST[name][0])


def _metric(setup: Setup) -> str:
    return next(iter(setup.objectives))


def _pool(
    name: str, setup: Setup, profile: Profile, size: Size, pools: Path | None
) -> dict[str, Entry]:
    """The pool by the keys of its architectures."""
    file = None if pools is None else pools / f"{name}.json"
    chosen = sorted(setup.space, key=lambda architecture: architecture.key)
    if file is not None and file.exists():
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["size"] == _made_of(size):
            entries = {key: Entry(**entry) for key, entry in kept["entries"].items()}
            return _predicted(setup, chosen, entries, profile)
    scores = _trained(name, setup, chosen, size)
    measured = _measured(name, setup, chosen)
    entries = {}
    for one, score, timing in zip(chosen, scores, measured, strict=True):
        params = float(setup.facts(one)["params"])
        entries[one.key] = Entry(
            dict(one.choices), tuple(score), params, 0.0, 0.0, timing[0], timing[1]
        )
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        content = {"size": _made_of(size), "entries": {k: asdict(e) for k, e in entries.items()}}
        file.write_text(json.dumps(content), encoding="utf-8")
    return _predicted(setup, chosen, entries, profile)


def _made_of(size: Size) -> dict[str, Any]:
    """What a pool depends on, as JSON."""
    return {"depth": list(size.depth), "epochs": size.epochs, "seeds": size.seeds}


def _trained(
    name: str, setup: Setup, chosen: Sequence[Architecture], size: Size
) -> list[list[float]]:
    if setup.dataset is None:
        raise SystemExit(f"expected a dataset for {name}")
    dataset, metric = save_sealed(setup.dataset, store()), _metric(setup)
    n_seeds = min(size.seeds, MOST[name][1])
    jobs = [
        replace(setup.job(one, dataset, store(), _epochs(name, size)), seed=seed)
        for one in chosen
        for seed in range(n_seeds)
    ]
    batches = [jobs[i : i + BATCH] for i in range(0, len(jobs), BATCH)]
    executor: Executor = processes.build(workers=WORKERS)
    found: dict[int, Sequence[Evaluation]] = {}
    for index, evaluations in evaluated(executor, batches):
        found[index] = evaluations
        if len(found) % 20 == 0:
            told(f"{name}: {len(found)} of {len(batches)} batches are trained")
    executor.shutdown()
    values = [e.metrics.get(metric, 0.0) for i in range(len(batches)) for e in found[i]]
    return [values[i : i + n_seeds] for i in range(0, len(values), n_seeds)]


def _workload(setup: Setup) -> Workload:
    edges = None if setup.dataset is None else setup.dataset.edge_index
    return Workload.of(setup.task, edges)


def _measured(name: str, setup: Setup, chosen: Sequence[Architecture]) -> list[tuple[float, bool]]:
    """Milliseconds of each on the dataset's own graph, and whether the machine was noisy."""
    if setup.dataset is None:
        raise SystemExit(f"expected a dataset for {name}")
    graph = (setup.dataset.x, setup.dataset.edge_index)
    found: list[tuple[float, bool]] = []
    for start in range(0, len(chosen), 8):
        batch = [
            runnable(setup.space.network(one, setup.task).eval(), graph, "eager")
            for one in chosen[start : start + 8]
        ]
        found += [(timing.latency_ms, timing.noisy) for timing in measure(batch)]
        if start % 80 == 0:
            told(f"{name}: {len(found)} of {len(chosen)} networks are timed")
    return found


def _predicted(
    setup: Setup,
    chosen: Sequence[Architecture],
    entries: Mapping[str, Entry],
    profile: Profile,
) -> dict[str, Entry]:
    workload = _workload(setup)
    traces = [work_of(setup.space, one, setup.task, workload) for one in chosen]
    means, log_sds = profile.predict_many(traces, [workload] * len(chosen))
    return {
        one.key: replace(entries[one.key], predicted=float(mean), log_sd=float(sd))
        for one, mean, sd in zip(chosen, means, log_sds, strict=True)
    }


class _Looked:
    """An evaluator of a pool: what a search is told of a network."""

    epochs = 1

    def __init__(self, entries: Mapping[str, Entry], metric: str) -> None:
        self.entries = entries
        self.metrics = (metric, *SECOND)

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        found = []
        for job in jobs:
            entry = self.entries[job.architecture.key]
            told_of = (entry.scores[0], entry.predicted, entry.params)
            found.append(Evaluation(1, dict(zip(self.metrics, told_of, strict=True))))
        return found


def _replay(
    setup: Setup,
    entries: Mapping[str, Entry],
    objectives: Mapping[str, str],
    size: Size,
    admitted: Mapping[str, Entry] | None = None,
    strategy: str = STRATEGY,
) -> list[list[Entry]]:
    """The front of a search, one for each seed.

    Args:
        admitted: the others break a constraint by what is known of them.
    """
    study = setup.spec.study.model_copy(update={"objectives": objectives, "batch": 4})
    spec = setup.spec.model_copy(update={"study": study})
    known = dict(entries)
    constraints = ()
    if admitted is not None:
        constraints = (parse("latency_ms <= 1"),)
        known = {
            key: replace(entry, predicted=0.5 if key in admitted else 2.0)
            for key, entry in entries.items()
        }
    looked = _Looked(known, _metric(setup))
    pooled = replace(
        setup, spec=spec, dataset=None, evaluator=looked, constraints=constraints, levels=(1,)
    )
    bench = Bench(pooled)
    entrant = next(e for e in entrants([strategy], spec) if e.plugin.name == strategy)
    fronts = []
    for seed in range(size.replays):
        run = run_one(bench, entrant, seed, size.trials)
        fronts.append([entries[step.architecture] for step in run.front_at(size.trials)])
    return fronts


def _judged(front: Sequence[Entry], entries: Mapping[str, Entry]) -> float:
    """The hypervolume of a front, of what was seen by no search, as a share of the pool's."""
    points = _points(list(entries.values()))
    reference = np.quantile(points, 0.95, axis=0)
    scale = reference - points.min(axis=0)
    whole = hypervolume(points / scale, reference / scale)
    return hypervolume(_points(front) / scale, reference / scale) / whole if front else 0.0


def _points(front: Sequence[Entry]) -> NDArray[np.float64]:
    return np.array([[-float(np.mean(e.scores[1:])), e.measured] for e in front])


def _replayed(
    name: str,
    setup: Setup,
    entries: Mapping[str, Entry],
    size: Size,
    lines: dict[str, Sequence[str]],
) -> list[Row]:
    metric = _metric(setup)
    values = {}
    for second in SECOND:
        fronts = _replay(setup, entries, {metric: "maximize", second: "minimize"}, size)
        values[second] = np.array([_judged(front, entries) for front in fronts])
    told(f"{name}: replayed")
    interval, _ = paired_interval((values["latency_ms"] - values["params"]).tolist())
    low, high = interval or (0.0, 0.0)
    mean = {second: float(value.mean()) for second, value in values.items()}
    lines[f"{name}: hypervolume, {size.replays} replays of {size.trials} evaluations"] = (
        f"{mean['latency_ms']:.3f}",
        f"{mean['params']:.3f}",
        f"{mean['latency_ms'] - mean['params']:+.3f} [{low:+.3f}, {high:+.3f}]",
        "above 0",
    )
    ours, other = mean["latency_ms"], mean["params"]
    target = "difference > 0, 95 % interval"
    return [row(name, "hypervolume, replayed", ours, other, target, low > 0)]


def _constrained(
    name: str,
    setup: Setup,
    entries: Mapping[str, Entry],
    size: Size,
    lines: dict[str, Sequence[str]],
) -> list[Row]:
    """How often a constraint that was kept by prediction is broken when it is measured."""
    broken, admitted = _broken(setup, entries, size, SIGMAS)
    by_mean, admitted_by_mean = _broken(setup, entries, size, 0.0)
    results = f"constraint broken when measured, of {len(broken)} results"
    every = f"the same of all {len(admitted)} that are admitted"
    rows = []
    for line, what, ours, theirs in (
        (results, "constraint broken", broken, by_mean),
        (every, "constraint broken, of all admitted", admitted, admitted_by_mean),
    ):
        share, other = float(np.mean(ours)), float(np.mean(theirs))
        lines[f"{name}: {line}"] = (
            f"{share:.1%} at confidence 0.95",
            f"{other:.1%} by the mean alone",
            "",
            f"at most {MOST_VIOLATIONS:.0%}",
        )
        rows.append(bounded(row(name, what, share), "<=", MOST_VIOLATIONS) | {"baseline": other})
    return rows


def _broken(
    setup: Setup, entries: Mapping[str, Entry], size: Size, sigmas: float
) -> tuple[list[bool], list[bool]]:
    """Whether each result of a search breaks its bound when measured; and all that is admitted.

    Results of searches may lie far from the bound; whatever is admitted comes up to it.
    """
    measured = np.array([entry.measured for entry in entries.values()])
    results: list[bool] = []
    every: list[bool] = []
    for bound in np.quantile(measured, BOUNDS):
        admitted = {
            key: entry
            for key, entry in entries.items()
            if entry.predicted * np.exp(sigmas * entry.log_sd) <= bound
        }
        every += [entry.measured > bound for entry in admitted.values()]
        if admitted:
            metrics: Mapping[str, Any] = {_metric(setup): "maximize"}
            found = _replay(setup, entries, metrics, size, admitted, "evolution")
            results += [entry.measured > bound for front in found for entry in front]
    return results, every


def _in_earnest(
    name: str,
    entries: Mapping[str, Entry],
    profile: Profile,
    size: Size,
    data_root: Path,
    lines: dict[str, Sequence[str]],
) -> list[Row]:
    """Searches with several seeds, trained and re-measured by the program itself."""
    values: dict[str, list[float]] = {second: [] for second in SECOND}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "device.npz"
        save_profile(profile, file)
        for seed in SEARCHES[: size.searches]:
            for second in SECOND:
                latency = {"latency": {"device": str(file)}} if second == "latency_ms" else {}
                found = nas.search(
                    _spec(name, size, second, seed, **latency),
                    storage=f"sqlite:///{folder}/{second}-{seed}.db",
                    data_root=data_root,
                )
                front = [t.architecture.key for t in found.front() if t.architecture is not None]
                values[second].append(_judged([entries[key] for key in front], entries))
                told(f"{name}: searched with {second}, seed {seed}: {values[second][-1]:.3f}")
    with_latency, with_params = (np.array(values[second]) for second in SECOND)
    mean, other = float(with_latency.mean()), float(with_params.mean())
    better = int((with_latency > with_params).sum())
    lines[f"{name}: hypervolume, searched {len(with_latency)} times in earnest"] = (
        f"{mean:.3f}",
        f"{other:.3f}",
        f"{mean - other:+.3f}, better in {better}",
        "mean above 0",
    )
    return [row(name, "hypervolume, searched", mean, other, "mean larger", mean > other)]
