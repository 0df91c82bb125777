"""Does a candidate get the numbers that PyTorch Geometric gives it?

Every operator at depth 1 to 4, with each normalization, with and without residual connections, is
trained by the engine and by the plain loop on edge_index, from the same weights:

* first: loss and all gradients of the first step, without dropout, in float64.
* curves: training losses of 30 epochs, without dropout. In float32 the plain loop is also run with
  its edges in other orders: the engine is to be at most 3 times as far from it as it is from
  itself. What rounding alone does is told apart by float64: there the two must agree to 1e-9, and
  the engine in float32 must not be farther from the plain loop in float64 than that in float32 is.
* itself: the plain loop with its nodes numbered otherwise, against the same bound as the engine in
  float32: how often the bound is missed by what is right.
* dropout: means over 30 seeds, with dropout, which each way draws by itself.
* controls: faults on purpose, which these comparisons must find.

See benchmarks/parity.md.

    python benchmarks/parity.py [--quick] [--json FILE] [--data-root DIR] [--write]
                                [--only first,curves,itself,dropout,controls]
"""

import itertools
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import parity_curves
import parity_dropout
import parity_measure as measure
import torch
from evaluation_measure import read
from parity_cases import DEPTHS, OPERATORS, Case, grid, renumbered, ring, with_few_words
from parity_curves import Parity, Rounding
from parity_dropout import Difference
from parity_measure import CPU
from reporting import Row, bounded, by_section, command_line, row, table, told
from scipy.stats import binomtest

from evaluators.datasets import Dataset
from evaluators.engine.graph import Graph
from nas.compare import holm

DOCUMENT = Path(__file__).with_suffix(".md")
SECTIONS = ("first", "curves", "itself", "dropout", "controls")
FIRST_STEP = 1e-5  # relative
EXACT = 1e-9  # of a loss, in float64
FALSE_ALARMS = 0.05
# Twice of it is still a probability.
DROPOUT = 0.4


@dataclass(frozen=True)
class Size:
    """How much of the benchmark is run."""

    dataset: str = "Cora"
    operators: Sequence[str] = OPERATORS
    depths: Sequence[int] = DEPTHS
    seeds: int = 30
    epochs: int = 50

    def read(self, data_root: Path) -> Dataset:
        if self.dataset == "ring":
            return ring()
        return with_few_words(read(self.dataset, data_root))


FULL = Size()
QUICK = Size("ring", ("gcn", "gat", "gin", "sage"), (1, 2, 4), seeds=10, epochs=30)
Rows = list[Row]


def first(size: Size, dataset: Dataset) -> tuple[str, Rows]:
    graph = Graph(dataset, torch.float64, CPU)
    rows, worst = list[Any](), dict[str, dict[int, float]]()
    for case in grid(size.operators, size.depths):
        off = measure.first_step(case, graph)
        rows.append(bounded(row(str(case), "first step", off), "<=", FIRST_STEP))
        by_depth = worst.setdefault(case.operator, {})
        by_depth[case.depth] = max(by_depth.get(case.depth, 0.0), off)
    title = f"First step on {dataset.name}, float64: largest relative difference from PyG"
    lines = {name: [f"{by[d]:.0e}" for d in size.depths] for name, by in worst.items()}
    return table(title, ["operator", *(f"depth {d}" for d in size.depths)], lines), rows


def curves(size: Size, dataset: Dataset) -> tuple[str, Rows]:
    graph, double = (Graph(dataset, dtype, CPU) for dtype in (torch.float32, torch.float64))
    rows: Rows = []
    found: dict[Case, tuple[Parity, Rounding]] = {}
    for case in grid(size.operators, size.depths):
        single = parity_curves.parity(case, [graph])[0]
        rounding = parity_curves.rounding(case, graph, double)
        found[case] = single, rounding
        own = max(single.permuted)
        told(f"{case}: {single.engine:.1e}, PyG itself {own:.1e}; float64 {rounding.exact:.1e}")
        target = f"<= {single.bound:.1e}"
        rows.append(row(str(case), "30 epochs", single.engine, own, target, single.holds))
        rows.append(bounded(row(str(case), "float64", rounding.exact), "<=", EXACT))
    text, farther = of_float64(found)
    tables = [of_curves(size, dataset, found), text, of_missed(dataset, found)]
    return "\n".join(tables), [*rows, farther]


