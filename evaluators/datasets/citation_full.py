"""Full citation graphs: Cora, Cora_ML, CiteSeer, DBLP, PubMed.

Bojchevski and Guennemann, "Deep Gaussian Embedding of Graphs", 2018.
Their edges are undirected here.
"""

from pathlib import Path
from typing import Literal

from torch_geometric.datasets import CitationFull

from evaluators.datasets._public import read_public
from evaluators.datasets._pyg import node_dataset
from evaluators.datasets._raw import RawDataset
from evaluators.datasets._splits import Count, Ratio, Seed, by_class_or_ratio

LICENSE = (
    "Its publishers state none for the data itself; the repository that holds the files, "
    "github.com/abojchevski/graph2gauss, is under the MIT license."
)


def build(
    root: Path,
    *,
    subset: Literal["Cora", "Cora_ML", "CiteSeer", "DBLP", "PubMed"] = "Cora_ML",
    labels_per_class: Count | None = None,
    val_per_class: Count | None = None,
    train_ratio: Ratio | None = None,
    val_ratio: Ratio | None = None,
    seed: Seed = 0,
) -> RawDataset:
    """Read one of them.

    Args:
        root: with `CitationFull/<subset>/raw`.
        subset: which.
        labels_per_class, val_per_class: sizes of a random split, 20 and 30 by default; or
        train_ratio, val_ratio: its shares. The rest is test.
        seed: of the split; there is no public one.

    Raises:
        DatasetError: it is not there and cannot be downloaded; or a class is too small.
    """
    (data,) = read_public(CitationFull, root, subset.lower(), name=subset)
    masks = by_class_or_ratio(
        data.y,
        labels_per_class=labels_per_class,
        val_per_class=val_per_class,
        train_ratio=train_ratio,
        val_ratio=val_ratio,
        seed=seed,
    )
    return node_dataset(data, data.y, masks, name=f"citation_full {subset}")
