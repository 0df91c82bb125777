"""Graphs in NumPy's `.npz` files, without pickles.

Arrays: `x` [N, F]; `edge_index` [2, E]; `y` [U], -1 for no label; optional `train_mask`,
`val_mask`, `test_mask` [U] bool; `graph_ids` [N], ascending, for a graph task;
`n_classes`, one number.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evaluators.datasets._base import DatasetError
from evaluators.datasets._checks import check_graph
from evaluators.datasets._pyg import class_labels, from_pyg
from evaluators.datasets._pyg import n_classes as classes_of
from evaluators.datasets._raw import RawDataset
from evaluators.datasets._splits import Masks, by_ratio

_MASKS = ("train_mask", "val_mask", "test_mask")


def save_graph(path: Path, graph: Any) -> None:
    """Write a `RawDataset`, a PyG `Data` or a list of them as a file that `graph_file` reads.

    A graph that is no `RawDataset` goes through `from_pyg` with its defaults.
    """
    raw = graph if isinstance(graph, RawDataset) else from_pyg(graph)
    arrays: dict[str, Any] = {
        "x": raw.x.numpy(),
        "edge_index": raw.edge_index.numpy(),
        "y": raw.y.numpy(),
        "train_mask": raw.train.numpy(),
        "val_mask": raw.val.numpy(),
        "test_mask": raw.test.numpy(),
        "n_classes": np.array(raw.n_classes),
    }
    if raw.graph_ids is not None:
        arrays["graph_ids"] = raw.graph_ids.numpy()
    with path.open("wb") as file:  # np.savez would append ".npz" to a name that has no such end
        np.savez_compressed(file, **arrays)


def read_graph(path: Path) -> tuple[Tensor, Tensor, Tensor | None]:
    """Features [N, F], edges [2, E] and graph_ids [N] (None without) of a graph to predict on.

    Raises:
        DatasetError: the file cannot be read, or the graph is not one.
    """
    arrays = read_arrays(path)
    x = _features(arrays, path)
    edge_index = _integers(arrays, "edge_index", path)
    graph_ids = _integers(arrays, "graph_ids", path) if "graph_ids" in arrays else None
    n_graphs = 1 if graph_ids is None or graph_ids.numel() == 0 else int(graph_ids.max()) + 1
    check_graph(path.name, x, edge_index, graph_ids, n_graphs)
    return x, edge_index, graph_ids


def read_dataset(
    path: Path, *, classes: int | None, train_ratio: float, val_ratio: float, seed: int
) -> RawDataset:
    """A dataset from a file; the ratios and the seed are for one without masks.

    Raises:
        DatasetError: the file cannot be read, or an array is missing or of another type.
    """
    arrays = read_arrays(path)
    labels = _numbers(arrays, "y", path)
    # torch knows neither every integer of NumPy nor another byte order.
    labels = labels.astype(np.float64 if labels.dtype.kind == "f" else np.int64)
    y = class_labels(torch.from_numpy(labels), path.name)
    masks = _masks(arrays, path)
    if masks is None:
        masks = by_ratio(y, train_ratio=train_ratio, val_ratio=val_ratio, seed=seed)
    is_graph_task = "graph_ids" in arrays
    stored = _integers(arrays, "n_classes", path) if "n_classes" in arrays else None
    if stored is not None and stored.numel() != 1:
        raise DatasetError(
            f"{path.name}: n_classes must be one number, got shape {list(stored.shape)}"
        )
    return RawDataset(
        name=path.name,
        kind="graph_classification" if is_graph_task else "node_classification",
        x=_features(arrays, path),
        edge_index=_integers(arrays, "edge_index", path),
        y=y,
        train=masks.train,
        val=masks.val,
        test=masks.test,
        n_classes=classes or (classes_of(y) if stored is None else int(stored)),
        graph_ids=_integers(arrays, "graph_ids", path) if is_graph_task else None,
    )


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an `.npz` file; none of them is unpickled.

    Raises:
        DatasetError: no such file, no `.npz`, or an array of Python objects.
    """
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DatasetError(f"{path} is a single array, expected an .npz file of several")
        with archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise DatasetError(f"there is no file {path.absolute()}") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "it is none, or has objects"
        raise DatasetError(
            f"{path} cannot be read as an .npz file of numeric arrays, as numpy.savez writes it: "
            f"{reason}"
        ) from error


def _masks(arrays: dict[str, np.ndarray], path: Path) -> Masks | None:
    found = [name for name in _MASKS if name in arrays]
    if not found:
        return None
    if "train_mask" not in found or "val_mask" not in found:
        raise DatasetError(
            f"{path.name}: expected train_mask and val_mask, or no mask at all, got "
            f"{', '.join(found)}"
        )
    arrays = {"test_mask": np.zeros_like(arrays["train_mask"])} | arrays
    for name in _MASKS:
        if arrays[name].dtype != np.bool_:
            raise DatasetError(
                f"{path.name}: {name} must be bool, got {arrays[name].dtype}; an array of indices "
                "wants mask = np.zeros(n, bool); mask[indices] = True"
            )
    return Masks(*(torch.from_numpy(arrays[name]) for name in _MASKS))


def _features(arrays: dict[str, np.ndarray], path: Path) -> Tensor:
    # A float64 beyond float32 becomes infinite here, and is reported by the check as such.
    with np.errstate(over="ignore"):
        return torch.from_numpy(_numbers(arrays, "x", path).astype(np.float32, order="C"))


def _integers(arrays: dict[str, np.ndarray], name: str, path: Path) -> Tensor:
    array = _numbers(arrays, name, path)
    if array.dtype.kind not in "iu":
        raise DatasetError(f"{path.name}: {name} must be integers, got {array.dtype}")
    return torch.from_numpy(array.astype(np.int64, order="C"))


def _numbers(arrays: dict[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    if name not in arrays:
        raise DatasetError(
            f"{path.name} has no array {name}; it has {', '.join(sorted(arrays)) or 'none'}"
        )
    array = arrays[name]
    if array.dtype.kind not in "biuf":
        raise DatasetError(f"{path.name}: {name} must be numbers, got {array.dtype}")
    return array
