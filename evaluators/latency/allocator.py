"""The allocator of the C library, told to keep memory that is freed.

glibc gives tensors of 32 MiB and more, and the top of the heap, back to the system whenever they
are freed, and the system clears each page that it hands out again. So a large network spends up to
two thirds of its time on page faults, and how much depends on what else the process has allocated
before. With memory kept, times are shorter and repeat. A program that serves a network does the
same with `MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=2147483647` in its environment.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# Parameters of mallopt(3).
_TRIM, _MMAP = -1, -3
_KEEP = ((_MMAP, 2**30), (_TRIM, 2**31 - 1))
# What glibc itself arrives at in a process that has freed large blocks.
_USUAL = ((_MMAP, 2**25), (_TRIM, 2**26))


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep what is freed meanwhile, and give it back afterwards; nothing happens without glibc."""
    library = _glibc()
    if library is None:
        yield
        return
    for parameter, value in _KEEP:
        library.mallopt(parameter, value)
    try:
        yield
    finally:
        for parameter, value in _USUAL:
            library.mallopt(parameter, value)
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