def of_curves(size: Size, dataset: Dataset, found: Mapping[Case, tuple[Parity, Rounding]]) -> str:
    """The table of all cases, by operator and depth."""
    lines: dict[str, list[str]] = {}
    for name, depth in itertools.product(size.operators, size.depths):
        here = [
            both for case, both in found.items() if (case.operator, case.depth) == (name, depth)
        ]
        ours = max(single.engine for single, _ in here)
        own = max(max(single.permuted) for single, _ in here)
        near = max(single.engine / single.bound for single, _ in here)
        exact = max(rounding.exact for _, rounding in here)
        lines.setdefault(name, []).append(f"{ours:.0e} / {own:.0e} ({near:.2f}); {exact:.0e}")
    title = (
        f"30 epochs on {dataset.name}, float32: largest difference of the training loss in any "
        "epoch from PyG / of PyG from itself with permuted edges (the largest share of what is "
        "allowed); the difference from PyG in float64"
    )
    return table(title, ["operator", *(f"depth {d}" for d in size.depths)], lines)


def of_float64(found: Mapping[Case, tuple[Parity, Rounding]]) -> tuple[str, dict[str, Any]]:
    """Which of the two in float32 is nearer to float64, by a sign test over the cases."""
    pairs = [(rounding.engine, rounding.plain) for _, rounding in found.values()]
    farther, nearer = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
    p = float(binomtest(farther, farther + nearer, alternative="greater").pvalue)
    text = (
        f"In float32 the engine is nearer to PyG in float64 than PyG in float32 is in {nearer} of "
        f"{len(pairs)} cases, farther in {farther} (p {p:.2f} that it is farther no more often).\n"
    )
    return text, bounded(row("all", "farther from float64, p", p), ">=", FALSE_ALARMS)


def of_missed(dataset: Dataset, found: Mapping[Case, tuple[Parity, Rounding]]) -> str:
    """What rounding does to the cases that are beyond the bound."""
    lines: dict[str, list[str]] = {}
    for case, (single, rounding) in found.items():
        if single.holds:
            continue
        others = [*parity_curves.themselves(case, dataset, renumbered)]
        numbers = (single.engine, single.bound, median(others), max(others))
        numbers += (rounding.engine, rounding.plain, rounding.exact)
        lines[str(case)] = [f"{number:.1e}" for number in numbers]
    if not lines:
        return "No case is beyond the bound.\n"
    title = (
        f"{len(lines)} of {len(found)} cases are beyond the bound: differences of the training loss"
    )
    columns = ["case", "engine and PyG", "allowed", "PyG and itself, nodes renumbered: median"]
    columns += ["largest", "engine and float64", "PyG and float64", "both in float64"]
    return table(title, columns, lines)


def itself(size: Size, dataset: Dataset) -> tuple[str, Rows]:
    """No target: it says how much the bound of the curves is worth."""
    lines: dict[str, list[str]] = {}
    cases = [*grid(size.operators, size.depths)]
    for case in cases:
        found = parity_curves.parity_of_itself(case, dataset)
        told(f"{case}: PyG, its nodes numbered otherwise: {found.engine:.1e} of {found.bound:.1e}")
        if not found.holds:
            lines[str(case)] = [f"{found.engine:.1e}", f"{found.bound:.1e}"]
    title = (
        f"PyG with its nodes numbered otherwise is beyond the bound in {len(lines)} of "
        f"{len(cases)} cases"
    )
    rows = [row("all", "PyG renumbered, beyond the bound", len(lines))]
    return table(title, ["case", "PyG and itself, nodes renumbered", "allowed"], lines), rows


