"""The driver's side of Ray actors: who is given which batch, and what their end means."""

import pickle
import sys
import threading
import uuid
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from evaluators import artifacts
from evaluators.executors import _ray
from evaluators.executors._pool import WorkerDiedError, WorkerLostError
from evaluators.executors._worker import Raised
from evaluators.preparation import Work
from evaluators.values import Artifact, Evaluation
from search_spaces import UsageError

_PLACE_SECONDS = 30.0
_LEAVE_SECONDS = 2.0


class Wishes(NamedTuple):
    """Which cluster, how many workers, and what each of them reserves (see `ray.build`)."""

    address: str
    workers: int
    num_cpus: float
    num_gpus: float
    memory_gb: float | None


@dataclass(eq=False)
class _Actor:
    """An actor, or one that waits for its place.

    Attributes:
        seen: hashes of the datasets that it knows.
        placed: whether it has ever answered.
    """

    handle: Any
    seen: set[str] = field(default_factory=set)
    placed: bool = False

    def interrupt(self) -> None:
        self.handle.interrupt.remote()

    def leave(self) -> Any:
        return self.handle.leave.remote()

    def kill(self) -> None:
        import ray

        ray.kill(self.handle)


@dataclass(eq=False)
class _Flight:
    """A batch on its way.

    Attributes:
        began: a reference that is there when the actor has come to it.
        timer: that watches over it.
        is_over: whether it has been answered for.
        is_late: whether its actor was killed for its time.
    """

    actor: _Actor
    jobs: Sequence[Work]
    began: Any
    timer: threading.Timer | None = None
    is_over: bool = False
    is_late: bool = False

    def watch(self, seconds: float, function: Callable[[], None]) -> None:
        """Call the function then, unless it has ended or something else is watched for."""
        self.unwatch()
        self.timer = threading.Timer(seconds, function)
        self.timer.daemon = True
        self.timer.start()

    def unwatch(self) -> None:
        if self.timer is not None:
            self.timer.cancel()

    def kill(self) -> None:
        """Its time is over."""
        if not self.is_over:
            self.is_late = True
            self.actor.kill()


class Actors:
    """The workers of a pool: actors, made when they are needed, and again after they died."""

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self._driver = uuid.uuid4().hex[:12]
        self._connected = False
        self._interrupted = False
        self._idle: list[_Actor] = []
        self._flights: dict[Future[Any], _Flight] = {}
        # Datasets by their hashes; the references keep them in the object store.
        self._datasets: dict[str, Any] = {}

    def schedule(self, jobs: Sequence[Work], limit_seconds: float | None) -> "Future[Any]":
        try:
            return self._start(jobs, limit_seconds)
        except _ray.NoRoomError:  # nor would the next batch have any
            raise
        except Exception as error:  # as if a worker had found it: the pool knows what to do
            failed: Future[Any] = Future()
            failed.set_exception(error)
            return failed

    def _start(self, jobs: Sequence[Work], limit_seconds: float | None) -> "Future[Any]":
        datasets = {job.dataset.sha256: job.dataset for job in jobs if job.dataset}
        self._connect(datasets.values())
        content, checkpoints = pickle.dumps(jobs), _checkpoints(jobs)
        references = {sha256: self._reference(dataset) for sha256, dataset in datasets.items()}
        actor = self._free()
        unseen = {sha256: r for sha256, r in references.items() if sha256 not in actor.seen}
        began = actor.handle.begin.remote()
        future: Future[Any] = actor.handle.evaluate.remote(content, checkpoints, unseen).future()
        actor.seen |= unseen.keys()
        flight = self._flights[future] = _Flight(actor, jobs, began)
        if not actor.placed:
            flight.watch(_PLACE_SECONDS, self._say_waiting)
        if not actor.placed or limit_seconds is not None:
            began.future().add_done_callback(lambda f: self._began(flight, f, limit_seconds))
        return future

    def _connect(self, datasets: Iterable[Artifact]) -> None:
        if not self._connected:
            size = sum(artifacts.path(dataset).stat().st_size for dataset in datasets)
            _ray.connect(*self._wishes, store_bytes=size)
            self._connected = True

    def _reference(self, dataset: Artifact) -> Any:
        import ray

        if dataset.sha256 not in self._datasets:
            content = artifacts.verified(dataset).read_bytes()
            self._datasets[dataset.sha256] = ray.put(np.frombuffer(content, np.uint8))
        return self._datasets[dataset.sha256]

    def _free(self) -> _Actor:
        """An idle actor: one that has its place, if there is one, and was busy last."""
        while len(self._idle) + len(self._flights) < self._wishes.workers:
            self._idle.append(self._new())
        self._idle.sort(key=lambda actor: not actor.placed)
        return self._idle.pop(0)

    def _new(self) -> _Actor:
        import ray

        from evaluators.executors._ray_worker import CONTROL, Worker

        wishes = self._wishes
        options: dict[str, Any] = {
            "num_cpus": wishes.num_cpus,
            "num_gpus": wishes.num_gpus,
            "max_restarts": 0,
            "concurrency_groups": {CONTROL: 1},
        }
        if wishes.memory_gb is not None:
            options["memory"] = int(wishes.memory_gb * 2**30)
        made = ray.remote(**options)(Worker)
        actor = _Actor(made.remote(self._driver, sys.path, 0 < wishes.num_gpus < 1))
        if self._interrupted:
            actor.interrupt()
        return actor

    def _began(self, flight: _Flight, began: "Future[Any]", limit_seconds: float | None) -> None:
        """Called in a thread of Ray's when the actor has come to a batch, or never will."""
        flight.unwatch()
        if began.exception() is None:
            flight.actor.placed = True
            if limit_seconds is not None and not flight.is_over:
                flight.watch(limit_seconds, flight.kill)

    def _say_waiting(self) -> None:
        wishes = self._wishes
        warnings.warn(
            f"a worker with {wishes.num_cpus:g} CPU, {wishes.num_gpus:g} GPU has waited "
            f"{_PLACE_SECONDS:g} s for its place in the Ray cluster, and goes on waiting: others "
            "use it (`ray status` says what is free), or it starts slowly",
            stacklevel=2,
        )

    def outcome(self, future: "Future[Any]") -> Sequence[Evaluation] | Raised:
        flight = self._flights.pop(future, None)
        if flight is None:
            future.result()  # raises what `schedule` has put there
            raise RuntimeError("no such batch")
        flight.is_over = True
        flight.unwatch()
        try:
            content, made = future.result()
        except Exception as error:
            flight.actor.kill()
            raise _meaning(error, flight) from error
        self._idle.insert(0, flight.actor)
        result: Sequence[Evaluation] | Raised = pickle.loads(content)  # noqa: S301 - from our actor
        if isinstance(result, Raised):
            flight.actor.seen.clear()  # it may not have come to fetch them
            return result
        for evaluation, job in zip(result, flight.jobs, strict=True):
            if evaluation.artifact is not None:
                artifacts.write(job.store, made[evaluation.artifact.sha256])
        return [_of_store(e, job.store) for e, job in zip(result, flight.jobs, strict=True)]

    def interrupt(self) -> None:
        self._interrupted = True
        for actor in self._all():
            actor.interrupt()

    def stop(self) -> None:
        self._interrupted = False
        if not self._connected:
            return
        import ray

        actors = self._all()
        leaving = [actor.leave() for actor in actors if actor.placed]
        if leaving:
            ray.wait(leaving, num_returns=len(leaving), timeout=_LEAVE_SECONDS)
        for actor in actors:
            actor.kill()
        for flight in self._flights.values():
            flight.is_over = True
            flight.unwatch()
        self._idle, self._flights, self._datasets = [], {}, {}
        self._connected = False
        _ray.disconnect()

    def _all(self) -> list[_Actor]:
        return [*self._idle, *(flight.actor for flight in self._flights.values())]


