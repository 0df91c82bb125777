"""Stdout that says what is wrong with it: full, closed, gone."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import click

_FAILED = 1
_STDOUT = 1


class StdoutError(Exception):
    """Stdout takes nothing more; what it was told is not whole."""


class _Telling(io.RawIOBase):
    """Passes on what is written, until that fails; what comes after is dropped."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw, self._failed = raw, False

    def write(self, data: Any) -> int | None:
        # Click asks what a stream is by writing nothing, and hears no answer; and what is flushed
        # at the end would tell of a fault again.
        if self._failed or not len(data):
            return len(data)
        try:
            return self._raw.write(data)
        except BrokenPipeError:  # a reader that has seen enough
            raise
        except OSError as error:
            self._failed = True
            raise StdoutError(f"stdout cannot be written: {error.strerror}") from error

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._raw.isatty()

    def fileno(self) -> int:
        return self._raw.fileno()


@contextmanager
def telling_stdout() -> Iterator[None]:
    """For the time of a block, let stdout raise `StdoutError`, and end the program by it.

    Nothing is changed where stdout is not that of the process.
    """
    own = sys.stdout
    if own is not sys.__stdout__:
        yield
        return
    sys.stdout = stream = _opened() if own is None else _like(own)
    try:
        try:
            yield
        finally:
            with suppress(BrokenPipeError):
                stream.flush()
    except StdoutError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(_FAILED)
    finally:
        sys.stdout = own


def _like(own: Any) -> io.TextIOWrapper:
    # By PYTHONUNBUFFERED nothing is between the text and what it is written to.
    is_buffered = isinstance(own.buffer, io.BufferedWriter)
    buffer = io.BufferedWriter(_Telling(own.buffer.raw)) if is_buffered else _Telling(own.buffer)
    return io.TextIOWrapper(
        cast(Any, buffer),
        encoding=own.encoding,
        errors=own.errors,
        line_buffering=own.line_buffering,
        write_through=own.write_through,
    )


def _opened() -> io.TextIOWrapper:
    """In place of a closed one, what cannot be written; else the next file would be stdout."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    if nothing != _STDOUT:
        os.dup2(nothing, _STDOUT)
        os.close(nothing)
    raw = io.FileIO(_STDOUT, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(_Telling(raw)), encoding="utf-8")
