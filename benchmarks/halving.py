"""Does halving find what full training finds, for a quarter of the epochs?

A pool of random architectures of a study's space is trained to the end by the study's own
evaluator, each from several seeds, and measured at every rung. Then many studies are drawn from the
pool and halved: the program's own decisions over the pool's values of some seeds, in the driver's
order with one worker. What a study ends with is the best of the trials that it trained to the end,
and is judged on the seeds that it has not seen. Regret is against the best of its candidates by
those other seeds, which are as noisy; so the regret of full training, which sees the same seeds and
prunes nothing, stands beside it, and what halving adds to it. The control is halving with shuffled
values at the rungs. See benchmarks/halving.md.

    python benchmarks/halving.py [--quick] [--json FILE] [--data-root DIR] [--write]
                                 [--pool FILE] [--workers N]
"""

import itertools
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from evaluation_measure import evaluated, store
from numpy.typing import NDArray
from reporting import Row, bounded, command_line, put, report, row, table, told

from evaluators import Evaluation, Executor, Job
from evaluators.datasets import save_sealed
from evaluators.executors import processes
from nas import rungs
from nas.setting_up import set_up
from nas.setup import Setup
from nas.spec import load_spec

DOCUMENT = Path(__file__).with_suffix(".md")
STUDY = Path(__file__).parent.parent / "studies" / "cora.toml"
# More operators than the study has, so that the pool is as mixed as a space can be.
OPERATORS = (
    "gcn", "gat", "gatv2", "transformer", "sage", "graph", "gin", "tag", "cheb", "arma", "sg",
    "appnp", "linear",
)  # fmt: skip
EPOCHS, REDUCTION = (20, 60, 200), 3
BRACKET = REDUCTION ** (len(EPOCHS) - 1)
RESAMPLES, BOOTSTRAPS = 100, 2000
SEEN = (1, 2)  # of the seeds; studies/cora.toml takes the mean of two runs
MOST_REGRET, FEWER_EPOCHS = 0.005, 3.5
BATCH = 5  # architectures, with all their seeds, in one batch of jobs

Values: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Size:
    """How large the pool is, and how many candidates each study draws from it."""

    architectures: int = 60
    seeds: int = 4
    epochs: tuple[int, ...] = EPOCHS
    candidates: int = 27


FULL = Size()
QUICK = Size(architectures=18, seeds=4, epochs=(3, 9, 30), candidates=9)


@dataclass(frozen=True)
class Pool:
    """The best validation value so far, by architecture, seed and level.

    Attributes:
        size: what it was made with.
        architectures: their choices.
        values: [architectures][seeds][levels]; 0 from where a run failed.
    """

    size: Size
    architectures: tuple[Mapping[str, Any], ...]
    values: tuple[tuple[tuple[float, ...], ...], ...]

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, file: Path) -> "Pool":
        """What `save` wrote."""
        content = json.loads(file.read_text(encoding="utf-8"))
        size = Size(**content["size"] | {"epochs": tuple(content["size"]["epochs"])})
        values = tuple(tuple(tuple(run) for run in one) for one in content["values"])
        return cls(size, tuple(content["architectures"]), values)


def train(size: Size, data_root: Path, workers: int) -> Pool:
    """The pool: jobs from level to level, as the driver sends them, all seeds of one together."""
    # One run a job, so that seeds can be told apart; without patience, so that all have all epochs.
    overrides = ["evaluator.seeds=1", f"evaluator.patience={size.epochs[-1]}"]
    overrides += [f"evaluator.epochs={size.epochs[-1]}"]
    overrides += [f"space.{name}={json.dumps(OPERATORS)}" for name in ("operators", "output")]
    overrides += ["space.hops=[4, 8]", f"halving.epochs={list(size.epochs[:-1])}"]
    setup = set_up(load_spec(STUDY, overrides), data_root)
    if setup.dataset is None:
        raise SystemExit(f"expected a [dataset] in {STUDY}")
    dataset = save_sealed(setup.dataset, store())
    rng = np.random.default_rng(0)
    sampled = {a.key: a for a in (setup.space.sample(rng) for _ in range(20 * size.architectures))}
    chosen = list(sampled.values())[: size.architectures]
    jobs = [
        replace(setup.job(architecture, dataset, store(), size.epochs[0]), seed=seed)
        for architecture in chosen
        for seed in range(size.seeds)
    ]
    found: list[list[float]] = [[] for _ in jobs]
    executor = processes.build(workers=workers)
    try:
        for level, epoch in enumerate(size.epochs):
            told(f"pool: to epoch {epoch}")
            ended = _level(executor, [replace(job, until_epoch=epoch) for job in jobs], size)
            for index, evaluation in ended:
                found[index].append(_value(setup, evaluation))
                jobs[index] = replace(jobs[index], resume=evaluation.artifact)
            told(f"pool: epoch {epoch}, mean {statistics.fmean(v[level] for v in found):.4f}")
    finally:
        executor.shutdown(wait=False)
    runs = [tuple(values) for values in found]
    grouped = [tuple(runs[i : i + size.seeds]) for i in range(0, len(runs), size.seeds)]
    return Pool(size, tuple(dict(a.choices) for a in chosen), tuple(grouped))


