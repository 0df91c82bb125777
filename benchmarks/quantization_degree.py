"""Nodes of high degree that are spared rounding (Degree-Quant), on graphs with hubs and without.

Two graphs of the same classes and features: edges within a class are more likely; in one of them
nodes take part in edges by a power law, in the other all have as many. Networks that sum over
neighbors (GIN) have 4 bits; what is compared is training with protection less training without,
paired by seed. The graph without hubs is the control: there is no degree to go by.
"""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
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

NODES, CLASSES, FEATURES, DEGREE = 1200, 4, 16, 12
GIN: Mapping[str, Any] = {
    "depth": (2,),
    "operators": ("gin",),
    "width": (32,),
    "activation": ("relu",),
    "normalization": ("batch",),
    "connectivity": ("plain",),
    "pre_layers": (0,),
    "post_layers": (0,),
    "output": ("linear",),
}
TRAINED = Plugin("training", {"epochs": 120, "dropout": 0.2})
PLAIN = "plain, W4A4"
SPARED = "protected, W4A4"


def planted(kind: str, seed: int = 0) -> Dataset:
    """A graph with classes; `hubs` or `regular`.

    Of six rounds in which each node gets an edge to and an edge from another one, five stay within
    its class. In the graph with hubs who that other one is follows a power law.
    """
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(NODES) % CLASSES
    ends = [_ends(kind, y, rng, across=number == 0) for number in range(DEGREE // 2)]
    edges = torch.cat(ends, dim=1)
    x = 0.9 * torch.randn(NODES, FEATURES, generator=rng)
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
