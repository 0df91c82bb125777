"""Checks of a graph before anything is trained on it; each message has the numbers."""

import itertools
import warnings

import torch
from torch import Tensor

from evaluators.datasets._base import UNKNOWN, DatasetError
from evaluators.datasets._raw import RawDataset


class DatasetWarning(UserWarning):
    """Something unusual about a dataset that can still be searched on."""


def check(raw: RawDataset) -> None:
    """Raise what is wrong with a dataset; warn of classes without a training example.

    Raises:
        DatasetError: shapes or types, edges that lead nowhere, features that are not finite, labels
            outside the classes, splits that overlap, are empty or have no labels, validation by one
            class alone.
    """
    is_graph_task = raw.graph_ids is not None
    if raw.kind.startswith("graph") != is_graph_task:
        raise DatasetError(
            f"{raw.name}: a graph task has graph_ids and a node task has none, got {raw.kind} "
            f"{'with' if is_graph_task else 'without'} graph_ids"
        )
    _check_form(raw.name, "y", raw.y, torch.int64, ("B" if is_graph_task else "N",))
    units = raw.y.numel()
    if not is_graph_task and units != raw.x.size(0):
        raise DatasetError(f"{raw.name}: y has {units} labels, but x has {raw.x.size(0)} nodes")
    check_graph(raw.name, raw.x, raw.edge_index, raw.graph_ids, units)
    _check_labels(raw)
    _check_masks(raw)
    _check_validation(raw)
    _warn_of_missing_classes(raw)


def check_graph(
    name: str, x: Tensor, edge_index: Tensor, graph_ids: Tensor | None, n_graphs: int
) -> None:
    """Raise what is wrong with features, edges and the numbering of graphs.

    No edges are fine, and so are graphs without nodes.

    Raises:
        DatasetError: as for `check`.
    """
    _check_form(name, "x", x, torch.float32, ("N", "F"))
    _check_form(name, "edge_index", edge_index, torch.int64, ("2", "E"))
    if edge_index.size(0) != 2:
        raise DatasetError(
            f"{name}: edge_index must have two rows, source and target, got shape "
            f"{list(edge_index.shape)}; is it transposed?"
        )
    if x.size(1) == 0:
        raise DatasetError(
            f"{name}: x has no columns; give each node a feature, such as a constant 1"
        )
    _check_finite(name, x)
    _check_edges(name, edge_index, x.size(0))
    if graph_ids is not None:
        _check_graph_ids(name, graph_ids, edge_index, x.size(0), n_graphs)


def _check_form(
    name: str, what: str, tensor: Tensor, dtype: torch.dtype, shape: tuple[str, ...]
) -> None:
    if tensor.dtype != dtype or tensor.dim() != len(shape):
        raise DatasetError(
            f"{name}: {what} must be {_plain(dtype)} of shape [{', '.join(shape)}], got "
            f"{_plain(tensor.dtype)} of shape {list(tensor.shape)}"
        )


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _check_finite(name: str, x: Tensor) -> None:
    # A sum is finite only if each term is, and needs no second matrix of the same size; that of
    # large ones may be infinite in few digits, and is taken in more.
    if torch.isfinite(x.sum()) or torch.isfinite(x.sum(dtype=torch.float64)):
        return
    bad = (~torch.isfinite(x)).nonzero()
    row, column = bad[0].tolist()
    raise DatasetError(
        f"{name}: x has {len(bad)} values that are NaN or infinite, the first in row {row}, "
        f"column {column}; fill or drop them"
    )


def _check_edges(name: str, edge_index: Tensor, n_nodes: int) -> None:
    if edge_index.numel() == 0:
        return
    least, most = edge_index.aminmax()
    if least >= 0 and most < n_nodes:
        return
    bad = ((edge_index < 0) | (edge_index >= n_nodes)).nonzero()
    end, edge = bad[0].tolist()
    raise DatasetError(
        f"{name}: edge_index has {len(bad)} entries outside the {n_nodes} nodes 0 to "
        f"{n_nodes - 1}; the first is node {int(edge_index[end, edge])}, the "
        f"{('source', 'target')[end]} of edge {edge}"
    )


