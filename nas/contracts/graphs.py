"""Small planted graphs: one to classify the nodes of, a set of them, and one to spoil."""

from dataclasses import replace
from typing import Any

import torch

from evaluators.datasets import Dataset, RawDataset


def node_graph(nodes: int = 90, classes: int = 3, seed: int = 0, **fields: Any) -> Dataset:
    """A planted partition: most edges within a class, features that lean towards it."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(nodes) % classes
    source = torch.randint(nodes, (nodes * 6,), generator=rng)
    target = torch.randint(nodes, (nodes * 6,), generator=rng)
    kept = (y[source] == y[target]) | (torch.rand(nodes * 6, generator=rng) < 0.1)
    edges = torch.stack([source[kept], target[kept]])
    x = torch.randn(nodes, 6, generator=rng)
    x[torch.arange(nodes), y] += 1.5
    third = torch.arange(nodes) // classes % 3
    made = Dataset(
        name="planted",
        kind="node_classification",
        x=x,
        edge_index=torch.cat([edges, edges.flip(0)], 1),
        y=y,
        train=third == 0,
        val=third == 1,
        test=third == 2,
        n_classes=classes,
        fingerprint="planted",
    )
    return replace(made, **fields)


def graph_set(graphs: int = 60, seed: int = 0, **fields: Any) -> Dataset:
    """Many small graphs of two classes, of 1 to 6 nodes; the edges are not sorted by graph."""
    rng = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, 7, (graphs,), generator=rng)
    graph_ids = torch.arange(graphs).repeat_interleave(sizes)
    starts = sizes.cumsum(0) - sizes
    nodes = int(sizes.sum())
    source = torch.randperm(nodes, generator=rng)
    step = torch.randint(6, (nodes,), generator=rng)
    target = starts[graph_ids[source]] + step % sizes[graph_ids[source]]
    y = torch.arange(graphs) % 2
    x = torch.randn(nodes, 4, generator=rng)
    x[:, 0] += 3.0 * y[graph_ids]
    third = torch.arange(graphs) // 2 % 3
    made = Dataset(
        name="many",
        kind="graph_classification",
        x=x,
        edge_index=torch.stack([source, target]),
        y=y,
        train=third == 0,
        val=third == 1,
        test=third == 2,
        n_classes=2,
        fingerprint="many",
        graph_ids=graph_ids,
    )
    return replace(made, **fields)


def path() -> RawDataset:
    """Ten nodes in a path, two classes; the last node has no label and is in no split."""
    ends = torch.arange(9)
    return RawDataset(
        name="path",
        kind="node_classification",
        x=torch.arange(20, dtype=torch.float32).reshape(10, 2),
        edge_index=torch.stack([ends, ends + 1]),
        y=torch.tensor([0, 1, 0, 1, 0, 1, 0, 1, 0, -1]),
        train=mask(10, 0, 1, 2, 3),
        val=mask(10, 4, 5),
        test=mask(10, 6, 7, 8),
        n_classes=2,
    )


def mask(size: int, *chosen: int) -> torch.Tensor:
    """[size] bool, true for the chosen."""
    made = torch.zeros(size, dtype=torch.bool)
    made[list(chosen)] = True
    return made
