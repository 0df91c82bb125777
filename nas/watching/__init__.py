"""Telling TensorBoard and MLflow of a study while it runs: a fold over the record, beside it."""

from nas.watching.loggers import refuse_unfit
from nas.watching.watching import log_rest, logged

__all__ = ["log_rest", "logged", "refuse_unfit"]
