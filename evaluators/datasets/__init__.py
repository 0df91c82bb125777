"""Datasets. Each module here with a `build` is one; this package's names are what others use.

`load(plugin, root)` is a study's way to its dataset; `preprocess` has the options that every
dataset accepts, and `COMMON` their names and types; `from_pyg` and `save_graph` take graphs that
are in memory; `read_graph` and `preprocess_graph` are for a graph to predict on. The names are
looked up when they are first used, since they import torch: importing this package does not.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluators.datasets._base import Dataset as Dataset
    from evaluators.datasets._base import DatasetError as DatasetError
    from evaluators.datasets._base import Preprocessing as Preprocessing
    from evaluators.datasets._base import load_sealed as load_sealed
    from evaluators.datasets._base import save_sealed as save_sealed
    from evaluators.datasets._load import COMMON as COMMON
    from evaluators.datasets._load import load as load
    from evaluators.datasets._npz import read_graph as read_graph
    from evaluators.datasets._npz import save_graph as save_graph
    from evaluators.datasets._preprocess import preprocess as preprocess
    from evaluators.datasets._preprocess import preprocess_graph as preprocess_graph
    from evaluators.datasets._pyg import from_pyg as from_pyg
    from evaluators.datasets._raw import RawDataset as RawDataset

_HOME = {
    "COMMON": "_load",
    "Dataset": "_base",
    "DatasetError": "_base",
    "Preprocessing": "_base",
    "RawDataset": "_raw",
    "from_pyg": "_pyg",
    "load": "_load",
    "load_sealed": "_base",
    "preprocess": "_preprocess",
    "preprocess_graph": "_preprocess",
    "read_graph": "_npz",
    "save_graph": "_npz",
    "save_sealed": "_base",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