def _check_graph_ids(
    name: str, graph_ids: Tensor, edge_index: Tensor, n_nodes: int, n_graphs: int
) -> None:
    _check_form(name, "graph_ids", graph_ids, torch.int64, ("N",))
    if graph_ids.numel() != n_nodes:
        raise DatasetError(
            f"{name}: graph_ids has {graph_ids.numel()} entries, but x has {n_nodes} nodes"
        )
    falls = (graph_ids.diff() < 0).nonzero()
    if len(falls) > 0:
        node = int(falls[0]) + 1
        raise DatasetError(
            f"{name}: graph_ids must ascend (the nodes of a graph lie together), but node {node} "
            f"is of graph {int(graph_ids[node])} after one of graph {int(graph_ids[node - 1])}"
        )
    if n_nodes and not 0 <= int(graph_ids[0]) <= int(graph_ids[-1]) < n_graphs:
        raise DatasetError(
            f"{name}: graph_ids reach from {int(graph_ids[0])} to {int(graph_ids[-1])}, but y has "
            f"labels for the {n_graphs} graphs 0 to {n_graphs - 1}"
        )
    ends = graph_ids[edge_index]
    across = (ends[0] != ends[1]).nonzero()
    if len(across) > 0:
        edge = int(across[0])
        raise DatasetError(
            f"{name}: {len(across)} edges join different graphs, the first is edge {edge} from "
            f"graph {int(ends[0, edge])} to graph {int(ends[1, edge])}"
        )


def _check_labels(raw: RawDataset) -> None:
    if raw.n_classes < 2:
        raise DatasetError(
            f"{raw.name}: classification needs two classes or more, got {raw.n_classes}"
        )
    if raw.n_classes > raw.y.numel():
        raise DatasetError(
            f"{raw.name}: {raw.n_classes} classes for {raw.y.numel()} {raw.unit}s; number the "
            "classes 0, 1, 2, ... without gaps"
        )
    bad = ((raw.y < UNKNOWN) | (raw.y >= raw.n_classes)).nonzero()
    if len(bad) > 0:
        first = int(bad[0])
        raise DatasetError(
            f"{raw.name}: {len(bad)} labels are outside the {raw.n_classes} classes 0 to "
            f"{raw.n_classes - 1}, the first is {int(raw.y[first])} of {raw.unit} {first}; "
            f"{UNKNOWN} stands for no label"
        )


def _check_masks(raw: RawDataset) -> None:
    masks = {"train": raw.train, "val": raw.val, "test": raw.test}
    for split, mask in masks.items():
        _check_form(raw.name, f"the {split} mask", mask, torch.bool, ("N or B",))
        if mask.numel() != raw.y.numel():
            raise DatasetError(
                f"{raw.name}: the {split} mask has {mask.numel()} entries for {raw.y.numel()} "
                f"{raw.unit}s"
            )
        if split != "test" and not mask.any():
            raise DatasetError(f"{raw.name}: the {split} mask is empty; it selects no {raw.unit}")
        blank = (mask & (raw.y == UNKNOWN)).nonzero()
        if len(blank) > 0:
            raise DatasetError(
                f"{raw.name}: {len(blank)} {raw.unit}s of the {split} mask have no label, the "
                f"first is {raw.unit} {int(blank[0])}; take them out of the mask"
            )
    for one, other in itertools.combinations(masks, 2):
        shared = (masks[one] & masks[other]).nonzero()
        if len(shared) > 0:
            raise DatasetError(
                f"{raw.name}: the {one} and {other} masks overlap in {len(shared)} {raw.unit}s, "
                f"the first is {raw.unit} {int(shared[0])}"
            )


def _check_validation(raw: RawDataset) -> None:
    present = torch.unique(raw.y[raw.val])
    if len(present) < 2:
        raise DatasetError(
            f"{raw.name}: the val mask has class {int(present[0])} alone, by which no metric can "
            "tell networks apart; use another split, or more units for validation"
        )


def _warn_of_missing_classes(raw: RawDataset) -> None:
    counts = torch.bincount(raw.y[raw.train], minlength=raw.n_classes)
    missing = (counts == 0).nonzero().flatten().tolist()
    if missing:
        shown = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        warnings.warn(
            f"{raw.name}: {len(missing)} of {raw.n_classes} classes have no training example: "
            f"{shown}",
            DatasetWarning,
            stacklevel=3,
        )
