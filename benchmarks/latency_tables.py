"""Are the latencies of NAS-Bench-Graph's nine tables predicted from 100 architectures each?

The predictor of profiles is fitted on 100 random architectures of a table, with the work that their
networks do on the table's graph, and ranks all others: Spearman's coefficient, mean over draws. The
baseline sees the same draws: a ridge regression on how often each operator occurs and on how they
are linked, its strength by leave-one-out. One configuration serves all tables.

Beside work, the predictor is told as `context` how often each operator occurs, where it stands and
how nodes are linked. One more fact matters on these tables: the authors read the clock without
waiting for their GPU, so that time ends with the last operator that itself waits for it. Which ones
do is seen from the layers here: those that choose by a mask, whose result has a size that only the
GPU knows. What runs until then is context too; `predictor without waits` leaves that out.

What was chosen on these tables: which groups of context there are, how much context counts beside
work, and that a part of the noise may be of a constant size, from some fifty variants, by how all
nine tables ranked on rows that were not drawn, with other draws. That time ends at an operator that
waits was found by looking at whole tables. So this is no test on unseen tables; no table has
settings of its own, and what is fitted sees the 100 alone. Eight tables have the same rows and so
the same draws: a lucky draw is lucky on all of them.

    python benchmarks/latency_tables.py [--quick] [--json FILE] [--write]
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from reporting import Row, bounded, command_line, put, report, row, table, told
from scipy.stats import spearmanr

from evaluators.latency.predictor import Predictor
from evaluators.latency.values import Workload
from evaluators.latency.watching import Watcher
from evaluators.latency.work import work_of
from evaluators.tabular import Results, TableName, described, read
from search_spaces import Task
from search_spaces.message_passing import Layer, LayerPlan
from search_spaces.nas_bench_graph import LINKS, NODES, OPERATORS, WIDTH, build

DOCUMENT = Path(__file__).with_suffix(".md")
TITLE = "Latency on nine tables of published results"
Floats: TypeAlias = NDArray[np.float64]

# Nodes, directed edges, features and classes of the graphs, as their publishers give them.
GRAPHS: Mapping[str, tuple[int, int, int, int]] = {
    "cora": (2_708, 10_556, 1_433, 7),
    "citeseer": (3_327, 9_104, 3_703, 6),
    "pubmed": (19_717, 88_648, 500, 3),
    "cs": (18_333, 163_788, 6_805, 15),
    "physics": (34_493, 495_924, 8_415, 5),
    "photo": (7_650, 238_162, 745, 8),
    "computers": (13_752, 491_722, 767, 10),
    "arxiv": (169_343, 2_332_486, 128, 40),
    "proteins": (132_534, 79_122_504, 8, 112),
}
SEEN = 100
DRAWS, QUICK_DRAWS = 20, 3
FIRST_DRAW = 1_000  # the draws before were used to choose
QUICK_TABLES = ("cora", "photo", "proteins")
STRENGTHS = np.geomspace(0.1, 10.0, 9)
AHEAD_ON = 8  # of nine
WAITS = ("until", "last")
BASELINE, WITHOUT, OURS = "counts and links, ridge", "predictor without waits", "predictor"


def main() -> None:
    arguments = command_line(__doc__, "three tables, three draws", DOCUMENT).parse_args()
    rows, text = tabulated(quick=arguments.quick)
    print(text)
    if arguments.write:
        command = f"python benchmarks/latency_tables.py{' --quick' if arguments.quick else ''}"
        put(DOCUMENT, "tables", TITLE, command, text)
    report(rows, arguments.json)


def tabulated(*, quick: bool) -> tuple[list[Row], str]:
    """Rows, and a table with a line for each table."""
    names = QUICK_TABLES if quick else get_args(TableName)
    draws = QUICK_DRAWS if quick else DRAWS
    rows, lines = [], {}
    ahead = clearly = 0
    for name in names:
        found = coefficients(read(name), draws)
        means = {who: float(values.mean()) for who, values in found.items()}
        gain = found[OURS] - found[BASELINE]
        ahead += gain.mean() > 0
        error = gain.std(ddof=1) / np.sqrt(draws)
        clearly += gain.mean() > 2 * error
        lines[name] = [
            *(f"{mean:.3f}" for mean in means.values()),
            f"{gain.mean():+.3f} ({error:.3f})",
            f"{(gain > 0).sum()} of {draws}",
        ]
        told(f"{name}: {' | '.join(lines[name])}")
        rows += [row(name, f"Spearman, {who}", means[who], means[BASELINE]) for who in means]
    needed = round(AHEAD_ON / 9 * len(names))
    rows.append(bounded(row("all tables", "tables ahead of the baseline", ahead), ">=", needed))
    rows.append(row("all tables", "tables ahead by two standard errors", clearly))
    title = f"Spearman from {SEEN} architectures, mean of {draws} draws; the gain is paired"
    columns = ("", BASELINE, WITHOUT, OURS, "gain (standard error)", "draws ahead")
    said = f"Ahead on {ahead} of {len(names)} tables, by two standard errors on {clearly}.\n"
    return rows, f"{table(title, columns, lines)}\n{said}"


def coefficients(results: Results, draws: int) -> dict[str, Floats]:
    """[draws] Spearman's coefficients on what was not drawn, by who predicts."""
    nodes, edges, features, classes = GRAPHS[results.name]
    load = Workload(nodes, edges)
    task = Task(
        "node_classification", features, classes, nodes, edges, 1, 0, 0, 0, "accuracy", results.name
    )
    works, groups = networks_works(results, task, load), context(results.keys.tolist())
    counted = np.hstack([groups["counts"], groups["links"]])
    found: dict[str, list[float]] = {BASELINE: [], WITHOUT: [], OURS: []}
    for draw in range(FIRST_DRAW, FIRST_DRAW + draws):
        order = np.random.default_rng(draw).permutation(len(results.keys))
        seen, others = order[:SEEN], order[SEEN:]
        times, truth = results.latency_ms[seen], results.latency_ms[others]
        scaled = {name: scaled_by(values, seen) for name, values in groups.items()}
        guesses = {BASELINE: ridge(counted[seen], times, counted[others])}
        for who, left_out in ((WITHOUT, WAITS), (OURS, ())):
            known = np.hstack([v for name, v in scaled.items() if name not in left_out])
            fitted = Predictor.fit(works[seen], [load] * SEEN, times.tolist(), known[seen])
            guesses[who] = fitted.predict_many(works[others], [load] * len(others), known[others])[
                0
            ]
        for who, guess in guesses.items():
            found[who].append(float(spearmanr(guess, truth).statistic))
    return {who: np.array(values) for who, values in found.items()}


