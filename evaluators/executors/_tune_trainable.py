"""The side of Tune's workers: a trial evaluates one job, in as many steps as it reports."""

import asyncio
import faulthandler
import os
import pickle
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray
from ray.tune import Trainable

from evaluators import stopping
from evaluators.executors._ray_worker import Worker
from evaluators.executors._tune_exchange import Report, hard_limit
from evaluators.executors._worker import Raised
from evaluators.values import Evaluation, Job

# Where a result holds what only the driver wants; it is taken out before Tune's loggers see it.
REPORT = "gnn_nas_report"


@dataclass(frozen=True)
class Plan:
    """At which epochs a trial reports before its last.

    Attributes:
        grace, reduction: the rungs of a halving scheduler; a grace of 0 for none.
        every: besides, every so many epochs; 0 for none.
    """

    grace: int = 0
    reduction: int = 2
    every: int = 0

    def steps(self, job: Job) -> list[int]:
        """The epochs at which a job reports, the last one included.

        From a checkpoint, whose epoch is not known here, it reports its end alone; so does a job
        that must come to its end.
        """
        at = {job.until_epoch}
        if job.resume is None and job.may_be_pruned:
            rung = self.grace
            while 0 < rung < job.until_epoch:
                at.add(rung)
                rung *= self.reduction
            at.update(range(self.every, job.until_epoch, self.every) if self.every else ())
        return sorted(at)


@dataclass(frozen=True)
class Setting:
    """What all workers of a driver have in common.

    Attributes:
        driver: a name that no other driver has.
        path: where the driver finds modules.
        shares_gpu: whether several of them use one.
    """

    plan: Plan
    shares_gpu: bool
    driver: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    path: tuple[str, ...] = field(default_factory=lambda: tuple(sys.path))


@dataclass(frozen=True)
class Parcel:
    """A job on its way to a worker.

    Attributes:
        job: pickled, a list of one; a worker may not be able to read it.
        checkpoints: that it goes on or inherits from, by their hashes.
        datasets: references to them in the object store, by their hashes.
    """

    job: bytes
    checkpoints: Mapping[str, bytes]
    datasets: Mapping[str, Any]


class Desk:
    """An actor where workers fetch their jobs, and hear that they are to stop.

    A job in the configuration of its trial would be in Tune's tables and logs.
    """

    def __init__(self) -> None:
        self._parcels: dict[str, Parcel] = {}
        self._stop = asyncio.Event()

    async def lay(self, trial: str, parcel: Parcel) -> None:
        """Lay out the job of a trial."""
        self._parcels[trial] = parcel

    async def fetch(self, trial: str) -> Parcel | None:
        """The job of a trial; None where it is to stop before it has begun."""
        parcel = self._parcels.pop(trial)
        return None if self._stop.is_set() else parcel

    async def stop(self) -> None:
        """From now on all are to stop."""
        self._stop.set()

    async def stopped(self) -> None:
        """Returns when they are to stop."""
        await self._stop.wait()

    async def gone(self) -> None:
        """Never returns; raises for who waits for it when the desk is gone."""
        await asyncio.Event().wait()


class Evaluate(Trainable):  # type: ignore[misc]  # ray has no types
    """Evaluates the job of its trial; goes on with the next trial in the same process."""

    def setup(self, config: dict[str, Any], desk: Any, setting: Setting) -> None:  # noqa: ARG002
        self._desk, self._plan = desk, setting.plan
        self._worker = Worker(setting.driver, setting.path, setting.shares_gpu)
        threading.Thread(target=_listen, args=(desk,), daemon=True).start()
        # Fetched with the first step, not now: Tune may yet give this trial to another worker, one
        # that has become free while this one started.
        self._reports: Iterator[tuple[Report, bool]] | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:  # noqa: ARG002
        self._reports = None
        return True

    def cleanup(self) -> None:
        self._worker.leave()

    def step(self) -> dict[str, Any]:
        if self._reports is None:
            parcel = ray.get(self._desk.fetch.remote(self.trial_id))
            self._reports = reports(parcel, self._plan, self._worker)
        report, done = next(self._reports)
        result: dict[str, Any] = {REPORT: report, "done": done}
        if isinstance(report.outcome, Evaluation):
            result |= {**report.outcome.metrics, "training_iteration": report.outcome.epoch}
            if report.outcome.failure is not None:
                result["failure"] = report.outcome.failure.kind
        return result


def reports(parcel: Parcel | None, plan: Plan, worker: Worker) -> Iterator[tuple[Report, bool]]:
    """What comes of a job, step by step, and whether it is the last of it.

    Args:
        parcel: None for a job that is to stop before it has begun.
    """
    if parcel is None:
        yield Report(Evaluation(0, early="stopped")), True
        return
    try:
        (job,) = pickle.loads(parcel.job)  # noqa: S301 - from our own driver
    except Exception:  # a module that is missing here, or anything that its import raises
        yield _evaluate(worker, parcel.job, {}, {}), True  # which says so
        return
    yield from _steps(job, parcel, plan, worker)


def _steps(job: Job, parcel: Parcel, plan: Plan, worker: Worker) -> Iterator[tuple[Report, bool]]:
    # A rung is what a shorter run would have come to, so with rungs there is no head start.
    resume = None if plan.grace else job.resume
    checkpoints, seconds, limit = parcel.checkpoints, 0.0, hard_limit(job)
    for until in plan.steps(replace(job, resume=resume)):
        left = None if job.timeout_seconds is None else max(1e-3, job.timeout_seconds - seconds)
        part = replace(job, until_epoch=until, resume=resume, timeout_seconds=left)
        with _alarm(None if limit is None else limit - seconds):
            report = _evaluate(worker, pickle.dumps([part]), checkpoints, parcel.datasets)
        found = report.outcome
        if isinstance(found, Raised):
            yield report, True
            return
        seconds, resume = seconds + found.seconds, found.artifact
        ended = bool(found.failure or found.early) or until == job.until_epoch
        yield Report(replace(found, seconds=seconds), report.made), ended
        if ended:
            return
        checkpoints = {**parcel.checkpoints, **report.made}


def _evaluate(
    worker: Worker, job: bytes, checkpoints: Mapping[str, bytes], datasets: Mapping[str, Any]
) -> Report:
    content, made = worker.evaluate(job, checkpoints, datasets)
    found = pickle.loads(content)  # noqa: S301 - from a line ago
    return Report(found if isinstance(found, Raised) else found[0], made)


@contextmanager
def _alarm(seconds: float | None) -> Iterator[None]:
    """End this process when the block takes longer, whatever it is that hangs."""
    if seconds is None:
        yield
        return
    with Path(os.devnull).open("w") as nowhere:
        faulthandler.dump_traceback_later(max(0.1, seconds), exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def _listen(desk: Any) -> None:
    """Pass on to the evaluator that it is to stop; end this process with the desk."""
    try:
        ray.get(desk.stopped.remote())
        stopping.request()
        ray.get(desk.gone.remote())
    except Exception:  # however it has gone, and whatever Ray says of that
        os._exit(1)
