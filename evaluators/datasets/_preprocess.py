"""Preprocessing: the options that every dataset accepts, and the fingerprint."""

import hashlib
from dataclasses import replace

import torch
from torch import Tensor
from torch_geometric.utils import to_undirected

from evaluators.datasets._base import Dataset, DatasetError, Normalization, Preprocessing
from evaluators.datasets._checks import check
from evaluators.datasets._raw import Metric, RawDataset
from search_spaces.canonical import canonical_json

# Raise it when the same graph and options are prepared to other numbers than before.
_PREPARATION_VERSION = 1


def preprocess(
    raw: RawDataset,
    *,
    normalize: Normalization = "none",
    undirected: bool = False,
    class_weights: bool = False,
    metric: Metric | None = None,
) -> Dataset:
    """Check a dataset and apply the options that a study file may give for any of them.

    Args:
        raw: what a plug-in's `build` returned.
        normalize: of features: none; row (each row divided by its sum, rows of zeros kept);
            standardize (minus the mean, over the deviation, both of the training nodes; a constant
            column is only shifted).
        undirected: give each edge its reverse; edges that occur twice become one.
        class_weights: weigh a class in the loss by n / (C n_c), for n_c of n training labels over
            the C classes that have any; classes without get 1.
        metric: of validation, chooses the epoch; None for the dataset's own.

    Raises:
        DatasetError: see `check`; or row normalization of negative features.
    """
    raw = replace(raw, metric=metric or raw.metric)
    check(raw)
    mean, std = _train_moments(raw) if normalize == "standardize" else (None, None)
    preprocessing = Preprocessing(normalize, undirected, mean, std)
    x, edge_index = preprocess_graph(raw.x, raw.edge_index, preprocessing)
    return Dataset(
        **(vars(raw) | {"x": x, "edge_index": edge_index}),
        fingerprint=_fingerprint(raw, normalize, undirected, class_weights),
        preprocessing=preprocessing,
        class_weights=_balanced_weights(raw) if class_weights else None,
    )


def preprocess_graph(
    x: Tensor, edge_index: Tensor, preprocessing: Preprocessing
) -> tuple[Tensor, Tensor]:
    """Features [N, F] and edges [2, E] of any graph, prepared as the training graph was.

    Raises:
        DatasetError: row normalization of negative features, or another number of features.
    """
    if preprocessing.features == "row":
        x = _divided_by_row_sum(x)
    elif preprocessing.features == "standardize":
        if preprocessing.mean is None or preprocessing.std is None:
            raise ValueError("standardize needs the mean and deviation of the training nodes")
        if x.size(1) != preprocessing.mean.numel():
            raise DatasetError(
                f"expected {preprocessing.mean.numel()} features, got {x.size(1)} columns of x"
            )
        x = (x - preprocessing.mean) / preprocessing.std
    if preprocessing.undirected:
        edge_index = to_undirected(edge_index, num_nodes=x.size(0))
    return x, edge_index


def _divided_by_row_sum(x: Tensor) -> Tensor:
    if (x < 0).any():
        row, column = (x < 0).nonzero()[0].tolist()
        raise DatasetError(
            f'normalize = "row" needs features of 0 or more, got {float(x[row, column])} in row '
            f'{row}, column {column}; use normalize = "standardize"'
        )
    total = x.sum(dim=1, keepdim=True)
    return x / torch.where(total == 0, torch.ones_like(total), total)


def _train_moments(raw: RawDataset) -> tuple[Tensor, Tensor]:
    """Mean and deviation [F] of the nodes of the training split: no other node enters them."""
    chosen = raw.train if raw.graph_ids is None else raw.train[raw.graph_ids]
    if not chosen.any():
        raise DatasetError(f"{raw.name}: the training graphs have no nodes to standardize by")
    values = raw.x[chosen].double()
    std = values.std(dim=0, correction=0)
    # A column that hardly varies is rounding noise; dividing by it would blow that up.
    constant = std <= 1e-6 * values.abs().amax(dim=0)
    return values.mean(dim=0).float(), torch.where(constant, 1.0, std).float()


def _balanced_weights(raw: RawDataset) -> Tensor:
    counts = torch.bincount(raw.y[raw.train], minlength=raw.n_classes).double()
    present = counts > 0
    weights = counts.sum() / (present.sum() * counts.clamp(min=1))
    return torch.where(present, weights, 1.0).float()


def _fingerprint(raw: RawDataset, normalize: str, undirected: bool, class_weights: bool) -> str:
    """Hash of the raw content and the options.

    The prepared features are left out on purpose: they follow from the two, and their last bits
    differ between machines.
    """
    header = {
        "version": _PREPARATION_VERSION,
        "kind": raw.kind,
        "n_classes": raw.n_classes,
        "metric": raw.metric,
        "normalize": normalize,
        "undirected": undirected,
        "class_weights": class_weights,
    }
    content = hashlib.sha256(canonical_json(header).encode())
    for name in ("x", "edge_index", "y", "train", "val", "test", "graph_ids"):
        tensor = getattr(raw, name)
        if tensor is not None:
            array = tensor.contiguous().numpy()
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
            content.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
            content.update(array.data.cast("B") if array.size else b"")
    return content.hexdigest()[:32]
