"""Search strategies. Each module here with a `build` is one; `_base` has the contract.

`StrategySampler` and `suggest` are for people who use plain Optuna; they import it, when used.
"""

from typing import TYPE_CHECKING, Any

from evaluators import Preparation, Prepared
from nas.strategies._base import (
    Finished,
    Objective,
    Problem,
    Proposal,
    Strategy,
    StrategyError,
)

if TYPE_CHECKING:
    from nas.strategies._sampler import StrategySampler, suggest

__all__ = [
    "Finished",
    "Objective",
    "Preparation",
    "Prepared",
    "Problem",
    "Proposal",
    "Strategy",
    "StrategyError",
    "StrategySampler",
    "suggest",
]


def __getattr__(name: str) -> Any:
    if name in ("StrategySampler", "suggest"):
        from nas.strategies import _sampler

        return getattr(_sampler, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
