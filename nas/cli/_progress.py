"""Progress on stderr: a live bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

from nas.cli._output import cell, duration

if TYPE_CHECKING:
    import rich.progress

    from nas.record import Progress, TrialRecord

_LINE_SECONDS = 1.0


class Live:
    """A context to pass as `progress`: shows what a running study tells.

    On a terminal a bar with the trials done, the best so far, trials a minute, failures and time
    left. Elsewhere one line for an ended trial, at most one a second. Nobody reading is no error.
    """

    def __init__(
        self, is_terminal: bool | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._is_terminal = sys.stderr.isatty() if is_terminal is None else is_terminal
        self._clock = clock
        self._last_line = float("-inf")
        self._bar: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None

    def __enter__(self) -> Self:
        if self._is_terminal:
            self._bar = _bar()
            self._task = self._bar.add_task("starting", total=None, rest="")
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            with suppress(OSError):
                self._bar.stop()

    def __call__(self, progress: "Progress") -> None:
        with suppress(OSError):
            if self._bar is not None:
                self._draw(self._bar, progress)
            else:
                self._print(progress)

    def warn(self, text: str) -> None:
        """A warning that stays."""
        self.say(f"warning: {text}")

    def say(self, line: str) -> None:
        """A line that stays."""
        with suppress(OSError):
            self._say(line)

    def count(self, done: int, wanted: int, what: str = "retrained") -> None:
        """The progress of what has no trials, such as retraining: so many of so many done."""
        with suppress(OSError):
            if self._bar is not None and self._task is not None:
                rest = f"{done}/{wanted}"
                self._bar.update(self._task, completed=done, total=wanted, rest=rest)
            elif self._is_due() or done == wanted:
                click.echo(f"{done}/{wanted} {what}", err=True)

    def runs(self, done: int, wanted: int, share: float, seconds_left: float | None) -> None:
        """The progress of a comparison: so many runs of so many, and the share of their trials."""
        rest = f"{done}/{wanted} runs"
        if seconds_left is not None and done < wanted:
            rest += f", {duration(seconds_left)} left"
        with suppress(OSError):
            if self._bar is not None and self._task is not None:
                self._bar.update(
                    self._task, description="comparing", completed=share, total=1, rest=rest
                )
            elif self._is_due() or done == wanted:
                click.echo(rest, err=True)

    def _draw(self, bar: "rich.progress.Progress", progress: "Progress") -> None:
        if progress.message:
            self._say(progress.message)
        status = progress.status
        if self._task is not None:
            bar.update(
                self._task,
                description=status.name,
                completed=status.trials.ended,
                total=status.target,
                rest=", ".join(_standing(progress)),
            )

    def _print(self, progress: "Progress") -> None:
        if progress.message:
            self._say(progress.message)
        if progress.last is None or not self._is_due():
            return
        click.echo("; ".join([_ended(progress.last), ", ".join(_standing(progress))]), err=True)

    def _say(self, line: str) -> None:
        """Above the bar, where there is one."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            click.echo(line, err=True)

    def _is_due(self) -> bool:
        now = self._clock()
        due = now - self._last_line >= _LINE_SECONDS
        self._last_line = now if due else self._last_line
        return due


def _bar() -> "rich.progress.Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    # Data goes to stdout, and rich would take over both.
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[rest]}", markup=False),
        console=Console(file=sys.stderr),
        redirect_stdout=False,
        refresh_per_second=4,
    )


def _ended(trial: "TrialRecord") -> str:
    said = "cached" if trial.cached else trial.state
    if trial.failure:
        return f"trial {trial.number} {said}: {trial.failure.get('message', '')}"
    return f"trial {trial.number} {said} in {trial.seconds:.1f} s"


def _standing(progress: "Progress") -> list[str]:
    status = progress.status
    of = f"/{status.target}" if status.target else ""
    parts = [f"{status.trials.ended}{of} trials"]
    parts += [f"best {metric} {cell(value)}" for metric, value in status.best.items()]
    if progress.trials_per_minute:
        parts.append(f"{progress.trials_per_minute:.1f} trials/min")
    parts.append(f"{status.trials.failed} failed")
    if progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left")
    return parts
