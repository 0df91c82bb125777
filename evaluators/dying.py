"""A process that ends with another, also with one that was killed and could say nothing."""

import ctypes
import os
import signal
import sys
from functools import cache

_PR_SET_PDEATHSIG = 1


def die_with(parent: int | None) -> None:
    """On Linux, have the kernel kill this process when its parent's thread ends; elsewhere nothing.

    Args:
        parent: its process; None to live on from now on.
    """
    if not sys.platform.startswith("linux"):
        return
    number = 0 if parent is None else int(signal.SIGKILL)
    _libc().prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if parent is not None and os.getppid() != parent:  # it died before the line above
        os._exit(1)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
