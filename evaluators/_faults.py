"""The fault boundary: where an exception of a candidate's own network becomes data.

Only three calls stand inside it: building the network, its forward and its backward pass. Running
out of memory counts as the candidate's fault wherever it happens. All else propagates, but for
a fault of the engine: what it was training is trained by the usual loop, with a warning.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from evaluators.values import Failure

_ALLOCATION = (
    "can't allocate memory",
    "not enough memory",
    "cannot allocate memory",
    "out of memory",
    "_alloc_failed",
)


class CandidateError(Exception):
    """A candidate failed by its own fault.

    Attributes:
        failure: what to record.
        epoch: how many epochs were complete.
    """

    def __init__(self, failure: Failure, epoch: int = 0) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.epoch = epoch


@contextmanager
def network_fault(what: str) -> Iterator[None]:
    """Turn any exception from the network into a `CandidateError`; `what` begins its message."""
    try:
        yield
    except CandidateError:
        raise
    except Exception as error:
        raise CandidateError(_failure(error, what)) from error


@contextmanager
def memory_fault(what: str) -> Iterator[None]:
    """Turn running out of memory into a `CandidateError`; other exceptions pass."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise CandidateError(_failure(error, what)) from error


def release(error: BaseException) -> None:
    """Let go of what the calls that raised it still hold; where it was raised stays known."""
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__cause__ or seen.__context__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed; for the CPU, and in CUDA's libraries, words alone say so."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _ALLOCATION)


def _failure(error: Exception, what: str) -> Failure:
    detail = "".join(traceback.format_exception(error))
    first_line = (str(error).splitlines() or [""])[0]
    message = f"{what}: {type(error).__name__}: {first_line}"
    return Failure("out_of_memory" if is_out_of_memory(error) else "error", message, detail)
