"""Waiting for a database that cannot be reached just now: it restarts, or is locked."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.engine import Engine

from nas.store.alive import GRACE_SECONDS
from nas.store.engine import UnreachableError

T = TypeVar("T")
PATIENCE_SECONDS = 300.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

# SQLite waits for a lock in silence: so long, before Patience says what is going on.
_SILENT_SECONDS = 5


def wait_aloud(engine: Engine) -> None:
    """Have SQLite give up on a lock soon, so that who has patience can say what it waits for."""
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        connection.execute(f"pragma busy_timeout={_SILENT_SECONDS * 1000}")

    engine.dispose()


class Patience:
    """Repeats what fails because the database cannot be reached, for a bounded time.

    Args:
        seconds: how long one step may wait.
        say: told once for each wait why, and when it is over.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        seconds: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._say, self._seconds, self._clock, self._sleep = say, seconds, clock, sleep
        # The last time that the database was away: until when, and for how long.
        self._back_at, self._away_seconds = float("-inf"), 0.0

    @property
    def excuse_seconds(self) -> float:
        """For how long nobody could give a sign of life, if that was but a moment ago."""
        is_recent = self._clock() - self._back_at < GRACE_SECONDS
        return self._away_seconds if is_recent else 0.0

    def hurry(self) -> None:
        """Wait no more: the study is being stopped."""
        self._seconds = 0.0

    def __call__(self, attempt: Callable[[], T]) -> T:
        """The result of `attempt`, which must be safe to repeat.

        Raises:
            UnreachableError: the database could not be reached in time.
        """
        try:
            return attempt()
        except UnreachableError as error:
            return self._again(attempt, error)

    def _again(self, attempt: Callable[[], T], error: UnreachableError) -> T:
        began, pause, told = self._clock(), _FIRST_PAUSE, False
        while self._clock() - began < self._seconds:
            if not told:
                self._say(f"{error.reason}; waiting up to {self._seconds:.0f} s for the database")
                told = True
            self._sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            try:
                result = attempt()
            except UnreachableError as again:
                error = again
                continue
            self._back_at = self._clock()
            self._away_seconds = self._back_at - began
            self._say("the database is back; nothing is lost")
            return result
        raise error
