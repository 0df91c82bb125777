"""Between the driver's thread and the thread in which Tune runs: jobs go over, evaluations back.

Tune pickles whatever it is given, for a `restore` that is never asked for: of this nothing is kept.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from evaluators import artifacts
from evaluators.errors import Attempts
from evaluators.executors._worker import Raised
from evaluators.values import Evaluation, Failure, FailureKind, InfrastructureError, Job
from search_spaces import UsageError

_DEATHS = 2
# For the driver's next job, while other trials run: as long as Tune itself waits for a result.
_PATIENCE_SECONDS = 0.1


@dataclass(frozen=True)
class Report:
    """What a worker says of a job.

    Attributes:
        outcome: its evaluation so far, or what is no fault of its own.
        made: the content of its checkpoint, by its hash.
    """

    outcome: Evaluation | Raised
    made: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(eq=False)
class Task:
    """A job on its way: one Tune trial, or another one after its worker has died.

    Attributes:
        handle: of its batch.
        deaths, attempts: of workers, and for want of a disk or a machine.
        rests_until, started: its trial, in seconds of `time.monotonic`.
        last, made: what was reported of it last, and the content of its checkpoint by its hash.
        is_done: whether that is all.
    """

    job: Job
    handle: int
    deaths: int = 0
    attempts: Attempts = field(default_factory=Attempts)
    rests_until: float = 0.0
    started: float = 0.0
    is_done: bool = False
    last: Evaluation | None = None
    made: Mapping[str, bytes] = field(default_factory=dict)

    def keep(self) -> Evaluation:
        """Its last evaluation, whose checkpoint is now in the study's artifact store."""
        if self.last is None:
            raise RuntimeError("this job has not been evaluated")
        artifact = self.last.artifact
        if artifact is None:
            return self.last
        return replace(
            self.last, artifact=artifacts.write(self.job.store, self.made[artifact.sha256])
        )


def hard_limit(job: Job) -> float | None:
    """Seconds after which a job counts as hanging; its evaluator has ended it long before."""
    return None if job.timeout_seconds is None else 1.0 + 1.1 * job.timeout_seconds


