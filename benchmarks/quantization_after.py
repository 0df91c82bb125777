"""Trained networks rounded without training them: to nearest, and by FlexRound.

A GCN of two layers and 64 channels on Cora, features divided by the sums of their rows. Each
trained network is brought to few bits by both methods on its graph, without a label, by the
defaults of `nas quantize`. Measured is validation, as `nas quantize` does: of the epoch that was
chosen by it, so that full precision has the better of it. One network has too little to say;
differences are paired by the seed of training, with intervals by Student's t.

Judged is the case that learning is for, weights of 2 bits with activations of 8. What the others
give is told as it comes: with more bits there is little to learn.
"""

import tempfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from typing import Any

from gradient_keeping import configured, kept
from quantization_accuracy import ALPHA, GCN, RECIPES, WIDTHS, interval
from quantization_parts import FULL, Trainer
from reporting import Row, bounded, row, table, told
from supernet_parts import DATA
from torch import nn

from evaluators.datasets import Dataset, load
from evaluators.metrics import split_metrics
from nas.confirm import FRESH_SEEDS
from nas.quantizing import Manner, Method, quantized_network
from search_spaces.plugins import Plugin

GRAPH = "Cora"
# Bits of weights and of activations.
BITS = (("8", "8"), ("4", "8"), ("2", "8"), ("4", "4"), ("2", "4"))
JUDGED = ("2", "8")
METHODS: tuple[Method, ...] = ("nearest", "flexround")
# Accuracies and losses of validation, by seed.
Measured = Mapping[str, list[float]]


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    """Rows and a table; what each network of few bits reached is kept."""
    data, seeds = DATA[GRAPH], [FRESH_SEEDS + seed for seed in range(1 if quick else 5)]
    evaluator = Plugin("training", RECIPES[GRAPH])
    with tempfile.TemporaryDirectory() as folder:
        dataset = load(data, data_root).seal()
        recipe = {"name": data.name, **data.options}
        options = {**GCN, "width": (WIDTHS[GRAPH],)}
        store = Path(folder).as_uri()
        trainer = Trainer(GRAPH, dataset, recipe, options, evaluator, store, keep)
        space, found = trainer.network(None)

        @cache
        def networks() -> list[nn.Module]:
            return trainer.networks(space, found, seeds)

        def measured(label: str, manner: Manner | None) -> Measured:
            whole = {
                "data": recipe,
                "architecture": dict(found.choices),
                "evaluator": configured("evaluator", evaluator),
                "seeds": seeds,
                "manner": None if manner is None else vars(manner),
            }
            make = partial(_measured, networks, manner, dataset, label)
            return kept(keep, f"after-{label}-{len(seeds)}", whole, make)

        full = measured("full", None)
        few = {
            (*bits, method): measured(f"W{bits[0]}A{bits[1]}-{method}", Manner(*bits, method))
            for bits in BITS
            for method in METHODS
        }
    return said(full, few)


def _measured(
    networks: Callable[[], list[nn.Module]], manner: Manner | None, dataset: Dataset, label: str
) -> dict[str, Any]:
    found: dict[str, list[float]] = {"accuracy": [], "loss": []}
    for network in networks():
        rounded = network if manner is None else quantized_network(network, dataset, manner)
        values = split_metrics(rounded, dataset, "val")
        for name, of_each in found.items():
            of_each.append(float(values[name]))
    told(f"{GRAPH}, {label}: validation {fmean(found['accuracy']):.4f}")
    return found


def said(full: Measured, few: Mapping[tuple[str, str, Method], Measured]) -> tuple[list[Row], str]:
    """Rows and a table.

    Args:
        full: what full precision reaches.
        few: bits of weights, of activations, method: what it reaches.
    """
    seeds = len(full["accuracy"])
    case = f"{GRAPH}, {FULL}"
    made = [row(case, f"validation {name}", fmean(values)) for name, values in full.items()]
    lines = {FULL: [_both(full), "", "", ""]}
    for weight, activation in BITS:
        nearest, flex = (few[weight, activation, method] for method in METHODS)
        case = f"{GRAPH}, W{weight}A{activation}"
        for method, found in zip(METHODS, (nearest, flex), strict=True):
            made += [
                row(case, f"validation {name}, {method}", fmean(found[name]), fmean(full[name]))
                for name in full
            ]
        differences = {n: [b - a for a, b in zip(nearest[n], flex[n], strict=True)] for n in full}
        # Of one seed there is no interval, and nothing is judged.
        ends = {n: interval(d, ALPHA) if seeds > 1 else None for n, d in differences.items()}
        low = ends["accuracy"]
        if low is not None:
            lower = row(case, "lower end of the 95 % interval, flexround less nearest", low[0])
            bound = 0.0 if (weight, activation) == JUDGED else None
            made.append(bounded(lower, ">", bound))
        lines[f"W{weight}A{activation}"] = [
            _both(nearest),
            _both(flex),
            *(_difference(differences[name], ends[name]) for name in ("accuracy", "loss")),
        ]
    title = (
        f"{GRAPH}, GCN of {WIDTHS[GRAPH]} channels, {seeds} seed{'s' * (seeds > 1)}: validation "
        "accuracy, loss; differences are flexround less nearest, with 95 % intervals"
    )
    columns = ("", "nearest", "flexround", "difference of accuracy", "of loss")
    return made, table(title, columns, lines)


def _both(found: Measured) -> str:
    return f"{fmean(found['accuracy']):.4f}, {fmean(found['loss']):.3f}"


def _difference(values: list[float], ends: tuple[float, float] | None) -> str:
    shown = f"{fmean(values):+.4f}"
    return shown if ends is None else f"{shown} ({ends[0]:+.4f} to {ends[1]:+.4f})"
