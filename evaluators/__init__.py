"""Evaluators: batches of jobs in, evaluations out; datasets and executors beside them.

`batches_of(job.dataset)` is the graph of a job; `network_fault` and `CandidateError` are the
boundary between a candidate's fault and the program's. They import torch, when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from evaluators.preparation import (
    Advance,
    Preparation,
    PreparationJob,
    Prepared,
    PreparedEpoch,
    Preparer,
    Prepares,
)
from evaluators.values import (
    ALIKE,
    FACTS,
    FORESEEN,
    PREDICTED,
    READ_OUT,
    ZERO_COST,
    Artifact,
    Evaluation,
    Evaluator,
    Executor,
    Failure,
    InfrastructureError,
    Inheritance,
    Job,
    Proxy,
    Table,
)

if TYPE_CHECKING:
    from evaluators._batches import Batch, Batches, batches_of
    from evaluators._faults import CandidateError, network_fault
    from evaluators.inheritances._base import Parent
    from evaluators.preparations._expecting import cost_of

__all__ = [
    "ALIKE",
    "FACTS",
    "FORESEEN",
    "PREDICTED",
    "READ_OUT",
    "ZERO_COST",
    "Advance",
    "Artifact",
    "Batch",
    "Batches",
    "CandidateError",
    "Evaluation",
    "Evaluator",
    "Executor",
    "Failure",
    "InfrastructureError",
    "Inheritance",
    "Job",
    "Parent",
    "Preparation",
    "PreparationJob",
    "Prepared",
    "PreparedEpoch",
    "Preparer",
    "Prepares",
    "Proxy",
    "Table",
    "batches_of",
    "cost_of",
    "network_fault",
]

_HOME = {
    "Batch": "_batches",
    "Batches": "_batches",
    "CandidateError": "_faults",
    "Parent": "inheritances._base",
    "batches_of": "_batches",
    "cost_of": "preparations._expecting",
    "network_fault": "_faults",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
