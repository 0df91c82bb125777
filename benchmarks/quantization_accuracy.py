"""What networks of few bits reach on test, less full precision, paired by seed.

Intervals are Holm's: of m cells the one that is furthest above its bound has the level 1 - 0.05/m,
the next 1 - 0.05/(m - 1), and so on, so that all bounds are kept together with an error of 5 %.
Beside them stand intervals that hold for all cells at once (Bonferroni), which are wider than that
takes. The control has one bit, and ten seeds.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from quantization_parts import FULL, Trainer, uniform
from reporting import Row, bounded, row, table
from scipy.stats import t
from supernet_parts import DATA

from evaluators.datasets import load
from search_spaces.plugins import Plugin

ALPHA = 0.05
GCN: Mapping[str, Any] = {
    "depth": (1,),
    "operators": ("gcn",),
    "activation": ("relu",),
    "normalization": ("none",),
    "pre_layers": (0,),
    "post_layers": (0,),
    "output": ("gcn",),
}
# What is trained of each graph: epochs and the learning rate; raw features want smaller steps.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "Cora": {"epochs": 200},
    "CiteSeer": {"epochs": 200},
    "Photo": {"epochs": 150, "lr": 0.005},
}
WIDTHS: Mapping[str, int] = {"Cora": 64, "CiteSeer": 64, "Photo": 32}
WAYS: Mapping[str, Mapping[str, Any] | None] = {
    FULL: None,
    "W8A8": uniform(8, 8),
    "W4A8": uniform(4, 8),
    "W1A1 (control)": uniform("binary", "binary"),
}
# The lower end of the interval of the difference.
BOUNDS: Mapping[str, float] = {"W8A8": -0.010, "W4A8": -0.015}


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    graphs, seeds = (("Cora",), 5) if quick else (tuple(RECIPES), 30)
    test = {name: _test(name, seeds, data_root, keep) for name in graphs}
    cells = {(name, label): _less(test[name], label) for name in graphs for label in BOUNDS}
    alphas = levels(cells, BOUNDS)
    found, texts = list[Row](), list[str]()
    for name in graphs:
        lines = {}
        for label, values in test[name].items():
            case, cell = f"{name}, {label}", (name, label)
            found.append(row(case, "test accuracy", fmean(values)))
            lines[label] = [f"{fmean(values):.4f}", *[""] * 4]
            if label == FULL:
                continue
            less = _less(test[name], label)
            alpha = alphas.get(cell, ALPHA / len(cells))
            low, high = interval(less, alpha)
            lines[label][1:3] = [f"{fmean(less):+.4f}", f"{low:+.4f} to {high:+.4f}"]
            if label in BOUNDS:
                at_once, _ = interval(less, ALPHA / len(cells))
                lines[label][3:] = [f">= {BOUNDS[label]:+.3f}", f"{at_once:+.4f}"]
                found.append(row(case, "lower end, all cells at once", at_once))
                lower = row(case, "lower end, less full precision", low)
                found.append(bounded(lower, ">=", BOUNDS[label]))
            else:
                # Seen to be worse, or nothing could be.
                upper = row(case, "upper end, less full precision", high)
                found.append(bounded(upper, "<", min(BOUNDS.values())))
        title = (
            f"{name}: test accuracy of a GCN of {WIDTHS[name]} channels, "
            f"{RECIPES[name]['epochs']} epochs, {seeds} seeds"
        )
        asked = "lower end asked", "lower end, all cells at once"
        columns = "", "test", "less full precision", "interval", *asked
        texts.append(table(title, columns, lines))
    return found, "\n".join(texts)


def _test(name: str, seeds: int, data_root: Path, keep: Path | None) -> dict[str, list[float]]:
    """Test accuracy on one graph, of each way and seed."""
    data = DATA[name]
    recipe = {"name": data.name, **data.options}
    evaluator = Plugin("training", RECIPES[name])
    counts = {label: seeds if label in (FULL, *BOUNDS) else min(seeds, 10) for label in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        space = {**GCN, "width": (WIDTHS[name],)}
        store = Path(folder).as_uri()
        trainer = Trainer(name, load(data, data_root), recipe, space, evaluator, store, keep)
        return {label: trainer.test(label, bits, counts[label]) for label, bits in WAYS.items()}


def _less(test: Mapping[str, list[float]], label: str) -> list[float]:
    """Of each seed, what is reached less what full precision reaches."""
    return [a - b for a, b in zip(test[label], test[FULL], strict=False)]


def levels(
    cells: Mapping[tuple[str, str], list[float]], bounds: Mapping[str, float]
) -> dict[tuple[str, str], float]:
    """Of each cell, of a graph and a way, the error of its interval, by Holm's steps.

    Args:
        cells: paired differences.
        bounds: by way, that the lower ends are asked to reach.
    """

    def chance(cell: tuple[str, str]) -> float:
        """Of the mean, were the difference at its bound."""
        less = cells[cell]
        error = max(stdev(less), 1e-12) / len(less) ** 0.5
        return float(t.sf((fmean(less) - bounds[cell[1]]) / error, len(less) - 1))

    return {cell: ALPHA / (len(cells) - i) for i, cell in enumerate(sorted(cells, key=chance))}


def interval(differences: list[float], alpha: float) -> tuple[float, float]:
    """Of the mean of paired differences, by Student's t, of the level 1 - alpha."""
    n = len(differences)
    half = float(t.ppf(1 - alpha / 2, n - 1)) * stdev(differences) / n**0.5
    return fmean(differences) - half, fmean(differences) + half