class Exchange:
    """What is queued, running and done.

    Args:
        metric: that every evaluation must have, for Tune's scheduler; None for none.
    """

    def __init__(self, metric: str | None = None) -> None:
        self._metric = metric
        self._changed = threading.Condition()
        self._queued: deque[Task] = deque()
        self._running: dict[str, Task] = {}
        self._batches: dict[int, list[Task]] = {}
        self._errors: deque[BaseException] = deque()
        self._broken: BaseException | None = None
        self._interrupted = self._closed = False
        self.abandoned = False

    def __reduce__(self) -> tuple[Callable[[], "Exchange"], tuple[()]]:
        return Exchange, ()

    # The driver's side.

    def __len__(self) -> int:
        """How many batches are under way."""
        return len(self._batches)

    def put(self, handle: int, jobs: Sequence[Job]) -> None:
        """Queue a batch."""
        with self._changed:
            if self._broken is not None:
                raise RuntimeError("Ray Tune has failed before") from self._broken
            tasks = self._batches[handle] = [Task(job, handle) for job in jobs]
            self._queue(tasks)

    def ended(self, timeout_seconds: float | None) -> Mapping[int, Sequence[Evaluation]]:
        """Wait for at least one batch, or the time; raises what is no candidate's fault."""
        with self._changed:
            self._changed.wait_for(self._has_news, timeout_seconds)
            complete = {handle: self._batches.pop(handle) for handle in self._complete()}
            if self._errors and not complete:
                raise self._errors.popleft()
        return {handle: [task.keep() for task in batch] for handle, batch in complete.items()}

    def _has_news(self) -> bool:
        return bool(self._errors or self._complete() or not self._batches)

    def _complete(self) -> list[int]:
        return [h for h, batch in self._batches.items() if all(task.is_done for task in batch)]

    def interrupt(self) -> None:
        """From now on, what has not begun is given back as stopped."""
        with self._changed:
            self._interrupted = True
            self._queue(())

    def _queue(self, tasks: Iterable[Task]) -> None:
        self._queued.extend(tasks)
        while self._interrupted and self._queued:
            self._answer(self._queued.popleft(), Evaluation(0, early="stopped"))
        self._changed.notify_all()

    def close(self, abandon: bool) -> None:
        """No job comes any more; with `abandon`, what still runs is not wanted either."""
        with self._changed:
            self._closed, self.abandoned = True, abandon
            if abandon:
                self._queued.clear()
            self._changed.notify_all()

    # Tune's side. Trials by Tune's name for them; of one that is not known here, nothing is wanted.

    def next(self, trial: str) -> Task | None:
        """The next job, begun as this trial; waits long for one only where nothing runs."""
        with self._changed:
            while self._due is None and not self.finished:
                self._changed.wait(_PATIENCE_SECONDS if self._running or self._queued else None)
                if self._running:
                    break
            task = self._due
            if task is not None:
                self._queued.remove(task)
                self._running[trial] = task
                task.started, task.last, task.made = time.monotonic(), None, {}
            return task

    @property
    def _due(self) -> Task | None:
        now = time.monotonic()
        return next((task for task in self._queued if task.rests_until <= now), None)

    @property
    def finished(self) -> bool:
        """Whether no job comes any more."""
        return self._closed and not self._queued

    def start(self, trial: str) -> None:
        """A worker has begun it."""
        with self._changed:
            if trial in self._running:
                self._running[trial].started = time.monotonic()

    def report(self, trial: str, report: Report) -> None:
        """It has come to an epoch, perhaps its last; or to what is no fault of its own."""
        with self._changed:
            task = self._running.get(trial)
            if task is None:
                return
            outcome = report.outcome
            if isinstance(outcome, Raised):
                if outcome.may_pass:
                    self._rest(trial, task, outcome.exception, outcome.where)
                else:
                    self._raise(trial, outcome.exception)
            elif self._metric is not None and not self._has_metric(outcome):
                self._raise(trial, self._no_metric(outcome))
            else:
                task.last, task.made = outcome, report.made

    def _rest(self, trial: str, task: Task, error: Exception, where: str = "") -> None:
        """Try again after a pause what may pass by itself, for a while."""
        try:
            task.rests_until = time.monotonic() + task.attempts.pause(error, where)
        except InfrastructureError as last:
            self._raise(trial, last)
        else:
            self._again(trial, task)

    def _again(self, trial: str, task: Task) -> None:
        self._running.pop(trial)
        self._queue([task])

    def _has_metric(self, evaluation: Evaluation) -> bool:
        return bool(evaluation.failure or evaluation.early or self._metric in evaluation.metrics)

    def _no_metric(self, evaluation: Evaluation) -> UsageError:
        return UsageError(
            f'executor ray_tune: the evaluator measures no metric "{self._metric}" for ASHA; '
            f"[executor] metric is one of: {', '.join(sorted(evaluation.metrics))}"
        )

    def end(self, trial: str) -> None:
        """It has ended, by itself or because a scheduler of Tune would have it so."""
        with self._changed:
            task = self._running.pop(trial, None)
            if task is None or task.last is None:
                return
            early = task.last.epoch < task.job.until_epoch and not task.last.failure
            pruned = early and not task.last.early
            self._answer(task, replace(task.last, early="pruned") if pruned else task.last)

    def lose(self, trial: str, error: Exception) -> None:
        """Its worker is gone with its node."""
        with self._changed:
            task = self._running.get(trial)
            if task is not None and not self._closed:
                self._rest(trial, task, error)

    def die(self, trial: str, how: str, kind: FailureKind) -> None:
        """Its worker has died."""
        with self._changed:
            task = self._running.get(trial)
            if task is None or self._closed:
                return
            task.deaths += 1
            limit = hard_limit(task.job)
            if limit is not None and time.monotonic() - task.started >= limit:
                message = "its process was killed: over its time, and hanging"
                self._fail(trial, task, "timeout", message)
            elif task.deaths == _DEATHS:
                self._fail(trial, task, kind, f"its process died {task.deaths} times: {how}")
            else:
                self._again(trial, task)

    def _fail(self, trial: str, task: Task, kind: FailureKind, message: str) -> None:
        self._running.pop(trial)
        seconds = time.monotonic() - task.started
        self._answer(task, Evaluation(0, seconds=seconds, failure=Failure(kind, message)))

    def break_trial(self, trial: str, error: BaseException) -> None:
        """Something has gone wrong with it that is no fault of a candidate."""
        with self._changed:
            self._raise(trial, error)

    def fail(self, error: BaseException) -> None:
        """Tune has ended before it was told to, and all that was under way with it."""
        with self._changed:
            self._broken = error
            self._batches.clear()
            self._errors.append(error)
            self._changed.notify_all()

    def _raise(self, trial: str, error: BaseException) -> None:
        task = self._running.pop(trial, None)
        if task is not None:
            self._batches.pop(task.handle, None)
        self._errors.append(error)
        self._changed.notify_all()

    def _answer(self, task: Task, evaluation: Evaluation) -> None:
        task.last, task.is_done = evaluation, True
        self._changed.notify_all()