def _level(executor: Executor, jobs: Sequence[Job], size: Size) -> Iterator[tuple[int, Evaluation]]:
    """(Index of a job, its evaluation), as batches end."""
    count = BATCH * size.seeds
    batches = [jobs[i : i + count] for i in range(0, len(jobs), count)]
    for batch, evaluations in evaluated(executor, batches):
        told(f"pool: batch {batch + 1} of {len(batches)}")
        for offset, evaluation in enumerate(evaluations):
            yield count * batch + offset, evaluation


def _value(setup: Setup, evaluation: Evaluation) -> float:
    if evaluation.failure is not None:
        told(f"pool: counts as 0: {evaluation.failure.message}")
        return 0.0
    return evaluation.metrics[f"val_{setup.task.metric}"]


@dataclass(frozen=True)
class Halved:
    """How far each candidate of a study was trained: a level each, in the order of proposal."""

    levels: tuple[int, ...]

    def epochs(self, epochs: Sequence[int]) -> int:
        return sum(epochs[level] for level in self.levels)

    def best(self, seen: Values) -> int:
        """The candidate that the study ends with: the best of those with the most epochs."""
        last = seen.shape[1] - 1
        complete = [i for i, level in enumerate(self.levels) if level == last]
        return max(complete, key=lambda i: seen[i, last])


Mode: TypeAlias = Callable[[Values], Halved]


def full(seen: Values) -> Halved:
    """Nobody is pruned."""
    return Halved((seen.shape[1] - 1,) * len(seen))


def successive(seen: Values, bracket: int) -> Halved:
    """Brackets of so many trials; at each rung the best of one go on together.

    Args:
        seen: [trials, levels], in the order of proposal.
    """
    levels = [0] * len(seen)
    for start in range(0, len(seen), bracket):
        alive = list(range(start, min(start + bracket, len(seen))))
        for level in range(seen.shape[1] - 1):
            losses = [(-float(seen[trial, level]),) for trial in alive]
            alive = [alive[i] for i in rungs.best(losses, [0.0] * len(alive), REDUCTION)]
            for trial in alive:
                levels[trial] = level + 1
    return Halved(tuple(levels))


def asynchronous(seen: Values) -> Halved:
    """Each trial against those that were at the rung before it; one worker, so one after another.

    Args:
        seen: [trials, levels], in the order of proposal.
    """
    measured: list[list[tuple[float, ...]]] = [[] for _ in range(seen.shape[1] - 1)]
    levels = []
    for trial in seen:
        level = 0
        while level < len(measured):
            measured[level].append((-float(trial[level]),))
            if not rungs.goes_on(measured[level], [0.0] * len(measured[level]), REDUCTION):
                break
            level += 1
        levels.append(level)
    return Halved(tuple(levels))


@dataclass(frozen=True)
class Outcome:
    """Of one study drawn from the pool.

    Attributes:
        regret: of the one it ends with, on the other seeds, against the best by these.
        added: by how much it is worse there than what full training ends with.
        epochs: that were trained.
        saved: how many times more full training trains.
    """

    regret: float
    added: float
    epochs: float
    saved: float


def outcomes(
    pool: Pool, mode: Mode, n_seen: int, *, shuffled: bool = False, resamples: int = RESAMPLES
) -> list[Outcome]:
    """Studies over candidates drawn without repetition; all modes get the same draws.

    Each is the mean over all choices of the seeds that a study sees.

    Args:
        n_seen: how many seeds a study sees the mean of; it is judged on the rest.
        shuffled: whether candidates swap their values at the rungs, but not at the end.
    """
    values = np.array(pool.values)
    seeds = range(values.shape[1])
    found = []
    for number in range(resamples):
        rng = np.random.default_rng(number)
        drawn = values[rng.permutation(len(values))[: pool.size.candidates]]
        splits = []
        for chosen in itertools.combinations(seeds, n_seen):
            seen = drawn[:, list(chosen)].mean(axis=1)
            judged = drawn[:, [s for s in seeds if s not in chosen], -1].mean(axis=1)
            told_at_rungs = rng.permutation(seen) if shuffled else seen
            splits.append(_outcome(pool.size, mode, seen, told_at_rungs, judged))
        found.append(Outcome(*np.mean(splits, axis=0).tolist()))
    return found


