"""Are the strategies better than random search? Nine tables of published results say.

NAS-Bench-Graph's tables (the extra `bench`) have every architecture of a space of 26,206, so what a
search ends with can be compared with the best there is. Each strategy gets the same number of true
evaluations; regret is by how much the best validation value found falls short of the table's best.
Random search without repetition has an exact expectation, which is the baseline here; simulated
random runs are its control. Defaults of the strategies were chosen on the tables `CHOSEN_ON`, with
other seeds than these, so the means over the other tables stand beside those over all. See
benchmarks/strategies.md.

    python benchmarks/strategies.py [--quick] [--json FILE] [--storage URL] [--workers N]
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias, get_args

import numpy as np
import reporting
from numpy.typing import NDArray
from reporting import Row, row
from scipy.stats import t as student

from evaluators import tabular
from nas.compare import Run, Standing, compare, holm
from nas.pareto import front, hypervolume
from nas.spec import StudySpec, spec_from_mapping

TABLES: tuple[tabular.TableName, ...] = get_args(tabular.TableName)
# What options and their defaults were chosen on; physics, photo, computers and proteins were not.
CHOSEN_ON = ("cora", "citeseer", "pubmed", "cs", "arxiv")
# Seeds of each: a run of a strategy with a model takes seconds, of the others a fraction of one.
STRATEGIES = {
    "random": 50,
    "evolution": 50,
    "nsga2": 50,
    "local": 50,
    "reinforce": 50,
    "agnn": 50,
    "tpe": 20,
    "linas": 20,
}
# {table: {strategy: runs}}
Found: TypeAlias = Mapping[tabular.TableName, Mapping[str, Sequence[Run]]]
BUDGETS = (50, 100, 200, 500)
TESTED_AT = 200
FALSE_ALARMS = 0.05  # chance of any at all among the cells of a Holm test
BOOTSTRAPS = 2000
MODEL, EVALUATIONS, EQUAL, EQUAL_LOW = "linas", 100, 1000, 700
TWO_MODEL, TWO_RANDOM, TWO_TABLES = 125, 1000, 7


@dataclass(frozen=True)
class Size:
    """How much of the benchmark is run."""

    tables: tuple[tabular.TableName, ...]
    seeds: Mapping[str, int]
    budgets: tuple[int, ...]
    two_seeds: int


FULL = Size(TABLES, STRATEGIES, BUDGETS, 20)
QUICK = Size(("cora", "proteins"), dict.fromkeys(STRATEGIES, 5), (50, 100, 200), 3)


def study(table: tabular.TableName, objectives: Sequence[str], trials: int) -> StudySpec:
    """The study of one table; the operators are those that it has."""
    metric = f"val_{tabular.task(table=table).metric}"
    few = {"operators": ["gcn", "sage", "arma", "linear", "skip"]} if table == "proteins" else {}
    tables: dict[str, Any] = {
        "study": {
            "name": f"{table}-{len(objectives)}",
            "objectives": {metric: "maximize", **dict.fromkeys(objectives[1:], "minimize")},
        },
        "space": {"name": "nas_bench_graph", **few},
        "evaluator": {"name": "tabular", "table": table},
        "budget": {"trials": trials},
    }
    return spec_from_mapping(tables, table)


class Random:
    """Uniform draws without repetition from a table, in closed form."""

    def __init__(self, results: tabular.Results) -> None:
        self.gaps = np.sort(results.val.max() - results.val)
        sizes = np.unique(np.geomspace(1, len(self.gaps), 600).round().astype(int))
        self._sizes = sizes.astype(float)
        self._curve = np.array([self.regret(int(n)) for n in sizes])

    def regret(self, n: int) -> float:
        """The expected regret of the best of n: the sum of gap x P(it is the smallest drawn).

        P(the i-th smallest of N is the smallest of n) = C(N - i, n - 1) / C(N, n).
        """
        total = len(self.gaps)
        i = np.arange(total - n)
        chance = np.concatenate(
            [[n / total], n / total * np.cumprod((total - i - n) / (total - 1 - i))]
        )
        return float(chance @ self.gaps[: len(chance)])

    def equal_budget(self, regret: float) -> float:
        """How many random draws have this expected regret; all of the table where it is 0."""
        # np.interp wants an ascending axis; regret falls as the number of draws grows.
        return float(np.exp(np.interp(-regret, -self._curve, np.log(self._sizes))))


def regrets(runs: Sequence[Run], most: float, n: int) -> NDArray[np.float64]:
    """[seeds] the regret of each run after n evaluations; a table has no run without a value."""
    found = [value for run in runs if (value := run.value_at(n)) is not None]
    if len(found) < len(runs):
        raise ValueError(f"expected a value of each of {len(runs)} runs, got {len(found)}")
    return most - np.array(found)


def tests(runs: Sequence[Run], n: int) -> NDArray[np.float64]:
    """[seeds] the test value of what validation chose after n evaluations."""
    return np.array([value for run in runs if (value := run.test_at(n)) is not None])


def worse_p(values: NDArray[np.float64], expected: float) -> float:
    """One-sided: the chance of a mean regret so far above random's, were it not above."""
    spread = float(values.std(ddof=1)) / math.sqrt(len(values))
    if spread == 0.0:
        return float(values.mean() <= expected)
    return float(student.sf((values.mean() - expected) / spread, len(values) - 1))


