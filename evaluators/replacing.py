"""Files that are there whole or not at all, whenever the process or the machine is stopped."""

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# Begins the name of what is not whole yet; who is killed leaves it behind.
PARTIAL = ".partial-"
# Of one path, as Linux has it.
_MOST_LINKS = 40
# Where it is no link into /proc.
_FD = Path("/dev/fd")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write to, whose content is that of `path` when the block ends.

    It takes the place of a regular file, or of nothing, when it is on the disk; links are followed.
    What else is there (a pipe, a device, an open descriptor) stays, and is written into.

    Raises:
        OSError: it cannot be written; a regular file in its place is there still.
    """
    end = _end_of_links(path)
    if _is_descriptor(end) or (end.exists() and not end.is_file()):
        with _poured(end) as partial:
            yield partial
        return
    partial = end.with_name(f"{PARTIAL}{uuid.uuid4().hex}")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(end)
    finally:
        partial.unlink(missing_ok=True)
    _flush_folder(end.parent)


def _end_of_links(path: Path) -> Path:
    """Where symbolic links lead; those that stand for open descriptors are followed no further."""
    for _ in range(_MOST_LINKS):
        if _is_descriptor(path) or not path.is_symlink():
            break
        path = path.parent / path.readlink()
    else:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return path


def _is_descriptor(path: Path) -> bool:
    """Whether it is as `/dev/fd/1`: open already, and by a name that cannot be given anew."""
    folder = path.parent.resolve()
    in_proc = folder.parts[:2] == ("/", "proc") and folder.name == "fd"
    return path.name.isdecimal() and (in_proc or folder == _FD)


@contextmanager
def _poured(end: Path) -> Iterator[Path]:
    """A file to write to, which is copied into what `end` is when the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        partial = Path(folder) / "whole"
        yield partial
        with partial.open("rb") as whole, _opened(end) as into:
            shutil.copyfileobj(whole, into)


def _opened(end: Path) -> BinaryIO:
    if _is_descriptor(end) and end.parent.resolve() in (Path(f"/proc/{os.getpid()}/fd"), _FD):
        # As it is: opened by its path a file would be cut off, and a socket be refused.
        return os.fdopen(os.dup(int(end.name)), "wb")
    return end.open("wb")


def _flush_folder(folder: Path) -> None:
    """Make a rename durable; Windows cannot open folders, and needs no such step."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
