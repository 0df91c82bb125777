"""What does a proposal cost, and a fold, as the record grows?

Every strategy, found by discovery, folds a record of up to 10,000 trials that ended in every way,
with one objective and with two. At each length it proposes several times, each time after one more
trial has ended, and through the wrapper that keeps architectures from repeating: what a study with
one worker pays. Random search is the baseline. Growth is the slope from 1,000 trials to the longest
record in log-log: 1 is linear; what takes less than 0.05 ms counts as that.

    python benchmarks/proposals.py [--quick] [--json FILE] [--strategies a,b]
"""

import importlib.util
import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
from reporting import Row, command_line, report, row

from nas.strategies import Finished, Objective, Problem, StrategyError
from nas.strategies._base import AnyStrategy
from nas.strategies._distinct import propose_distinct
from search_spaces import SearchSpace, Task, plugins

PLANTED = Path(__file__).parent.parent / "tests" / "strategies" / "_planted.py"
TARGET_MS = {"linas": 1000.0, "tpe": None}  # others: 50; tpe is Optuna's own time
TARGET_TRIALS = 1000
TARGET_GROWTH = 1.1  # linear, and what a few measurements scatter
LEAST_MS = 0.05  # below it, a measurement is of the clock and of what else the machine does
BASELINE = "random"


@dataclass(frozen=True)
class Cost:
    """Milliseconds at one length of the record: the mean of folds, proposals each by itself."""

    trials: int
    fold_ms: float
    proposals_ms: tuple[float, ...]

    @property
    def proposal_ms(self) -> float:
        return statistics.median(self.proposals_ms)


