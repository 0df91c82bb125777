"""The process of a bundle's program, as its parent sees it: started, opened, ended."""

import json
import multiprocessing
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from nas.export._base import BundleError
from nas.serving import elsewhere

_CLOSING_S = 5.0
_ENDING_S = 1.0
# How long a process may take to open its program: torch and large files from slow disks.
_OPENING_S = 300.0


class Process:
    """One that opens a program and answers on a connection; started when this is made.

    Args:
        folder, exporter, digest, threads: see `elsewhere.answer`.
        paths: of the slots.

    Raises:
        OSError: the system has no process or connection for it.

    Attributes:
        connection: to it.
        is_open: whether it has opened the program.
    """

    def __init__(
        self, folder: Path, exporter: str | None, digest: str, threads: int, paths: Sequence[str]
    ) -> None:
        self._folder = folder
        self.is_open = False
        self.connection, theirs = socket.socketpair()
        with theirs:
            arguments = (theirs, list(paths), os.getpid(), folder, exporter, digest, threads)
            self._process = multiprocessing.get_context("spawn").Process(
                target=elsewhere.answer, args=arguments, name="program", daemon=True
            )
            self._process.start()

    def open(self) -> bool:
        """Wait until the program is open; return whether graphs may be joined.

        Raises:
            BundleError: it cannot be opened, is another one, or the process ends meanwhile or takes
                too long.
        """
        self.connection.settimeout(_OPENING_S)
        try:
            with self.connection.makefile("rb") as lines:
                first = lines.readline()
        except TimeoutError as error:
            self.kill()
            raise BundleError(
                f"{self._folder}: the program could not be opened within {_OPENING_S:g} seconds, "
                "and was ended"
            ) from error
        said = json.loads(first) if first else {"error": f"{self._folder}: {self.ended()}"}
        if "error" in said:
            raise BundleError(said["error"])
        self.is_open = True
        return bool(said["together"])

    def ended(self) -> str:
        """How it ended, whose connection did."""
        self._process.join(_ENDING_S)
        code = self._process.exitcode
        self.kill()  # where it has only gone silent
        how = f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
        return f"the program's process ended by {how}"

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def close(self) -> None:
        """Wait for its end, which follows that of its connection; not for long."""
        try:
            self._process.join(_CLOSING_S if self.is_open else 0)
        finally:
            self._process.kill()
            self._process.join()
