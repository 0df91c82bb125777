"""MoleculeNet: molecules to classify, such as BBBP (do they enter the brain?).

Wu et al., "MoleculeNet: A Benchmark for Molecular Machine Learning", 2018. Needs RDKit:
`pip install "gnn-nas[molecules]"`. Nine features of each atom, bonds as edges. The splits are at
random, stratified by class; the scaffold splits of the literature are harder.
"""

import importlib.util
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args

import torch
from annotated_types import Ge
from torch_geometric.datasets import MoleculeNet

from evaluators.datasets._base import UNKNOWN, DatasetError
from evaluators.datasets._public import read_public
from evaluators.datasets._pyg import graph_dataset
from evaluators.datasets._raw import RawDataset
from evaluators.datasets._splits import Ratio, Seed, by_ratio

Classification: TypeAlias = Literal[
    "BBBP", "BACE", "HIV", "ClinTox", "Tox21", "ToxCast", "SIDER", "MUV", "PCBA"
]
Regression: TypeAlias = Literal["ESOL", "FreeSolv", "Lipo"]

LICENSE = (
    "Not stated in the files that this program reads; DeepChem, which publishes them, is under the "
    "MIT license, and each data set has a source of its own, named at moleculenet.org."
)


def build(
    root: Path,
    *,
    subset: Literal[Classification, Regression] = "BBBP",
    target: Annotated[int, Ge(0)] = 0,
    train_ratio: Ratio = 0.8,
    val_ratio: Ratio = 0.1,
    seed: Seed = 0,
) -> RawDataset:
    """Read one of them.

    Args:
        root: with `MoleculeNet/<subset, lower case>/raw`.
        subset: which; ESOL, FreeSolv and Lipo are regression, which is refused so far.
        target: which column of labels, where a molecule has several (ClinTox, Tox21, ...).
        train_ratio, val_ratio: shares of a split at random, stratified by class; the rest is test.
        seed: of the split.

    Raises:
        DatasetError: RDKit or the files are missing; a regression set; no such target.
    """
    _check_readable(subset)
    graphs = read_public(MoleculeNet, root, subset.lower(), name=subset)
    labels = torch.cat([graph.y for graph in graphs])
    if target >= labels.size(1):
        raise DatasetError(
            f"molecule_net {subset} has the targets 0 to {labels.size(1) - 1}, got "
            f"target = {target}"
        )
    y = torch.nan_to_num(labels[:, target], nan=UNKNOWN).long()
    masks = by_ratio(y, train_ratio=train_ratio, val_ratio=val_ratio, seed=seed)
    return graph_dataset(graphs, y, masks, name=f"molecule_net {subset}", metric="roc_auc")


def _check_readable(subset: str) -> None:
    if subset in get_args(Regression):
        raise DatasetError(
            f"molecule_net {subset} is a regression set, and regression is not supported yet; "
            "take a classification set such as BBBP"
        )
    if importlib.util.find_spec("rdkit") is None:
        raise DatasetError(
            "molecule_net needs RDKit, which the extra `molecules` brings: "
            'pip install "gnn-nas[molecules]"'
        )
