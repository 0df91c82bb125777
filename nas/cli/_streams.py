"""Stdout that says what is wrong with it: full, closed, gone. Stderr that fails nothing by it."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import click

_FAILED = 1
_STDOUT, _STDERR = 1, 2


class StdoutError(Exception):
    """Stdout takes nothing more; what it was told is not whole."""


class _Passing(io.RawIOBase):
    """Passes on what is written."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._raw.isatty()

    def fileno(self) -> int:
        return self._raw.fileno()


class _Telling(_Passing):
    """Until that fails; what comes after is dropped."""

    _failed = False

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


class _Dropping(_Passing):
    """As long as there is somebody to hear it."""

    def write(self, data: Any) -> int | None:
        try:
            return self._raw.write(data)
        except OSError:
            return len(data)


@contextmanager
def telling_stdout() -> Iterator[None]:
    """For the time of a block, let stdout raise `StdoutError`, and end the program by it.

    Nothing is changed where stdout is not that of the process.
    """
    own = sys.stdout
    if own is not sys.__stdout__:
        yield
        return
    sys.stdout = stream = _like(own, _Telling) if own else _opened(_STDOUT, os.O_RDONLY, _Telling)
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


@contextmanager
def dropping_stderr() -> Iterator[None]:
    """For the time of a block, let stderr take everything, and drop what it cannot be told.

    What is done has a status and is in the database; that nobody can hear of it fails nothing.
    Nothing is changed where stderr is not that of the process.
    """
    own = sys.stderr
    if own is not sys.__stderr__:
        yield
        return
    sys.stderr = stream = _like(own, _Dropping) if own else _opened(_STDERR, os.O_WRONLY, _Dropping)
    try:
        yield
    finally:
        stream.flush()
        sys.stderr = own


def _like(own: Any, passing: Callable[[io.RawIOBase], _Passing]) -> io.TextIOWrapper:
    # By PYTHONUNBUFFERED nothing is between the text and what it is written to.
    is_buffered = isinstance(own.buffer, io.BufferedWriter)
    buffer = io.BufferedWriter(passing(own.buffer.raw)) if is_buffered else passing(own.buffer)
    return io.TextIOWrapper(
        cast(Any, buffer),
        encoding=own.encoding,
        errors=own.errors,
        line_buffering=own.line_buffering,
        write_through=own.write_through,
    )


def _opened(
    number: int, mode: int, passing: Callable[[io.RawIOBase], _Passing]
) -> io.TextIOWrapper:
    """In place of a closed one, which the next file that is opened would be."""
    nothing = os.open(os.devnull, mode)
    if nothing != number:
        os.dup2(nothing, number)
        os.close(nothing)
    else:
        os.set_inheritable(number, True)
    raw = io.FileIO(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(passing(raw)), encoding="utf-8", errors="backslashreplace"
    )
