"""Five graphs whose neighbors often differ in class.

Platonov, Kuznedelev, Diskin, Babenko and Prokhorenkova, "A Critical Look at the Evaluation of
GNNs under Heterophily", 2023. The three with two classes are measured by ROC-AUC, as there.
"""

from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Le
from torch_geometric.datasets import HeterophilousGraphDataset

from evaluators.datasets._public import read_public
from evaluators.datasets._pyg import mask_column, node_dataset
from evaluators.datasets._raw import Metric, RawDataset
from evaluators.datasets._splits import Masks

_TWO_CLASSES = ("minesweeper", "tolokers", "questions")

LICENSE = (
    "The repository of its publishers, github.com/yandex-research/heterophilous-graphs, is "
    "under the MIT license; four of the five are made of data of others (English Wikipedia, "
    "SNAP, Toloka, Yandex Q), whose terms are not stated there."
)


def build(
    root: Path,
    *,
    subset: Literal[
        "roman_empire", "amazon_ratings", "minesweeper", "tolokers", "questions"
    ] = "minesweeper",
    split: Annotated[int, Ge(0), Le(9)] = 0,
) -> RawDataset:
    """Read one of them.

    Args:
        root: with `HeterophilousGraphDataset/<subset>/raw`.
        subset: which.
        split: which of the ten public splits.

    Raises:
        DatasetError: it is not there and cannot be downloaded.
    """
    (data,) = read_public(HeterophilousGraphDataset, root, subset, name=subset)
    name = f"heterophilous {subset}"
    masks = (data.train_mask, data.val_mask, data.test_mask)
    chosen = Masks(*(mask_column(mask, split, name) for mask in masks))
    metric: Metric = "roc_auc" if subset in _TWO_CLASSES else "accuracy"
    return node_dataset(data, data.y, chosen, name=name, metric=metric)
