"""Web pages of three universities and their links: small and heterophilous.

Pei, Wei, Chang, Lei and Yang, "Geom-GCN: Geometric Graph Convolutional Networks", 2020.
"""

from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Le
from torch_geometric.datasets import WebKB

from evaluators.datasets._public import read_public
from evaluators.datasets._pyg import mask_column, node_dataset
from evaluators.datasets._raw import RawDataset
from evaluators.datasets._splits import Masks

LICENSE = "Not stated in the files that this program reads."


def build(
    root: Path,
    *,
    subset: Literal["cornell", "texas", "wisconsin"] = "texas",
    split: Annotated[int, Ge(0), Le(9)] = 0,
) -> RawDataset:
    """Read one of them.

    Args:
        root: with `WebKB/<subset>/raw`.
        subset: which.
        split: which of the ten public splits.

    Raises:
        DatasetError: it is not there and cannot be downloaded.
    """
    (data,) = read_public(WebKB, root, subset, name=subset)
    name = f"webkb {subset}"
    masks = (data.train_mask, data.val_mask, data.test_mask)
    chosen = Masks(*(mask_column(mask, split, name) for mask in masks))
    return node_dataset(data, data.y, chosen, name=name)
