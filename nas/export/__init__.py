"""Exports: a network with its weights, as a folder that runs without this program.

Each module here with a `build` is an exporter: how the program itself is written. These names are
what exporters elsewhere use; they import torch, when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.export._base import BundleError as BundleError
    from nas.export._base import ChecksMachine as ChecksMachine
    from nas.export._base import ChecksNetworks as ChecksNetworks
    from nas.export._base import Contract as Contract
    from nas.export._base import Exporter as Exporter
    from nas.export._base import ExportError as ExportError
    from nas.export._base import ExportFailedError as ExportFailedError
    from nas.export._base import Runnable as Runnable
    from nas.export._base import Written as Written
    from nas.export._traced import traced as traced

_HOME = {
    "BundleError": "_base",
    "ChecksMachine": "_base",
    "ChecksNetworks": "_base",
    "Contract": "_base",
    "ExportError": "_base",
    "ExportFailedError": "_base",
    "Exporter": "_base",
    "Runnable": "_base",
    "Written": "_base",
    "traced": "_traced",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
