"""Architecture search for graph neural networks.

`search` runs a study and returns it; `Study` opens one that a database holds; `load_bundle` loads
what was exported, `load_weights` its weights alone, `load_network` a network to train on; `card`
describes it, and `verify` says whether it is what it says. The command line is a thin twin of
these.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.api import search as search
    from nas.cards import card as card
    from nas.export._state import load_network as load_network
    from nas.export.load import load_bundle as load_bundle
    from nas.export.load import load_weights as load_weights
    from nas.handle import Study as Study
    from nas.verifying import verify as verify

__version__ = "0.1.0"
__all__ = [
    "Study",
    "__version__",
    "card",
    "load_bundle",
    "load_network",
    "load_weights",
    "search",
    "verify",
]

_HOME = {
    "Study": "nas.handle",
    "search": "nas.api",
    "card": "nas.cards",
    "load_bundle": "nas.export.load",
    "load_network": "nas.export._state",
    "load_weights": "nas.export.load",
    "verify": "nas.verifying",
}


def __getattr__(name: str) -> Any:
    """Look a public name up when it is first used: `import nas` alone imports no torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'nas' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
