"""Amazon Computers and Photo: products that are bought together.

Shchur, Mumme, Bojchevski and Guennemann, "Pitfalls of Graph Neural Network Evaluation", 2018.
"""

from pathlib import Path
from typing import Literal

from torch_geometric.datasets import Amazon

from evaluators.datasets._public import read_public
from evaluators.datasets._pyg import node_dataset
from evaluators.datasets._raw import RawDataset
from evaluators.datasets._splits import Count, Ratio, Seed, by_class_or_ratio

LICENSE = (
    "Its publishers state none for the data itself, which is made of data on Amazon of McAuley et "
    "al., 2015; the repository that holds the files, github.com/shchur/gnn-benchmark, is under the "
    "MIT license."
)


def build(
    root: Path,
    *,
    subset: Literal["Computers", "Photo"] = "Photo",
    labels_per_class: Count | None = None,
    val_per_class: Count | None = None,
    train_ratio: Ratio | None = None,
    val_ratio: Ratio | None = None,
    seed: Seed = 0,
) -> RawDataset:
    """Read one of them.

    Args:
        root: with `Amazon/<subset>/raw`.
        subset: which.
        labels_per_class, val_per_class: sizes of a random split, 20 and 30 by default; or
        train_ratio, val_ratio: its shares. The rest is test.
        seed: of the split; there is no public one.

    Raises:
        DatasetError: it is not there and cannot be downloaded; or a class is too small.
    """
    (data,) = read_public(Amazon, root, subset, name=subset)
    masks = by_class_or_ratio(
        data.y,
        labels_per_class=labels_per_class,
        val_per_class=val_per_class,
        train_ratio=train_ratio,
        val_ratio=val_ratio,
        seed=seed,
    )
    return node_dataset(data, data.y, masks, name=f"amazon {subset}")
