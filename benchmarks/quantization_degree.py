"""Nodes of high degree that are spared rounding (Degree-Quant), on graphs with hubs and without.

Two graphs of the same classes and features: edges within a class are more likely; in one of them
nodes take part in edges by a power law, in the other all have as many. Networks that sum over
neighbors (GIN) have 4 bits. Degree-Quant as it was published is protection with ranges by
percentiles, held against plain quantization-aware training with moving extremes; both changes are
measured alone, too. The graph without hubs is the control: there is no degree to go by.
"""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from quantization_accuracy import interval
from quantization_parts import FULL, Trainer, uniform
from reporting import Row, bounded, row, table
from torch import Tensor

from evaluators.datasets import Dataset
from search_spaces.plugins import Plugin

NODES, CLASSES, FEATURES, DEGREE, NOISE = 1200, 4, 16, 12, 2.0
GIN: Mapping[str, Any] = {
    "depth": (2,),
    "operators": ("gin",),
    "width": (32,),
    "activation": ("relu",),
    "normalization": ("none",),
    "connectivity": ("plain",),
    "pre_layers": (0,),
    "post_layers": (0,),
    "output": ("linear",),
}
TRAINED = Plugin("training", {"epochs": 120, "dropout": 0.2})
PLAIN, SPARED = "plain: extremes", "Degree-Quant: protection and percentiles"
_PROTECTED: Mapping[str, Any] = {
    "protection": ("degree",),
    "protect_low": (0.0,),
    "protect_high": (0.2,),
}
WAYS: Mapping[str, Mapping[str, Any] | None] = {
    FULL: None,
    PLAIN: uniform(4, 4, observer=("ema",)),
    "protection alone": uniform(4, 4, observer=("ema",), **_PROTECTED),
    "percentiles alone": uniform(4, 4, observer=("percentile",)),
    SPARED: uniform(4, 4, observer=("percentile",), **_PROTECTED),
}
# Of the graph without hubs, how far off no difference the interval may reach.
EQUAL = 0.02
ROUNDS = 5


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    del data_root
    seeds = 5 if quick else 20
    found, texts = list[Row](), list[str]()
    for kind in ("hubs", "regular"):
        measured, text = _of_graph(kind, seeds, keep)
        found += measured
        texts.append(text)
    ratio = cost_ratio(2 if quick else ROUNDS)
    case = "Degree-Quant beside plain training, both with percentiles"
    found.append(bounded(row(case, "time of 20 epochs, ratio", ratio), "<=", 2.0))
    texts.append(f"Degree-Quant takes {ratio:.2f} times as long as plain training (<= 2 asked).\n")
    return found, "\n".join(texts)


def _of_graph(kind: str, seeds: int, keep: Path | None) -> tuple[list[Row], str]:
    dataset = planted(kind)
    recipe = {"graph": kind, "noise": NOISE, "nodes": NODES, "degree": DEGREE}
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(kind, dataset, recipe, GIN, TRAINED, Path(folder).as_uri(), keep)
        test = {label: trainer.test(label, bits, seeds) for label, bits in WAYS.items()}
    found, lines = list[Row](), {}
    for label, values in test.items():
        case = f"{kind}, {seeds} seeds, {label}"
        found.append(row(case, "test accuracy", fmean(values)))
        lines[label] = [f"{fmean(values):.4f}", "", ""]
        if label in (FULL, PLAIN):
            continue
        more = [a - b for a, b in zip(values, test[PLAIN], strict=True)]
        low, high = interval(more, 0.05)
        lines[label][1:] = [f"{fmean(more):+.4f}", f"{low:+.4f} to {high:+.4f}"]
        if label == SPARED and kind == "hubs":
            found.append(bounded(row(case, "lower end, less plain", low), ">", 0.0))
        elif label == SPARED:
            furthest = max(abs(low), abs(high))
            found.append(bounded(row(case, "furthest end, less plain", furthest), "<", EQUAL))
    degrees = torch.bincount(dataset.edge_index[1])
    title = (
        f"{kind}: {NODES} nodes, degrees from {int(degrees.min())} to {int(degrees.max())}: test "
        f"accuracy of a GIN with 4 bits, {seeds} seeds"
    )
    return found, table(title, ("", "test", "less plain", "95 % interval"), lines)


def cost_ratio(rounds: int) -> float:
    """Times of training with protection and without, in turns; the ratio of the shortest."""
    dataset, spent = planted("hubs"), dict[str, list[float]]()
    short = Plugin("training", {**TRAINED.options, "epochs": 20})
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer("hubs", dataset, {}, GIN, short, Path(folder).as_uri(), None)
        for _ in range(rounds):
            for label in ("percentiles alone", SPARED):
                began = time.process_time()
                trainer.test(label, WAYS[label], 1)
                spent.setdefault(label, []).append(time.process_time() - began)
    return min(spent[SPARED]) / min(spent["percentiles alone"])


def planted(kind: str, seed: int = 0) -> Dataset:
    """A graph with classes; `hubs` or `regular`.

    Of six rounds in which each node gets an edge to and an edge from another one, five stay within
    its class. In the graph with hubs who that other one is follows a power law.
    """
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(NODES) % CLASSES
    ends = [_ends(kind, y, rng, across=number == 0) for number in range(DEGREE // 2)]
    edges = torch.cat(ends, dim=1)
    x = NOISE * torch.randn(NODES, FEATURES, generator=rng)
    x[torch.arange(NODES), y] += 1.0
    third = torch.arange(NODES) // CLASSES % 3
    return Dataset(
        name=kind,
        kind="node_classification",
        x=x,
        edge_index=torch.cat([edges, edges.flip(0)], dim=1),
        y=y,
        train=third == 0,
        val=third == 1,
        test=third == 2,
        n_classes=CLASSES,
        fingerprint=f"degree-{kind}-{seed}",
    )


def _ends(kind: str, y: Tensor, rng: torch.Generator, *, across: bool) -> Tensor:
    """[2, N]: of each node one edge."""
    target = torch.empty_like(y)
    for c in range(1 if across else CLASSES):
        nodes = torch.arange(NODES) if across else (y == c).nonzero()[:, 0]
        if kind == "regular":
            target[nodes] = nodes[torch.randperm(nodes.numel(), generator=rng)]
        else:
            weights = torch.arange(1, nodes.numel() + 1).float() ** -1.0
            drawn = torch.multinomial(weights, nodes.numel(), replacement=True, generator=rng)
            target[nodes] = nodes[drawn]
    return torch.stack([torch.arange(NODES), target])
