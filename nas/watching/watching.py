"""Beside a driver: a thread that folds the record and hands it on, whatever becomes of that.

It reads what is committed, so that nothing is logged that is not so, and what a killed process has
not logged the next one does. A logger that fails is told of once, and left alone until the next
run.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from nas._tables import LogTable
from nas.record import StudyStatus
from nas.store import Store, StoreError, StoreFailedError
from nas.store.following import Following
from nas.watching.loggers import NEEDS, Logger, Standing, Subject, is_server, opening, places
from nas.watching.points import Point, Points, seconds_of, settings

if TYPE_CHECKING:
    from nas.spec import StudySpec

_LOOK_SECONDS = 1.0
# How long the end of a run waits for the rest to be written, and for a server without an answer.
_PATIENCE_SECONDS, _SILENT_SECONDS = 30.0, 5.0
_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "DATABRICKS_TOKEN")
Say = Callable[[str], None]


class _Log:
    """One logger with where it is in the record: each is as far as it came."""

    def __init__(self, kind: str, place: str, store: Store, name: str) -> None:
        self.kind = kind
        self._place = place
        status, spec, choices = store.status(name), store.spec(name), store.choices(name)
        self._subject = Subject(
            name, store.identity(name), settings(spec, choices), status.objectives
        )
        self._points = Points(status.objectives, choices, seconds_of(status.created))
        self._store, self._following = store, Following(store, name)
        self._epochs: dict[str, int] = {}
        self._logger: Logger | None = None
        self._got_on = time.monotonic()

    @property
    def is_stuck(self) -> bool:
        """Whether it waits for a server that has not answered for some time."""
        return is_server(self._place) and time.monotonic() - self._got_on > _SILENT_SECONDS

    def advance(self) -> bool:
        """Log what has been recorded since; returns whether there may be more."""
        self._got_on = time.monotonic()
        if self._logger is None:
            self._logger = self._opened()
        if self._logger is None:  # another driver is at it
            return False
        for points in self._prepared():
            self._logger.write(points)
            self._got_on = time.monotonic()
        fresh = self._following.ended()
        for followed in fresh:
            self._logger.write(self._points.of_trial(followed))
            self._got_on = time.monotonic()
        return bool(fresh)

    def _opened(self) -> Logger | None:
        open_logger = opening(self.kind)
        self._got_on = time.monotonic()  # importing it takes seconds
        logger = open_logger(self._place, self._subject)
        if logger is not None:
            logger.mark(self._standing())
        self._got_on = time.monotonic()
        return logger

    def _standing(self) -> Standing:
        status = self._store.status(self._subject.name)
        return Standing(status.state, status.reason, seconds_of(status.changed))

    def _prepared(self) -> Iterator[list[Point]]:
        name = self._subject.name
        for one in self._store.status(name).preparations:
            known = self._epochs.get(one.key, 0)
            if one.epoch > known:
                epochs = self._store.prepared_epochs(name, one.key)
                fresh = [epoch for epoch in epochs if epoch.epoch > known]
                each = [self._points.of_epoch(one.plugin, e.epoch, e.metrics) for e in fresh]
                yield [point for points in each for point in points]
                self._epochs[one.key] = one.epoch

    def close(self) -> None:
        if self._logger is not None:
            try:
                self._logger.mark(self._standing())
            finally:
                self._logger.close()


class _Watching:
    """The thread."""

    def __init__(self, store: Store, name: str, log: LogTable, say: Say) -> None:
        self._store, self._name, self._say = store, name, say
        self._wanted = places(log)
        self._logs: list[_Log] | None = None
        self._at: _Log | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nas-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Log the rest, or as much of it as a moment is enough for."""
        self._ended.set()
        until = time.monotonic() + _PATIENCE_SECONDS
        while self._thread.is_alive() and time.monotonic() < until and not self._is_stuck():
            self._thread.join(0.1)
        if self._thread.is_alive():
            kinds = " and ".join(self._wanted) if self._at is None else self._at.kind
            self._say(
                f"warning: {kinds} takes too long; what is not logged yet is logged by: "
                f"nas resume {self._name}"
            )

    def _is_stuck(self) -> bool:
        at = self._at
        return at is not None and at.is_stuck

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._ended.wait(_LOOK_SECONDS)
            # A database that is away is waited for by the driver; here the next look is enough.
            with suppress(StoreError, StoreFailedError):
                self._look()
        for log in list(self._logs or ()):
            self._at = log
            with suppress(StoreError, StoreFailedError):
                self._safely(log.kind, log.close)

    def _look(self) -> None:
        if self._logs is None:
            pairs = self._wanted.items()
            self._logs = [_Log(kind, place, self._store, self._name) for kind, place in pairs]
        for log in list(self._logs):
            self._at = log
            while self._safely(log.kind, log.advance):
                pass

    def _safely(self, kind: str, do: Callable[[], object]) -> bool:
        """What comes of a logger's work; where it fails it is told, and there is no more of it."""
        try:
            return bool(do())
        except (StoreError, StoreFailedError):
            raise
        except Exception as error:  # of libraries, servers, disks: none of them stops a search
            self._logs = [log for log in self._logs or () if log.kind != kind]
            self._say(f"warning: nothing more is logged to {kind}: {_said(kind, error)}")
            return False


@contextmanager
def logged(store: Store, name: str, log: LogTable | None, say: Say) -> Iterator[None]:
    """For the time of a block, tell of a study as `[log]` of its file says.

    Args:
        say: is told what fails, once; from another thread.
    """
    if log is None or not places(log):
        yield
        return
    watching = _Watching(store, name, log, say)
    watching.start()
    try:
        yield
    finally:
        watching.close()


def log_rest(store: Store, spec: "StudySpec", status: StudyStatus, say: Say) -> None:
    """Log what is missing of a study that nobody runs."""
    with logged(store, status.name, spec.log, say):
        pass


def _said(kind: str, error: Exception) -> str:
    """An error in a line, without what opens doors."""
    if isinstance(error, ModuleNotFoundError) and error.name == NEEDS[kind]:
        return f"the package {NEEDS[kind]} is not installed: pip install 'gnn-nas[{kind}]'"
    line = " ".join(str(error).split()) or type(error).__name__
    line = re.sub(r"(?<=://)[^/@\s]*@", "***@", line)
    for secret in filter(None, map(os.environ.get, _SECRETS)):
        line = line.replace(secret, "***")
    return line if len(line) <= 300 else f"{line[:299]}…"
