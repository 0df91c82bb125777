"""A folder that appears whole or not at all."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas.export._base import ExportError


def check_free(to: Path) -> None:
    """Refuse a place where something is.

    Raises:
        ExportError: `to` is a file, or a folder that is not empty.
    """
    if to.is_symlink() or (to.exists() and not to.is_dir()):
        raise ExportError(f"{to} is there already and is no folder; choose another place")
    if to.is_dir() and any(to.iterdir()):
        raise ExportError(f"{to} is there already and is not empty; choose another folder")


@contextmanager
def new_folder(to: Path) -> Iterator[Path]:
    """A new folder beside `to` that takes its place at the end, or vanishes after an error.

    Raises:
        ExportError: something is there.
    """
    check_free(to)
    partial = to.parent / f".{to.name}.partial-{uuid.uuid4().hex}"
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
    except OSError as error:
        raise ExportError(f"{to} cannot be made: {error.strerror}; choose another place") from error
    try:
        yield partial
        for file in filter(Path.is_file, partial.rglob("*")):
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())
        check_free(to)
        if to.is_dir():
            to.rmdir()
        partial.rename(to)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