def _outcome(
    size: Size, mode: Mode, seen: Values, told_at_rungs: Values, judged: Values
) -> tuple[float, ...]:
    """The fields of an `Outcome`."""
    by_full = full(seen)
    halved = mode(np.column_stack([told_at_rungs[:, :-1], seen[:, -1]]))
    mine, epochs = judged[halved.best(seen)], halved.epochs(size.epochs)
    added = judged[by_full.best(seen)] - mine
    return judged.max() - mine, added, epochs, by_full.epochs(size.epochs) / epochs


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % percentile bootstrap over the studies drawn; the pool is held fixed."""
    array, rng = np.array(values), np.random.default_rng(0)
    means = array[rng.integers(len(array), size=(BOOTSTRAPS, len(array)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(array.mean()), float(low), float(high)


def modes(pool: Pool) -> Mapping[str, tuple[Mode, bool]]:
    """{name: (mode, whether the values at the rungs are shuffled)}; full training comes first."""
    brackets = partial(successive, bracket=BRACKET)
    every = pool.size.candidates
    return {
        "full training": (full, False),
        f"successive, brackets of {BRACKET}": (brackets, False),
        f"successive, one bracket of {every}": (partial(successive, bracket=every), False),
        "asynchronous": (asynchronous, False),
        "control: successive, shuffled rungs": (brackets, True),
        "control: asynchronous, shuffled rungs": (asynchronous, True),
    }


def resampled(pool: Pool, n_seen: int) -> tuple[str, list[Row]]:
    """The table of all modes where a study sees so many of the seeds, and its rows."""
    lines, rows = {}, []
    case = f"{pool.size.candidates} candidates, {n_seen} of {pool.size.seeds} seeds seen"
    highest = 0.0
    for name, (mode, shuffled) in modes(pool).items():
        found = outcomes(pool, mode, n_seen, shuffled=shuffled)
        regret, added = (interval([getattr(o, m) for o in found]) for m in ("regret", "added"))
        saved = statistics.fmean(o.saved for o in found)
        epochs = statistics.fmean(o.epochs for o in found)
        lines[name] = [f"{epochs:,.0f}", f"{saved:.2f}", _points(regret), _points(added)]
        if mode is full:
            rows.append(row(f"{name}, {case}", "regret, upper end", regret[2]))
        elif shuffled:
            lower = row(f"{name}, {case}", "added regret, lower end", added[1])
            rows.append(bounded(lower, ">", highest))
        else:
            highest = max(highest, added[2])
            rows += _rows(f"{name}, {case}", regret[2], added[2], saved)
    columns = ["", "epochs", "times fewer", "regret, points [95 %]", "added by halving [95 %]"]
    title = f"{RESAMPLES} studies of {case}, rungs {', '.join(map(str, pool.size.epochs))}"
    return table(title, columns, lines), rows


def _rows(case: str, regret: float, added: float, saved: float) -> list[Row]:
    return [
        bounded(row(case, "times fewer epochs", saved), ">=", FEWER_EPOCHS),
        bounded(row(case, "regret, upper end", regret), "<=", MOST_REGRET),
        bounded(row(case, "added regret, upper end", added), "<=", MOST_REGRET),
    ]


def _points(of: tuple[float, float, float]) -> str:
    mean, low, high = (100 * value for value in of)
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def noise(pool: Pool) -> str:
    """What the differences between architectures compare with."""
    final = np.array(pool.values)[:, :, -1]
    seeds, between = final.std(axis=1, ddof=1).mean(), final.mean(axis=1).std(ddof=1)
    return (
        f"The pool: {len(final)} architectures x {final.shape[1]} seeds; deviation between seeds "
        f"{100 * seeds:.2f} points, between the means of architectures {100 * between:.2f}, "
        f"best mean {100 * final.mean(axis=1).max():.2f} %.\n"
    )


def main() -> None:
    parser = command_line(__doc__, "a small pool, few epochs", DOCUMENT)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--pool", type=Path, metavar="FILE", help="read the pool, or keep it there")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    if arguments.pool and arguments.pool.exists():
        pool = Pool.load(arguments.pool)
        if pool.size != size:
            raise SystemExit(f"{arguments.pool}: expected a pool of {size}, got {pool.size}")
    else:
        pool = train(size, arguments.data_root, arguments.workers)
        if arguments.pool:
            pool.save(arguments.pool)
    texts, rows = [noise(pool)], []
    for n_seen in SEEN:
        text, found = resampled(pool, n_seen)
        texts.append(text)
        rows += found
    print("\n".join(texts))
    if arguments.write:
        command = f"python benchmarks/halving.py{' --quick' if arguments.quick else ''}"
        put(DOCUMENT, "halving", "What halving saves, and what it costs", command, "\n".join(texts))
    report(rows, arguments.json)


if __name__ == "__main__":
    main()
