"""What a running study tells about itself; from what its driver has folded, not from a count."""

import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import replace

from nas.fold import RecordFold
from nas.record import Progress, StudyStatus, TrialCounts, TrialRecord

Report = Callable[[Progress], None]


class Once:
    """Passes the warnings of evaluators on, each once; the record has them with every evaluation.

    Args:
        tell: called with one warning.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._told = tell, set[str]()

    def __call__(self, warnings_of_evaluator: str) -> None:
        for warning in warnings_of_evaluator.split("; "):
            if warning and warning not in self._told:
                self._told.add(warning)
                self._tell(warning)


class Teller:
    """Reports the progress of one run.

    Args:
        status: of the study when the run began.
        budget_seconds: of searching, over all runs; None for no bound.
        report: who is told; None for nobody in particular.
    """

    def __init__(
        self, status: StudyStatus, budget_seconds: float | None, report: Report | None
    ) -> None:
        self._status = replace(status, state="running", reason="")
        self._budget_seconds = budget_seconds
        self._told = report or _in_python
        # What logs the study tells of its troubles from a thread of its own.
        self._one_by_one = threading.RLock()
        self._began = time.monotonic()
        self._ended_before = status.trials.ended
        self.warn = Once(lambda warning: self.say(f"warning: {warning}"))
        self._said = Progress(self._status)

    def __call__(
        self, fold: RecordFold, seconds: float, under_way: int, last: TrialRecord | None = None
    ) -> None:
        """Report where the study stands.

        Args:
            fold: of its record.
            seconds: spent on it so far.
            under_way: how many trials of this run have not ended.
            last: the trial that has just ended.
        """
        counts = TrialCounts(**fold.counts, running=under_way)
        status = replace(self._status, trials=counts, best=dict(fold.best), seconds=seconds)
        minutes = (time.monotonic() - self._began) / 60
        rate = (counts.ended - self._ended_before) / minutes if minutes > 0 else 0.0
        left = None
        if status.target is not None and rate > 0:
            left = max(0, status.target - counts.ended) / rate * 60
        if self._budget_seconds is not None:
            rest = max(0.0, self._budget_seconds - seconds)
            left = rest if left is None else min(left, rest)
        self._said = Progress(status, last, rate, left)
        self._report(self._said)

    def _report(self, progress: Progress) -> None:
        with self._one_by_one:
            self._told(progress)

    def start(self) -> None:
        """Count trials a minute from here."""
        self._began = time.monotonic()

    def say(self, message: str) -> None:
        """Tell something once, with the standing as it was told last."""
        self._report(replace(self._said, last=None, message=message))


def _in_python(progress: Progress) -> None:
    """Where nobody asked to be told: warnings are Python's own."""
    what, _, text = progress.message.partition("warning: ")
    if text and not what:
        warnings.warn(text, stacklevel=2)
