"""The side of a worker process: its limits, and how a batch comes in and goes out."""

import ctypes
import importlib
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluators.run import run
from evaluators.values import Evaluation

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Raised:
    """An exception in a worker that is no candidate's fault.

    Attributes:
        pickled: the exception, or None where it does not survive pickling.
        traceback: as text.
    """

    pickled: bytes | None
    traceback: str


def start(parent: int, memory_gb: float | None) -> None:
    """Set up a worker process: dies with its parent, one thread, limited memory."""
    _die_with(parent)
    # At once on SIGTERM, also inside a long operation of torch: nothing here needs cleaning up.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"
    import torch

    torch.set_num_threads(1)
    # What training needs is loaded now, so that neither time nor memory limits count it.
    for name in ("torch.fx", "torch_geometric.nn", "evaluators.training"):
        importlib.import_module(name)
    if memory_gb is not None:
        _limit_memory(memory_gb)


def _die_with(parent: int) -> None:
    """On Linux, have the kernel kill this process when its parent's thread ends."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def _limit_memory(memory_gb: float) -> None:
    """Allow so much private memory above what the imports have taken."""
    import resource

    status = Path("/proc/self/status").read_text(encoding="ascii")
    kilobytes = next(int(line.split()[1]) for line in status.splitlines() if "VmData" in line)
    limit = kilobytes * 1024 + int(memory_gb * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def evaluate(pickled_jobs: bytes) -> Sequence[Evaluation] | Raised:
    """Evaluate a batch. Never raises: an exception that cannot be unpickled would be lost."""
    try:
        return run(pickle.loads(pickled_jobs))  # noqa: S301 - from our own driver
    except BaseException as error:
        return Raised(_pickled(error), traceback.format_exc())


def _pickled(error: BaseException) -> bytes | None:
    if not isinstance(error, Exception):
        return None
    try:
        content = pickle.dumps(error)
        pickle.loads(content)  # noqa: S301 - our own, a line ago
    except Exception:  # whatever a foreign exception's own pickling raises
        return None
    return content
