"""What subnetworks reach on test, less the dense network and less chance, paired by seed.

Half of the weights and four fifths of the edges are left. The default method is judged: the lower
end of the interval of its difference to the dense network, by Holm's steps over the graphs, is to
be at or above -0.010. All methods stand beside a random choice of as many weights and edges, with
95 % intervals of the difference, each by itself: the table says which are above it, and says of all
others that they do not beat it. Methods but the default have ten seeds, chance and the dense
network as many as the default; on Photo, which takes longest, only these three stand. The control
for the bound leaves 2 % of the weights by chance.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from quantization_accuracy import ALPHA, GCN, RECIPES, WIDTHS, interval, levels
from quantization_parts import Trainer
from reporting import Row, bounded, row, table
from supernet_parts import DATA

from evaluators.datasets import load
from search_spaces.plugins import Plugin

DENSE, DEFAULT, CHANCE, CONTROL = "dense", "granet", "random", "2 % by chance (control)"
OTHERS = ("magnitude", "lottery", "snip", "grasp", "synflow", "rigl", "dynamic")
LESS = f"less dense, 95 % ({DEFAULT}: Holm)"
BOUND, LARGEST = -0.010, "Photo"
_LEFT = {"weight_density": (0.5,), "edge_density": (0.8,)}


def ways(epochs: int) -> dict[str, Mapping[str, Any] | None]:
    """Options of the extension, and epochs of a run, by what is trained."""
    found: dict[str, Mapping[str, Any] | None] = {DENSE: None}
    found |= {name: {"method": (name,), **_LEFT} for name in (DEFAULT, CHANCE, *OTHERS)}
    # Each of five rounds as long as a run.
    found["lottery"] = {"method": ("lottery",), **_LEFT, "over_epochs": (epochs,), "rounds": (5,)}
    found[CONTROL] = {"method": (CHANCE,), "weight_density": (0.02,)}
    return found


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    graphs, seeds = (("Cora",), 3) if quick else (tuple(RECIPES), 30)
    test = {name: _test(name, seeds, quick, data_root, keep) for name in graphs}
    cells = {(name, DEFAULT): _less(test[name], DEFAULT, DENSE) for name in graphs}
    alphas = levels(cells, {DEFAULT: BOUND})
    found, texts = list[Row](), list[str]()
    for name in graphs:
        lines = {}
        for label, values in test[name].items():
            case = f"{name}, {label}"
            found.append(row(case, "test accuracy", fmean(values)))
            lines[label] = [f"{fmean(values):.4f}", str(len(values)), "", "", ""]
            if label == DENSE:
                continue
            less = _less(test[name], label, DENSE)
            low, high = interval(less, alphas.get((name, label), ALPHA))
            lines[label][2] = f"{fmean(less):+.4f} ({low:+.4f} to {high:+.4f})"
            if label == DEFAULT:
                found.append(bounded(row(case, "lower end, less dense", low), ">=", BOUND))
            if label == CONTROL:
                found.append(bounded(row(case, "upper end, less dense", high), "<", BOUND))
            elif label != CHANCE:
                more = _less(test[name], label, CHANCE)
                low, high = interval(more, ALPHA)
                lines[label][3] = f"{fmean(more):+.4f} ({low:+.4f} to {high:+.4f})"
                lines[label][4] = "beats chance" if low > 0 else "does not beat chance"
                found.append(row(case, "lower end, more than random", low))
        title = (
            f"{name}: test accuracy with half the weights and 0.8 of the edges, a GCN of "
            f"{WIDTHS[name]} channels, {RECIPES[name]['epochs']} epochs"
        )
        columns = "", "test", "seeds", LESS, "more than random, 95 %", ""
        texts.append(table(title, columns, lines))
    return found, "\n".join(texts)


def _test(
    name: str, seeds: int, quick: bool, data_root: Path, keep: Path | None
) -> dict[str, list[float]]:
    """Test accuracy on one graph, of each way and seed."""
    data, recipe = DATA[name], RECIPES[name]
    epochs = int(recipe["epochs"])
    found = dict[str, list[float]]()
    with tempfile.TemporaryDirectory() as folder:
        for label, given in ways(epochs).items():
            if (label in OTHERS[1:] and quick) or (label in (*OTHERS, CONTROL) and name == LARGEST):
                continue
            total = 6 * epochs if label == "lottery" else epochs
            trainer = Trainer(
                name,
                load(data, data_root),
                {"name": data.name, **data.options},
                {**GCN, "width": (WIDTHS[name],)},
                Plugin("training", {**recipe, "epochs": total}),
                Path(folder).as_uri(),
                keep,
                "sparsity",
            )
            count = seeds if label in (DENSE, DEFAULT, CHANCE) else min(seeds, 10)
            found[label] = trainer.test(label, given, count)
    return found


def _less(test: Mapping[str, list[float]], label: str, other: str) -> list[float]:
    return [a - b for a, b in zip(test[label], test[other], strict=False)]