def _checkpoints(jobs: Sequence[Work]) -> dict[str, bytes]:
    """What the jobs read besides datasets, by its hash."""
    named = {artifact.sha256: artifact for job in jobs for artifact in job.reads}
    return {sha256: artifacts.path(artifact).read_bytes() for sha256, artifact in named.items()}


def _of_store(evaluation: Evaluation, store: str) -> Evaluation:
    if evaluation.artifact is None:
        return evaluation
    return replace(evaluation, artifact=Artifact(store, evaluation.artifact.sha256))


def _meaning(error: Exception, flight: _Flight) -> Exception:
    """What an exception of Ray's says of a batch, in the terms of the pool."""
    from ray.exceptions import ActorDiedError, OutOfMemoryError, RayError, RayTaskError

    if flight.is_late:
        return TimeoutError()
    if isinstance(error, OutOfMemoryError):
        return WorkerDiedError("Ray killed it, for want of memory on its node", "out_of_memory")
    if isinstance(error, ActorDiedError) and error.actor_init_failed:
        return UsageError(
            "executor ray: a worker cannot start on its node; are gnn-nas and the modules of your "
            f"plug-ins installed there? {error}"
        )
    if isinstance(error, RayTaskError) or not isinstance(error, RayError):
        return error
    if isinstance(error, ActorDiedError) and _was_begun(flight) and not _left_with_node(error):
        return WorkerDiedError(_death(error))
    return WorkerLostError(f"a worker of the Ray cluster is lost: {_death(error)}")


def _was_begun(flight: _Flight) -> bool:
    import ray
    from ray.exceptions import RayError

    try:
        ray.get(flight.began, timeout=_LEAVE_SECONDS)
    except RayError:  # it was not, or that is not to be known
        return False
    return True


def _left_with_node(error: Any) -> bool:
    return bool(error.preempted) or "node has died" in str(error)


def _death(error: Exception) -> str:
    """Of Ray's many lines, the one that says how; it cannot tell a signal from an exit."""
    text = " ".join(str(error).split())
    how = text.partition("Worker exit detail:")[2].strip() or text
    if "End of file" in how:
        return "killed, perhaps for want of memory, or it left by itself"
    return how
