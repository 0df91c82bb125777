"""Cora, CiteSeer and PubMed: papers, their citations and words.

Sen et al., "Collective Classification in Network Data", 2008; splits of Yang, Cohen and
Salakhutdinov, "Revisiting Semi-Supervised Learning with Graph Embeddings", 2016. The public raw
files are pickles, read by PyG.
"""

from pathlib import Path
from typing import Literal

from torch_geometric.datasets import Planetoid

from evaluators.datasets._public import read_public
from evaluators.datasets._pyg import node_dataset
from evaluators.datasets._raw import RawDataset
from evaluators.datasets._splits import Masks, Seed, by_class

LICENSE = (
    "Its publishers state none for the data itself; the repository that holds the files, "
    "github.com/kimiyoung/planetoid, is under the MIT license."
)


def build(
    root: Path,
    *,
    subset: Literal["Cora", "CiteSeer", "PubMed"] = "Cora",
    split: Literal["public", "full", "random"] = "public",
    seed: Seed = 0,
) -> RawDataset:
    """Read one of the three.

    Args:
        root: with `Planetoid/<subset>/raw`.
        subset: which.
        split: public (20 labels a class, 500 val, 1,000 test); full (the same val and test, all
            other nodes for training); random (sizes of public, drawn with `seed`).
        seed: of the random split.

    Raises:
        DatasetError: it is not there and cannot be downloaded.
    """
    (data,) = read_public(Planetoid, root, subset, name=subset)
    masks = Masks(data.train_mask, data.val_mask, data.test_mask)
    if split == "full":
        masks = masks._replace(train=~(masks.val | masks.test))
    elif split == "random":
        masks = by_class(data.y, labels_per_class=20, val=500, test=1000, seed=seed)
    return node_dataset(data, data.y, masks, name=f"planetoid {subset}")
