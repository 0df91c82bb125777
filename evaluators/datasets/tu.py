"""The TU collection: many small graphs to classify, such as MUTAG, PROTEINS and ENZYMES.

Morris et al., "TUDataset: A Collection of Benchmark Datasets for Learning with Graphs", 2020. Node
labels, one-hot, are the features; graphs that have none get a constant 1.
"""

import re
from pathlib import Path

import torch
from torch_geometric.datasets import TUDataset

from evaluators.datasets._base import DatasetError
from evaluators.datasets._public import read_public
from evaluators.datasets._pyg import class_labels, graph_dataset
from evaluators.datasets._raw import RawDataset
from evaluators.datasets._splits import Ratio, Seed, by_ratio

LICENSE = (
    "Not stated in the files that this program reads; each data set of the collection has a source "
    "of its own, named at chrsmrrs.github.io/datasets."
)


def build(
    root: Path,
    *,
    subset: str = "MUTAG",
    node_attributes: bool = False,
    train_ratio: Ratio = 0.8,
    val_ratio: Ratio = 0.1,
    seed: Seed = 0,
) -> RawDataset:
    """Read one of the collection.

    Args:
        root: with `TUDataset/<subset>/raw`.
        subset: which, by its name in the collection.
        node_attributes: whether continuous attributes of nodes are features too.
        train_ratio, val_ratio: shares of a split at random, stratified by class; the rest is test.
        seed: of the split.

    Raises:
        DatasetError: it is not there and cannot be downloaded; or it is for regression.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", subset):
        raise DatasetError(f'tu: expected a name of the collection such as "MUTAG", got "{subset}"')
    name = f"tu {subset}"
    graphs = read_public(TUDataset, root, subset, name=subset, use_node_attr=node_attributes)
    for graph in graphs:
        if graph.x is None or graph.x.size(1) == 0:
            graph.x = torch.ones(graph.num_nodes, 1)
    y = torch.cat([class_labels(graph.y, name) for graph in graphs])
    masks = by_ratio(y, train_ratio=train_ratio, val_ratio=val_ratio, seed=seed)
    return graph_dataset(graphs, y, masks, name=name)
