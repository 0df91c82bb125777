"""Progress on stderr: a live line on a terminal, plain lines elsewhere, none with `--quiet`."""

import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

from nas.cli._output import cell, duration
from nas.cli._shared import is_quiet

if TYPE_CHECKING:
    import rich.progress

    from nas.record import Progress, TrialRecord

# Between two plain lines: a second at first, and less often the longer it takes.
_LINE_SECONDS, _LINE_SHARE, _MOST_LINE_SECONDS = 1.0, 1 / 60, 60.0
# Of silence, before what is under way is said: twice as long each time.
_SILENT_SECONDS, _MOST_SILENT_SECONDS = 2.0, 60.0


def say(line: str) -> None:
    """A line on stderr that is no error; nothing with `--quiet`."""
    if not is_quiet():
        click.echo(line, err=True)


class Live:
    """A context to pass as `progress`: shows what a running command tells.

    On a terminal one live line with what is under way, how far it is and for how long. Elsewhere
    plain lines, at most one a second, and where nothing else is said a sign of life after two
    seconds, then ever more rarely.

    Args:
        doing: what is under way, as "exporting"; what is told later takes its place.
        is_calm: the live line is drawn once a second, beside what is being timed.
        is_terminal: by default as stderr is.
    """

    def __init__(
        self,
        doing: str = "starting",
        *,
        is_calm: bool = False,
        is_terminal: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_quiet = is_quiet()
        self._is_terminal = _is_terminal() if is_terminal is None else is_terminal
        self._is_calm, self._doing, self._clock = is_calm, doing, clock
        self._began = clock()
        self._last_line = float("-inf")
        self._pause = _SILENT_SECONDS
        self._last_word = time.monotonic()
        self._bar: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None
        self._ended = threading.Event()
        self._ticking: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._is_quiet:
            return self
        if self._is_terminal:
            self._bar = _bar(1 if self._is_calm else 4)
            self._task = self._bar.add_task(self._doing, total=None, rest="")
            self._bar.start()
        else:
            self._ticking = threading.Thread(target=self._tick, name="nas-progress", daemon=True)
            self._ticking.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._ticking is not None:
            self._ticking.join()
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, progress: "Progress") -> None:
        status, message = progress.status, progress.message
        is_before_trials = bool(message) and not status.trials.running
        self._doing = f"{status.name}: {message if is_before_trials else _counted(progress)}"
        if message:
            self.say(message)
        rest = ", ".join(_standing(progress))
        if self._bar is not None:
            self._draw(status.name, rest, status.trials.ended, status.target)
        elif progress.last is not None and self._is_due():
            self._print(f"{_ended(progress.last)}; {rest}")

    def warn(self, text: str) -> None:
        """A warning that stays."""
        self.say(f"warning: {text}")

    def say(self, line: str) -> None:
        """A line that stays; above the live one, where there is one."""
        self._pause = _SILENT_SECONDS  # something else begins
        if self._bar is None:
            self._print(line)
            return
        self._bar.console.print(line, markup=False, highlight=False)

    def step(self, doing: str) -> None:
        """What is under way now, where that is all that is known."""
        self._doing = doing
        if self._bar is not None:
            self._draw(doing, "")
        else:
            self._print(doing)

    def show(self, standing: str) -> None:
        """How far it is, in words."""
        if self._bar is not None:
            self._draw(self._doing, standing)
        elif self._is_due():
            self._print(standing)

    def count(self, done: int, wanted: int, what: str = "retrained") -> None:
        """So many of so many done, of what has no trials."""
        if self._bar is not None:
            self._draw(self._doing, f"{done}/{wanted} {what}", done, wanted)
        elif self._is_due() or done == wanted:
            self._print(f"{done}/{wanted} {what}")

    def runs(self, done: int, wanted: int, share: float, seconds_left: float | None) -> None:
        """The progress of a comparison: so many runs of so many, and the share of their trials."""
        rest = f"{done}/{wanted} runs"
        if seconds_left is not None and done < wanted:
            rest += f", {duration(seconds_left)} left"
        if self._bar is not None:
            self._draw("comparing", rest, share, 1)
        elif self._is_due() or done == wanted:
            self._print(rest)

    def _draw(
        self, doing: str, rest: str, done: float | None = None, wanted: float | None = None
    ) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, description=doing, rest=rest, completed=done or 0, total=wanted
            )

    def _print(self, line: str) -> None:
        if self._is_quiet:
            return
        self._last_word = time.monotonic()
        click.echo(line, err=True)

    def _is_due(self) -> bool:
        now = self._clock()
        pause = max(_LINE_SECONDS, min((now - self._began) * _LINE_SHARE, _MOST_LINE_SECONDS))
        due = now - self._last_line >= pause
        self._last_line = now if due else self._last_line
        return due

    def _tick(self) -> None:
        """Say what is under way where nothing was said for long."""
        began = time.monotonic()
        while not self._ended.wait(self._left()):
            if time.monotonic() - self._last_word >= self._pause:
                self._pause = min(2 * self._pause, _MOST_SILENT_SECONDS)
                self._print(f"{self._doing} ({duration(time.monotonic() - began)} so far)")

    def _left(self) -> float:
        """Until it is looked again: what begins meanwhile shortens the pause."""
        left = self._last_word + self._pause - time.monotonic()
        return min(max(0.1, left), _SILENT_SECONDS)


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _bar(draws_a_second: int) -> "rich.progress.Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Column

    # Data goes to stdout, and rich would take over both.
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=16),
        TextColumn(
            "{task.fields[rest]}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
        ),
        TimeElapsedColumn(),
        console=Console(file=sys.stderr),
        redirect_stdout=False,
        refresh_per_second=draws_a_second,
        transient=True,
        expand=True,
    )


def _ended(trial: "TrialRecord") -> str:
    said = "cached" if trial.cached else trial.state
    if trial.failure:
        return f"trial {trial.number} {said}: {trial.failure.get('message', '')}"
    return f"trial {trial.number} {said} in {trial.seconds:.1f} s"


def _counted(progress: "Progress") -> str:
    status = progress.status
    of = f"/{status.target}" if status.target else ""
    under_way = f", {status.trials.running} under way" if status.trials.running else ""
    return f"{status.trials.ended}{of} trials{under_way}"


def _standing(progress: "Progress") -> list[str]:
    status = progress.status
    of = f"/{status.target}" if status.target else ""
    parts = [f"{status.trials.ended}{of} trials"]
    if best := status.best_told(cell):
        parts.append(f"best {best}")
    if progress.trials_per_minute:
        parts.append(f"{progress.trials_per_minute:.1f} trials/min")
    parts.append(f"{status.trials.failed} failed")
    if progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left")
    return parts
