"""What networks of few bits reach on test, less full precision, paired by seed.

Intervals are simultaneous: each is of the level 1 - 0.05 / m for m cells, which is Holm's first and
strictest step, so that all of them hold at once with 95 %. The control has one bit, and ten seeds.
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
    cells = len(graphs) * len(BOUNDS)
    found, texts = list[Row](), list[str]()
    for name in graphs:
        measured, text = _of_graph(name, seeds, cells, data_root, keep)
        found += measured
        texts.append(text)
    return found, "\n".join(texts)


def _of_graph(
    name: str, seeds: int, cells: int, data_root: Path, keep: Path | None
) -> tuple[list[Row], str]:
    data = DATA[name]
    recipe = {"name": data.name, **data.options}
    evaluator = Plugin("training", RECIPES[name])
    with tempfile.TemporaryDirectory() as folder:
        dataset = load(data, data_root)
        space = {**GCN, "width": (WIDTHS[name],)}
        trainer = Trainer(name, dataset, recipe, space, evaluator, Path(folder).as_uri(), keep)
        counts = {label: seeds if label in (FULL, *BOUNDS) else min(seeds, 10) for label in WAYS}
        test = {label: trainer.test(label, bits, counts[label]) for label, bits in WAYS.items()}
    found, lines = list[Row](), {}
    for label, values in test.items():
        less = [a - b for a, b in zip(values, test[FULL], strict=False)]
        case = f"{name}, {label}"
        found.append(row(case, "test accuracy", fmean(values)))
        if label == FULL:
            lines[label] = [f"{fmean(values):.4f}", "", "", ""]
            continue
        low, high = interval(less, ALPHA / cells)
        lower = row(case, "lower end, less full precision", low)
        bound = BOUNDS.get(label)
        if bound is None:
            # Seen to be worse, or nothing could be.
            found.append(bounded(row(case, "upper end, less full precision", high), "<", -0.015))
        else:
            found.append(bounded(lower, ">=", bound))
        asked = "" if bound is None else f">= {bound:+.3f}"
        lines[label] = [
            f"{fmean(values):.4f}",
            f"{fmean(less):+.4f}",
            f"{low:+.4f} to {high:+.4f}",
            asked,
        ]
    title = (
        f"{name}: test accuracy of a GCN of {WIDTHS[name]} channels, {RECIPES[name]['epochs']} "
        f"epochs, {seeds} seeds, intervals that hold for {cells} cells together"
    )
    columns = ("", "test", "less full precision", "interval", "lower end asked")
    return found, table(title, columns, lines)


def interval(differences: list[float], alpha: float) -> tuple[float, float]:
    """Of the mean of paired differences, by Student's t, of the level 1 - alpha."""
    n = len(differences)
    half = float(t.ppf(1 - alpha / 2, n - 1)) * stdev(differences) / n**0.5
    return fmean(differences) - half, fmean(differences) + half
