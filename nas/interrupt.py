"""Ctrl-C and SIGTERM: once is a request, twice an order, and never in a transaction."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from evaluators import stopping

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let a signal that would raise wait for the end of the block.

    An exception raised between two steps of a database library can leave a connection behind that
    holds the lock. Only the main thread gets signals, and only handlers written in Python raise.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    handlers = {number: handler for number, handler in before.items() if callable(handler)}
    came: list[tuple[int, FrameType | None]] = []
    for number in handlers:
        signal.signal(number, lambda n, frame: came.append((n, frame)))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number_, frame in came:
            handlers[signal.Signals(number_)](number_, frame)


class Stop:
    """Whether a study has been asked to stop.

    In its block the first Ctrl-C or SIGTERM is remembered (`asked`) and passed on to what is
    evaluated in this process; from the second one on they do what they did before: raise. Nothing
    changes where they are ignored, or outside of the main thread.
    """

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def listening(self) -> Iterator["Stop"]:
        """The block."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        handlers = {number: handler for number, handler in before.items() if callable(handler)}
        if before[signal.SIGTERM] is signal.SIG_DFL:  # it would end the process
            handlers[signal.SIGTERM] = signal.default_int_handler
        owner = os.getpid()

        def ask(number: int, frame: FrameType | None) -> None:
            if self.asked or os.getpid() != owner:  # a forked process has no study to stop
                handlers[signal.Signals(number)](number, frame)
            self.asked = True
            stopping.request()

        for number in handlers:
            signal.signal(number, ask)
        try:
            yield self
        finally:
            for number in handlers:
                signal.signal(number, before[number])
            stopping.clear()