def dropout(size: Size, dataset: Dataset) -> tuple[str, Rows]:
    graph, seeds = Graph(dataset, torch.float32, CPU), range(size.seeds)
    found: dict[tuple[str, str], Difference] = {}
    control: dict[str, float] = {}
    for operator in size.operators:
        case = Case(operator, 2)
        theirs = parity_dropout.plain_with_dropout(case, dataset, DROPOUT, seeds, size.epochs)
        ours = parity_dropout.with_dropout(case, graph, DROPOUT, seeds, size.epochs)
        twice = parity_dropout.with_dropout(case, graph, 2 * DROPOUT, seeds, size.epochs)
        found |= {(operator, n): d for n, d in parity_dropout.differences(ours, theirs).items()}
        control[operator] = min(d.p for d in parity_dropout.differences(twice, theirs).values())
        told(f"dropout, {operator}")
    ps = holm([difference.p for difference in found.values()])
    rows = list[Any]()
    lines: dict[str, list[str]] = {}
    for ((operator, name), one), p in zip(found.items(), ps, strict=True):
        told_p = f"p by Holm >= {FALSE_ALARMS}"
        ok = p >= FALSE_ALARMS
        rows.append(row(operator, f"dropout, {name}", one.mean, one.of, told_p, ok))
        half = one.interval[1] - one.mean
        lines.setdefault(operator, []).append(
            f"{one.of:.4f} {one.mean:+.4f} ± {half:.4f} ({p:.2f})"
        )
    for operator, p in control.items():
        # Bonferroni's correction is stricter than Holm's.
        corrected = min(1.0, p * len(found))
        doubled = row(operator, "control: dropout twice, p", corrected)
        rows.append(bounded(doubled, "<", FALSE_ALARMS))
        lines[operator].append(f"{corrected:.0e}")
    title = (
        f"{size.seeds} seeds of {size.epochs} epochs on {dataset.name}, depth 2, "
        f"dropout {DROPOUT}: PyG's mean, the engine's difference with its 95 % interval (p by "
        "Holm over all cells); and p of the control with dropout applied at twice the probability"
    )
    return table(title, ["operator", *parity_dropout.SUMMARIES, "control"], lines), rows


def controls(size: Size, dataset: Dataset) -> tuple[str, Rows]:  # noqa: ARG001 - of all sections
    """On the small graph always: there all fields are parts of it."""
    small = ring()
    graph, wrong = Graph(small, torch.float32, CPU), measure.faulty(small, torch.float32)
    rows, lines = list[Any](), dict[str, list[str]]()
    for operator in size.operators:
        graphs = [graph, *wrong.values()]
        sound, *faulty = parity_curves.parity(Case(operator, 2), graphs, parity_curves.PERMUTATIONS)
        lines[operator] = [f"{sound.engine:.0e}", f"{sound.bound:.0e}"]
        for name, one in zip(wrong, faulty, strict=True):
            lines[operator].append(f"{one.engine:.0e}")
            if measure.shows(operator, name):
                target = f"> {one.bound:.1e}"
                rows.append(
                    row(operator, f"control: {name}", one.engine, None, target, not one.holds)
                )
    title = f"Faults on purpose, {small.name}, depth 2: difference of the training loss from PyG"
    return table(title, ["operator", "none", "allowed", *wrong], lines), rows


def main() -> None:
    parser = command_line(__doc__, "300 nodes, four operators", DOCUMENT, SECTIONS)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    torch.set_num_threads(1)
    dataset = size.read(arguments.data_root)
    runs = {"first": first, "curves": curves, "itself": itself}
    runs |= {"dropout": dropout, "controls": controls}

    def run(section: str) -> tuple[str, Rows]:
        text, rows = runs[section](size, dataset)
        return f"{text}\n{platform.machine()}, torch {torch.__version__}, one thread\n", rows

    by_section(arguments, run, DOCUMENT, "The same numbers as PyTorch Geometric's")


if __name__ == "__main__":
    main()