def differs_p(values: NDArray[np.float64], expected: float) -> float:
    """Two-sided: the chance of a mean regret so far from random's, either way, were it equal."""
    one_sided = worse_p(values, expected)
    return min(1.0, 2 * min(one_sided, 1 - one_sided))


@cache
def closed_form(table: tabular.TableName) -> Random:
    return Random(tabular.read(table))


def best(table: tabular.TableName) -> float:
    """The best validation value of a table."""
    return float(tabular.read(table).val.max())


def one_objective(size: Size, storage: str, workers: int) -> Found:
    """The runs for validation alone."""
    found: dict[tabular.TableName, dict[str, Sequence[Run]]] = {}
    for table in size.tables:
        spec = study(table, ["val"], size.budgets[-1])
        found[table] = {}
        for seeds in sorted(set(size.seeds.values())):
            names = [name for name, count in size.seeds.items() if count == seeds]
            done = compare(
                spec,
                names,
                seeds=seeds,
                workers=workers,
                storage=storage,
                progress=told(f"{table}, {seeds} seeds"),
            )
            found[table] |= {name: done.runs[name] for name in names}
    return found


def two_objectives(size: Size, storage: str, workers: int) -> Found:
    """{table: {"linas at 125": runs, ...}}, for accuracy and latency."""
    found: dict[tabular.TableName, dict[str, Sequence[Run]]] = {}
    for table in size.tables:
        found[table] = {}
        for names, trials in (([MODEL, "nsga2"], TWO_MODEL), (["random"], TWO_RANDOM)):
            done = compare(
                study(table, ["val", "latency_ms"], trials),
                names,
                seeds=size.two_seeds,
                workers=workers,
                storage=storage,
                progress=told(f"{table}, two objectives, {trials} trials"),
            )
            # Random search with the model's budget comes for nothing: it is always compared with.
            shown = dict.fromkeys([*names, "random"])
            found[table] |= {f"{name} at {trials}": done.runs[name] for name in shown}
    return found


def told(what: str) -> Any:
    """A line on stderr now and then."""
    last = [-1]

    def tell(standing: Standing) -> None:
        percent = int(standing.share * 100) // 20 * 20
        if percent != last[0]:
            last[0] = percent
            reporting.told(f"{what}: {percent} %")

    return tell