def networks_works(results: Results, task: Task, load: Workload) -> Floats:
    """[rows, K] the work of each network of a table on the table's graph."""
    space = build(task)
    return np.stack(
        [
            work_of(space, space.architecture(described(key)), task, load).work
            for key in results.keys.tolist()
        ]
    )


def context(keys: Sequence[int]) -> dict[str, Floats]:
    """What is known of architectures beside their work, [rows, columns] by group.

    Nodes run in the order of the key. `until`: how often each operator occurs up to the last one
    that waits; `last`: which node that is, 0 if there is none.
    """
    choices = [described(key) for key in keys]
    links = np.array([LINKS.index(one["links"]) for one in choices])
    operators = np.array([[OPERATORS.index(one[name]) for name in NODES] for one in choices])  # type: ignore[arg-type]
    at = np.eye(len(OPERATORS))[operators]
    waiting = np.isin(operators, [i for i, name in enumerate(OPERATORS) if waits(name)])
    last = (waiting * np.arange(1, len(NODES) + 1)).max(axis=1)
    until = np.arange(1, len(NODES) + 1) <= last[:, None]
    return {
        "counts": at.sum(axis=1),
        "links": np.eye(len(LINKS))[links],
        "places": at.reshape(len(keys), -1),
        "until": (at * until[:, :, None]).sum(axis=1),
        "last": last[:, None].astype(np.float64),
    }


class _Waits(Watcher):
    found = False

    def saw(self, name: str, args: tuple[Any, ...], _result: Any) -> None:
        if name in ("index", "index_put"):
            self.found |= any(one is not None and one.dtype == torch.bool for one in args[1])


@lru_cache
def waits(operator: str) -> bool:
    """Whether an operator's layer chooses by a mask: it then waits for the GPU to know a size."""
    layer = Layer(WIDTH, LayerPlan(operator, WIDTH)).eval()
    edges = torch.tensor([[0, 1, 2], [1, 2, 0]])
    with torch.no_grad(), _Waits() as watcher:
        layer(torch.zeros(3, WIDTH), edges)
    return watcher.found


def scaled_by(values: Floats, seen: NDArray[np.int64]) -> Floats:
    """Centered, and such that two of those seen have a mean squared distance of 1."""
    centered = values - values[seen].mean(axis=0)
    scaled: Floats = centered / np.sqrt(2 * (centered[seen] ** 2).sum(axis=1).mean())
    return scaled


def ridge(known: Floats, times: Floats, asked: Floats) -> Floats:
    """Predictions of a linear model; its strength is that of the least leave-one-out error."""
    center, offset = known.mean(axis=0), times.mean()
    left, singular, right = np.linalg.svd(known - center, full_matrices=False)
    projected = left.T @ (times - offset)
    best, weights = np.inf, np.zeros(known.shape[1])
    for strength in STRENGTHS:
        shrunk = singular**2 / (singular**2 + strength)
        leverage = (left**2 * shrunk).sum(axis=1) + 1 / len(times)
        errors = (times - offset - left @ (shrunk * projected)) / (1 - leverage)
        if (loss := float((errors**2).mean())) < best:
            scale = singular / (singular**2 + strength)
            best, weights = loss, right.T @ (scale * projected)
    predicted: Floats = offset + (asked - center) @ weights
    return predicted


if __name__ == "__main__":
    main()
