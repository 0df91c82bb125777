"""The side of a worker process: its limits, and how a batch comes in and goes out."""

import os
import pickle
import signal
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from evaluators import sharing, stopping
from evaluators.dying import die_with
from evaluators.errors import located, may_pass, place
from evaluators.loading import TRAINING, load
from evaluators.preparation import Work
from evaluators.run import run
from evaluators.values import Evaluation


@dataclass(frozen=True)
class Raised:
    """An exception in a worker that is no candidate's fault.

    Attributes:
        pickled: the exception, or None where it does not survive pickling.
        traceback: as text.
        where: the file and line of our or a plug-in's code that it came from.
        may_pass: whether trying again may help.
        located: where, and of which architectures.
    """

    pickled: bytes | None
    traceback: str
    where: str
    may_pass: bool
    located: str

    @property
    def exception(self) -> Exception:
        """The exception, as it was, with notes of where it comes from."""
        note = f"in a worker process:\n{self.traceback}"
        if self.pickled is None:
            error = RuntimeError(note)
            error.add_note(self.located)
            return error
        original: Exception = pickle.loads(self.pickled)  # noqa: S301 - from our own worker
        original.add_note(self.located)
        original.add_note(note)
        return original


def start(parent: int, memory_gb: float | None, interrupts: Connection, shares_gpu: bool) -> None:
    """Set up a worker process: dies with its parent, one thread, limited memory.

    Args:
        interrupts: closed at its other end to ask what runs here to stop.
        shares_gpu: for `evaluators.sharing`.
    """
    die_with(parent)
    # At once on SIGTERM, also inside a long operation of torch: nothing here needs cleaning up.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_listen, args=(interrupts,), daemon=True).start()
    sharing.declare(shares_gpu)
    prepare()
    if memory_gb is not None:
        _limit_memory(memory_gb)


def prepare() -> None:
    """One thread; and what training needs is loaded, so that no limit of time or memory counts it.

    That of the machine's cores each worker uses one is also what makes its numbers those of inline.
    """
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"
    load(*TRAINING)
    import torch

    torch.set_num_threads(1)


def _listen(interrupts: Connection) -> None:
    """Wait until the other end is closed. Unlike an Event, it can be read by any number of
    processes of which some are killed meanwhile."""
    try:
        interrupts.recv_bytes()
    except (EOFError, OSError):
        stopping.request()


def _limit_memory(memory_gb: float) -> None:
    """Allow so much private memory above what the imports have taken."""
    import resource

    status = Path("/proc/self/status").read_text(encoding="ascii")
    kilobytes = next(int(line.split()[1]) for line in status.splitlines() if "VmData" in line)
    limit = kilobytes * 1024 + int(memory_gb * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def evaluate(pickled_jobs: bytes) -> Sequence[Evaluation] | Raised:
    """Evaluate a batch. Never raises: an exception that cannot be unpickled would be lost."""
    jobs: Sequence[Work] = ()
    try:
        jobs = pickle.loads(pickled_jobs)  # noqa: S301 - from our own driver
        return run(jobs)
    except BaseException as error:
        return raised(error, jobs)


def raised(error: BaseException, jobs: Sequence[Work]) -> Raised:
    """What a worker hands back of an exception that is being handled."""
    where = place(error, jobs)
    return Raised(
        _pickled(error), traceback.format_exc(), where, may_pass(error), located(where, jobs)
    )


def _pickled(error: BaseException) -> bytes | None:
    if not isinstance(error, Exception):
        return None
    try:
        content = pickle.dumps(error)
        pickle.loads(content)  # noqa: S301 - our own, a line ago
    except Exception:  # whatever a foreign exception's own pickling raises
        return None
    return content
