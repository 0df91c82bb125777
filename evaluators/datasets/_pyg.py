"""PyG `Data` objects as raw datasets: the user's own, and those of PyG's public datasets."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from evaluators.datasets._base import DatasetError
from evaluators.datasets._raw import Metric, RawDataset
from evaluators.datasets._splits import Masks, by_ratio

_MASKS = ("train_mask", "val_mask", "test_mask")


def from_pyg(
    data: Any,
    *,
    name: str = "data",
    train_ratio: float = 0.6,
    val_ratio: float = 0.2,
    seed: int = 0,
    split: int = 0,
) -> RawDataset:
    """A raw dataset of a `Data` object (a node task) or several of them (a graph task).

    A node task takes the masks of the object, where it has them: `train_mask` and `val_mask`, and
    `test_mask` for a test. Everything else is split at random, stratified by class. Edge features
    are not used.

    Args:
        data: a `Data` with x [N, F], edge_index [2, E] and y [N] of int64; or a list, a `Batch` or
            a dataset of such with one y each.
        name: for people.
        train_ratio, val_ratio, seed: of a random split; the rest is test.
        split: the column of masks that have several.

    Raises:
        DatasetError: x, edge_index, y or a mask is missing or of another form.
    """
    ratios = {"train_ratio": train_ratio, "val_ratio": val_ratio}
    if not isinstance(data, Data):
        return _from_graphs(data, name, ratios, seed)
    if hasattr(data, "to_data_list") and hasattr(data, "num_graphs") and data.batch is not None:
        return _from_graphs(data.to_data_list(), name, ratios, seed)
    y = class_labels(_required(data, "y"), name)
    if y.numel() == 1 and data.num_nodes != 1:
        raise DatasetError(
            f"{name}: one label for {data.num_nodes} nodes; a graph task takes a list of Data"
        )
    masks = _own_masks(data, name, split) or by_ratio(y, **ratios, seed=seed)
    return node_dataset(data, y, masks, name=name)


def _from_graphs(
    graphs: Iterable[Any], name: str, ratios: dict[str, float], seed: int
) -> RawDataset:
    graphs = list(graphs) if isinstance(graphs, Iterable) else [graphs]
    for graph in graphs:
        if not isinstance(graph, Data):
            raise DatasetError(
                f"{name}: expected a PyG Data or a list of them, got {type(graph).__name__}"
            )
    if not graphs:
        raise DatasetError(f"{name}: the list of graphs is empty")
    _check_columns(graphs, name)
    labels = [class_labels(_required(graph, "y"), name) for graph in graphs]
    for number, label in enumerate(labels):
        if label.numel() != 1:
            raise DatasetError(
                f"{name}: graph {number} has {label.numel()} labels, expected one; to classify "
                "nodes give a single Data"
            )
    y = torch.cat(labels)
    return graph_dataset(graphs, y, by_ratio(y, **ratios, seed=seed), name=name)


def _check_columns(graphs: Sequence[Any], name: str) -> None:
    shapes = [list(_required(graph, "x").shape) for graph in graphs]
    for number, shape in enumerate(shapes):
        if len(shape) != 2 or shape[1] != shapes[0][-1]:
            raise DatasetError(
                f"{name}: every graph needs x [nodes, F] with the same F; graph {number} has "
                f"features of shape {shape}, but graph 0 of {shapes[0]}"
            )


def node_dataset(
    data: Any, y: Tensor, masks: Masks, *, name: str, metric: Metric = "accuracy"
) -> RawDataset:
    """A node task from one `Data`, its labels and a split."""
    return RawDataset(
        name=name,
        kind="node_classification",
        x=_features(_required(data, "x")),
        edge_index=_required(data, "edge_index").contiguous(),
        y=y,
        train=masks.train,
        val=masks.val,
        test=masks.test,
        n_classes=n_classes(y),
        metric=metric,
    )


def graph_dataset(
    graphs: Sequence[Any], y: Tensor, masks: Masks, *, name: str, metric: Metric = "accuracy"
) -> RawDataset:
    """A graph task from many `Data`, their labels and a split."""
    sizes = torch.tensor([_required(graph, "x").size(0) for graph in graphs])
    offsets = (sizes.cumsum(0) - sizes).tolist()
    edges = [_required(g, "edge_index") + o for g, o in zip(graphs, offsets, strict=True)]
    return RawDataset(
        name=name,
        kind="graph_classification",
        x=torch.cat([_features(graph.x) for graph in graphs]),
        edge_index=torch.cat(edges, dim=1),
        y=y,
        train=masks.train,
        val=masks.val,
        test=masks.test,
        n_classes=n_classes(y),
        graph_ids=torch.arange(len(graphs)).repeat_interleave(sizes),
        metric=metric,
    )


def n_classes(y: Tensor) -> int:
    """The number of classes that labels 0 to C - 1 speak of; 0 where there is no label."""
    return int(y.max()) + 1 if y.numel() else 0


def class_labels(y: Tensor, name: str) -> Tensor:
    """Labels as [U] int64, from any integers and from a column.

    Raises:
        DatasetError: they are not integers, or several for each unit.
    """
    if y.is_floating_point() or y.is_complex():
        raise DatasetError(
            f"{name}: y must be class numbers, got {str(y.dtype).removeprefix('torch.')}; "
            "regression is not supported yet, and classes stored as floats want y.long()"
        )
    if y.dim() == 2 and y.size(1) > 1:
        raise DatasetError(
            f"{name}: y has shape {list(y.shape)}; several labels for one node or graph are not "
            "supported yet, and one-hot rows want y.argmax(dim=1)"
        )
    return y.reshape(-1).long()


def _own_masks(data: Any, name: str, split: int) -> Masks | None:
    found = {key: data[key] for key in _MASKS if data.get(key) is not None}
    if not found:
        return None
    if "train_mask" not in found or "val_mask" not in found:
        raise DatasetError(
            f"{name}: expected train_mask and val_mask, or no mask at all, got {', '.join(found)}"
        )
    found.setdefault("test_mask", torch.zeros_like(found["train_mask"]))
    return Masks(*(mask_column(found[key], split, name) for key in _MASKS))


def mask_column(mask: Tensor, split: int, name: str) -> Tensor:
    """Column `split` of a mask [N, S]; a mask [N] as it is.

    Raises:
        DatasetError: there is no such column.
    """
    if mask.dim() == 1:
        return mask
    if not 0 <= split < mask.size(1):
        raise DatasetError(
            f"{name}: expected a split from 0 to {mask.size(1) - 1}, got split = {split}"
        )
    return mask[:, split].contiguous()


def _features(x: Tensor) -> Tensor:
    dense = x.to_dense() if x.layout != torch.strided else x
    return dense.float().contiguous()


def _required(data: Any, attribute: str) -> Tensor:
    value = data.get(attribute)
    if not isinstance(value, Tensor):
        remedy = "; without features give each node a constant 1" if attribute == "x" else ""
        raise DatasetError(f"a Data object has no tensor {attribute}, got {value!r}{remedy}")
    return value