def shares(table: tabular.TableName, runs: Sequence[Run]) -> NDArray[np.float64]:
    """[seeds] hypervolume over accuracy and log latency, as a share of the whole table's."""
    results = tabular.read(table)
    points = np.stack([-results.val, np.log(results.latency_ms)], axis=1)
    reference = [
        -float(np.percentile(results.val, 5)),
        float(np.log(np.percentile(results.latency_ms, 95))),
    ]
    whole = hypervolume(points[front(points)], reference)
    return np.array(
        [
            hypervolume(
                [(s.losses[0], math.log(s.losses[1])) for s in run.front_at(run.trials)], reference
            )
            / whole
            for run in runs
        ]
    )


def mean_and_error(values: NDArray[np.float64]) -> str:
    return f"{100 * values.mean():.2f} ({100 * values.std(ddof=1) / math.sqrt(len(values)):.2f})"


def report_regret(size: Size, found: Found) -> list[Row]:
    """Regret of every cell, beside random's exact expectation."""
    rows = []
    for n in size.budgets:
        exact = {t: closed_form(t).regret(n) for t in size.tables}
        texts = {"random, exact": [f"{100 * regret:.2f}" for regret in exact.values()]}
        for name in size.seeds:
            values = {t: regrets(found[t][name], best(t), n) for t in size.tables}
            texts[name] = [mean_and_error(v) for v in values.values()]
            rows += [
                row(f"{t} {name}", f"val_regret@{n}", float(v.mean()), exact[t])
                for t, v in values.items()
            ]
        title = f"Validation regret after {n} evaluations, in points (standard error)"
        print(f"\n{reporting.table(title, ['strategy', *size.tables], texts)}")
    return rows


def report_losses(size: Size, found: Found) -> Row:
    """Which strategies lose to random search: one-sided, Holm over all cells."""
    cells = {
        f"{name} on {t}": worse_p(
            regrets(found[t][name], best(t), TESTED_AT), closed_form(t).regret(TESTED_AT)
        )
        for name in size.seeds
        if name != "random"
        for t in size.tables
    }
    adjusted = dict(zip(cells, holm(list(cells.values())), strict=True))
    lost = [cell for cell, p in adjusted.items() if p < FALSE_ALARMS]
    least = min(adjusted, key=adjusted.__getitem__)
    print(
        f"\nWorse than random after {TESTED_AT} evaluations, one-sided, Holm over {len(cells)} "
        f"cells: {', '.join(lost) or 'none'} (smallest p {adjusted[least]:.2g}: {least})"
    )
    measure = f"smallest Holm p, worse than random @{TESTED_AT}"
    return row("all cells", measure, adjusted[least], FALSE_ALARMS, ">= 0.05", not lost)


def report_control(size: Size, found: Found) -> Row:
    """Simulated random search against its exact expectation: a wrong formula would show here."""
    cells = [
        differs_p(regrets(found[t]["random"], best(t), n), closed_form(t).regret(n))
        for t in size.tables
        for n in size.budgets
    ]
    least = min(holm(cells))
    print(
        "\nControl, simulated random search differs from its exact expectation, Holm over "
        f"{len(cells)} cells: smallest p {least:.2g}"
    )
    measure = "smallest Holm p, simulated differs from exact"
    return row("random", measure, least, FALSE_ALARMS, ">= 0.05", least >= FALSE_ALARMS)


def report_test(size: Size, found: Found) -> None:
    """The sealed metric of what validation chose, for whoever asks what regret is worth."""
    most = [f"{100 * float(tabular.read(t).test.max()):.2f}" for t in size.tables]
    texts = {"best of the table, by test": most} | {
        name: [mean_and_error(tests(found[t][name], TESTED_AT)) for t in size.tables]
        for name in size.seeds
    }
    title = f"Test metric of what validation chose after {TESTED_AT} evaluations, in % (s.e.)"
    print(f"\n{reporting.table(title, ['strategy', *size.tables], texts)}")