def planted() -> ModuleType:
    spec = importlib.util.spec_from_file_location("planted", PLANTED)
    if spec is None or spec.loader is None:
        raise SystemExit(f"expected the tests' planted spaces at {PLANTED}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def spaces() -> dict[str, SearchSpace]:
    """A conditional space without networks, and the real ones with their defaults."""
    task = Task("node_classification", 64, 5, 1000, 5000, 1, 500, 250, 250, "accuracy", "none")
    found = {"conditional": planted().conditional(6)}
    for name in ("gnn", "nas_bench_graph"):
        if name in plugins.names("space"):
            found[name] = plugins.load("space", name).build(task)
    return found


def record(space: SearchSpace, count: int, n_objectives: int) -> list[Finished]:
    """Trials with continuous losses: equal ones would make every ranking easier."""
    rng = np.random.default_rng(2)
    return [
        replace(trial, losses=tuple(rng.random(n_objectives).tolist())) if trial.losses else trial
        for trial in planted().record(space, count, n_objectives)
    ]


def costs(
    strategy: AnyStrategy, trials: list[Finished], lengths: list[int], repeats: int
) -> Iterator[Cost]:
    """One pass over the record, with proposals at each length."""
    state, seen, folded, seconds = strategy.initial(), set[str](), 0, 0.0
    for length in lengths:
        proposals: list[float] = []
        since, seconds = folded, 0.0
        while folded < length + repeats:
            began = time.perf_counter()
            state = strategy.fold(state, trials[folded])
            seconds += time.perf_counter() - began
            seen.add(trials[folded].architecture.key)
            folded += 1
            if folded > length:
                began = time.perf_counter()
                propose_distinct(strategy, state, len(trials) + folded, [], seen)
                proposals.append(1000 * (time.perf_counter() - began))
        yield Cost(length, 1000 * seconds / (folded - since), tuple(proposals))


def measured(
    space: SearchSpace, n_objectives: int, names: list[str], lengths: list[int], repeats: int
) -> dict[str, list[Cost]]:
    """By strategy; those that do not take so many objectives are left out."""
    objectives = tuple(Objective(f"loss{i}", "minimize") for i in range(n_objectives))
    problem = Problem(space, objectives, seed=0)
    trials = record(space, lengths[-1] + repeats, n_objectives)
    found = {}
    for name in names:
        try:
            strategy = plugins.load("strategy", name).build(problem)
        except StrategyError:
            continue
        # What a space computes once for all is not a proposal's cost.
        propose_distinct(strategy, strategy.initial(), 0, [], set())
        found[name] = list(costs(strategy, trials, lengths, repeats))
    return found


def growth(before: Cost, after: Cost, measure: str) -> float:
    ratio = max(LEAST_MS, getattr(after, measure)) / max(LEAST_MS, getattr(before, measure))
    return math.log(ratio) / math.log(after.trials / before.trials)


def limited(case: str, measure: str, value: float, baseline: float, target: float | None) -> Row:
    """With the target on the value: random search is only there to compare with."""
    if target is None:
        return row(case, measure, value, baseline)
    return row(case, measure, value, baseline, f"<= {target:g}", value <= target)


def rows(case: str, name: str, mine: list[Cost], random: list[Cost]) -> Iterator[Row]:
    """One row for each measure and length, and the growth of each measure."""
    bound = TARGET_MS.get(name, 50.0)
    for cost, other in zip(mine, random, strict=True):
        at = f"{name}, {case}, {cost.trials} trials"
        # A refit falls on one proposal in a batch, so its bound is on the slowest.
        slowest = max(cost.proposals_ms)
        target = bound if cost.trials == TARGET_TRIALS else None
        on_median, on_slowest = (None, target) if name == "linas" else (target, None)
        yield limited(at, "fold_ms", cost.fold_ms, other.fold_ms, None)
        yield limited(at, "proposal_ms", cost.proposal_ms, other.proposal_ms, on_median)
        yield limited(at, "slowest_proposal_ms", slowest, max(other.proposals_ms), on_slowest)
    at = f"{name}, {case}, {TARGET_TRIALS} to {mine[-1].trials} trials"
    thousand = next(i for i, cost in enumerate(mine) if cost.trials == TARGET_TRIALS)
    for measure in ("fold_ms", "proposal_ms"):
        value = growth(mine[thousand], mine[-1], measure)
        baseline = growth(random[thousand], random[-1], measure)
        bounded = None if name == "tpe" else TARGET_GROWTH
        yield limited(at, f"growth of {measure}", value, baseline, bounded)


def show(case: str, found: dict[str, list[Cost]]) -> None:
    lengths = [cost.trials for cost in next(iter(found.values()))]
    print(f"\n{case}: milliseconds a proposal, median (slowest); a fold, mean\n")
    print("| strategy | " + " | ".join(f"{n:,} trials" for n in lengths) + " | growth | a fold |")
    print("|---|" + "---|" * (len(lengths) + 2))
    thousand = lengths.index(TARGET_TRIALS)
    for name, mine in found.items():
        cells = " | ".join(f"{c.proposal_ms:.2f} ({max(c.proposals_ms):.2f})" for c in mine)
        slope = growth(mine[thousand], mine[-1], "proposal_ms")
        print(f"| {name} | {cells} | {slope:+.2f} | {mine[-1].fold_ms:.3f} |", flush=True)


def main() -> None:
    parser = command_line(__doc__, "up to 3,000 trials")
    parser.add_argument("--strategies", default="", metavar="A,B", help="these, and random")
    arguments = parser.parse_args()
    lengths = [100, 1000, 3000] if arguments.quick else [100, 1000, 3000, 10_000]
    repeats = 5 if arguments.quick else 7
    asked = [name for name in arguments.strategies.split(",") if name]
    others = [n for n in asked or plugins.names("strategy") if n != BASELINE]

    every: list[Row] = []
    for space_name, space in spaces().items():
        for n_objectives in (1, 2):
            if arguments.quick and n_objectives == 2 and space_name != "conditional":
                continue
            case = f"{space_name}, {n_objectives} objective{'s' if n_objectives > 1 else ''}"
            found = measured(space, n_objectives, [BASELINE, *others], lengths, repeats)
            show(case, found)
            for name, mine in found.items():
                every += rows(case, name, mine, found[BASELINE])
    report(every, arguments.json)


if __name__ == "__main__":
    main()
