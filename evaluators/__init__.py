"""Evaluators: batches of jobs in, evaluations out; datasets and executors beside them."""

from evaluators.values import (
    Artifact,
    Evaluation,
    Evaluator,
    Executor,
    Failure,
    InfrastructureError,
    Job,
    Table,
)

__all__ = [
    "Artifact",
    "Evaluation",
    "Evaluator",
    "Executor",
    "Failure",
    "InfrastructureError",
    "Job",
    "Table",
]