def report_equal_budget(size: Size, found: Found) -> list[Row]:
    """How many random evaluations are worth so many of each strategy; bootstrap over seeds."""
    untouched = [t for t in size.tables if t not in CHOSEN_ON]
    closed = {t: closed_form(t) for t in size.tables}
    texts, rows = {}, []
    for name in size.seeds:
        for n in size.budgets if name == MODEL else (EVALUATIONS,):
            values = {t: regrets(found[t][name], best(t), n) for t in size.tables}
            every = geometric_mean(closed, values)
            means = [every, geometric_mean(closed, {t: values[t] for t in untouched})]
            texts[f"{name}, {n}"] = [
                *(f"{closed[t].equal_budget(float(v.mean())):,.0f}" for t, v in values.items()),
                *(f"{mean:,.0f} [{low:,.0f}, {high:,.0f}]" for mean, low, high in means),
            ]
            if (name, n) == (MODEL, EVALUATIONS):
                measure = f"{name}@{n} equal random budget"
                wanted = ((measure, every[0], EQUAL), ("its lower end", every[1], EQUAL_LOW))
                rows += [row("all tables", m, v, n, f">= {w}", v >= w) for m, v, w in wanted]
    last = f"of {', '.join(untouched)} alone"
    columns = ["strategy, evaluations", *size.tables, "geometric mean [95 %]", last]
    print(f"\n{reporting.table('Random evaluations of equal expected regret', columns, texts)}")
    return rows


def geometric_mean(
    closed: Mapping[tabular.TableName, Random],
    values: Mapping[tabular.TableName, NDArray[np.float64]],
) -> tuple[float, float, float]:
    """Of the equal random budgets over tables, with its 95 % percentile bootstrap over seeds.

    Seeds are drawn for all tables together: equal seeds begin with equal architectures on each.
    """
    rng = np.random.default_rng(0)
    n = min(len(v) for v in values.values())

    def of(drawn: NDArray[np.int64]) -> float:
        return _geometric(
            [closed[t].equal_budget(float(v[drawn].mean())) for t, v in values.items()]
        )

    again = [of(rng.integers(n, size=n)) for _ in range(BOOTSTRAPS)]
    low, high = np.percentile(again, [2.5, 97.5])
    return of(np.arange(n)), float(low), float(high)


def _geometric(values: Sequence[float]) -> float:
    return math.exp(float(np.mean(np.log(values))))


def report_two(size: Size, found: Found) -> Row:
    """Median hypervolume shares, and on how many tables the model is ahead of eightfold random."""
    medians = {
        name: {t: float(np.median(shares(t, found[t][name]))) for t in size.tables}
        for name in found[size.tables[0]]
    }
    texts = {name: [f"{v:.4f}" for v in by_table.values()] for name, by_table in medians.items()}
    title = "Two objectives, accuracy and log latency: median share of the table's hypervolume"
    print(f"\n{reporting.table(title, ['strategy', *size.tables], texts)}")
    model, random = medians[f"{MODEL} at {TWO_MODEL}"], medians[f"random at {TWO_RANDOM}"]
    ahead, n = sum(model[t] >= random[t] for t in size.tables), len(size.tables)
    wanted = TWO_TABLES if n == len(TABLES) else n
    measure = f"tables with {MODEL}@{TWO_MODEL} >= random@{TWO_RANDOM}"
    print(f"\n{measure}: {ahead} of {n}")
    return row("two objectives", measure, ahead, n, f">= {wanted}", ahead >= wanted)


def main() -> None:
    parser = reporting.command_line(__doc__, "two tables, few seeds")
    parser.add_argument("--storage", default="sqlite:///strategies.db", help="runs there are kept")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    found = one_objective(size, arguments.storage, arguments.workers)
    rows = report_regret(size, found)
    rows += [report_losses(size, found), report_control(size, found)]
    report_test(size, found)
    rows += report_equal_budget(size, found)
    rows.append(report_two(size, two_objectives(size, arguments.storage, arguments.workers)))
    reporting.report(rows, arguments.json)


if __name__ == "__main__":
    main()
