"""Tune's side in the driver's process: a searcher that proposes what the study has, and a Tuner."""

import logging
import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.cloudpickle
from ray import tune
from ray.exceptions import ActorUnavailableError, RayActorError
from ray.tune import Callback, Stopper
from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback, TBXLoggerCallback
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from evaluators import artifacts
from evaluators.executors import _worker
from evaluators.executors._tune_exchange import Exchange, Report
from evaluators.executors._tune_trainable import REPORT, Desk, Evaluate, Parcel, Plan, Setting
from evaluators.values import Job
from search_spaces import UsageError

LOGGERS: Mapping[str, type[Callback]] = {
    "csv": CSVLoggerCallback,
    "json": JsonLoggerCallback,
    "tensorboard": TBXLoggerCallback,
}
# What Ray says only in words.
_NO_MEMORY, _NODE_DIED = "running low on memory", "node has died"
_NO_START = (
    "executor ray_tune: a worker cannot start on its node; are gnn-nas and the modules of your "
    "plug-ins installed there? "
)
# Read by Tune in this process. It keeps its tables to itself; the study has its own.
_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


class Search(Searcher):  # type: ignore[misc]  # ray has no types
    """Gives Tune the study's jobs as they come."""

    def __init__(self, exchange: Exchange, desk: Any) -> None:
        super().__init__()
        self._exchange, self._desk = exchange, desk
        # By their hashes; the references keep them in the object store.
        self._datasets: dict[str, Any] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        while (task := self._exchange.next(trial_id)) is not None:
            try:
                parcel = self._parcel(task.job)
            except Exception as error:  # as if a worker had found it
                self._exchange.report(trial_id, Report(_worker.raised(error, [task.job])))
                continue
            ray.get(self._desk.lay.remote(trial_id, parcel))
            return dict(task.job.architecture.choices)
        return Searcher.FINISHED if self._exchange.finished else None

    def _parcel(self, job: Job) -> Parcel:
        """The job with what it reads, for a worker that shares no disk with us."""
        named = job.reads
        checkpoints = {a.sha256: artifacts.path(a).read_bytes() for a in named if a is not None}
        datasets = {}
        if job.dataset is not None:
            sha256 = job.dataset.sha256
            if sha256 not in self._datasets:
                content = artifacts.verified(job.dataset).read_bytes()
                self._datasets[sha256] = ray.put(np.frombuffer(content, np.uint8))
            datasets[sha256] = self._datasets[sha256]
        return Parcel(pickle.dumps([job]), checkpoints, datasets)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing: `HandOver` tells the driver."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is in its database."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class HandOver(Callback):  # type: ignore[misc]  # ray has no types
    """Hands the evaluations of Tune's trials to the driver; comes before all other callbacks."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def on_trial_start(self, *, trial: Any, **_: Any) -> None:
        self._exchange.start(trial.trial_id)

    def on_trial_result(self, *, trial: Any, result: dict[str, Any], **_: Any) -> None:
        self._exchange.report(trial.trial_id, result.pop(REPORT))

    def on_trial_complete(self, *, trial: Any, **_: Any) -> None:
        self._exchange.end(trial.trial_id)

    def on_trial_error(self, *, trial: Any, **_: Any) -> None:
        # Tune's own getters read the place to which it copies all this now and then.
        said = Path(trial.error_file).read_text(encoding="utf-8")
        pickled = trial.pickled_error_file
        error = ray.cloudpickle.loads(Path(pickled).read_bytes()) if pickled else None
        if _NO_MEMORY in said:
            how = "Ray killed it, for want of memory on its node"
            self._exchange.die(trial.trial_id, how, "out_of_memory")
        elif not isinstance(error, RayActorError):
            self._exchange.break_trial(trial.trial_id, RuntimeError(f"Ray Tune failed:\n{said}"))
        elif error.actor_init_failed:
            self._exchange.break_trial(trial.trial_id, UsageError(f"{_NO_START}{error}"))
        elif error.preempted or _NODE_DIED in said or isinstance(error, ActorUnavailableError):
            self._exchange.lose(trial.trial_id, error)
        else:
            self._exchange.die(trial.trial_id, "killed, or it left by itself", "crash")


class Abandoned(Stopper):  # type: ignore[misc]  # ray has no types
    """Ends all trials when nobody waits for them any more."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __call__(self, *_: Any) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._exchange.abandoned


def make_desk() -> Any:
    """The desk, beside the driver."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return ray.remote(Desk).options(num_cpus=0, scheduling_strategy=here).remote()


def make_tuner(
    exchange: Exchange,
    desk: Any,
    setting: Setting,
    scheduler: TrialScheduler | None,
    *,
    workers: int,
    resources: Mapping[str, float],
    loggers: Sequence[str],
    callbacks: Sequence[Callback],
    folder: Path,
) -> tune.Tuner:
    """A Tuner over what the exchange has, until it is closed.

    Args:
        resources: of a trial, by Ray's names: cpu, gpu.
        loggers: of `LOGGERS`.
        folder: for what Tune and its loggers write.
    """
    os.environ |= _ENVIRONMENT
    # What goes wrong is raised in the driver.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    trainable = tune.with_parameters(Evaluate, desk=desk, setting=setting)
    return tune.Tuner(
        tune.with_resources(trainable, dict(resources)),
        tune_config=tune.TuneConfig(
            search_alg=Search(exchange, desk),
            scheduler=scheduler,
            num_samples=-1,
            max_concurrent_trials=workers,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            callbacks=[HandOver(exchange), *callbacks, *(LOGGERS[name]() for name in loggers)],
            stop=Abandoned(exchange),
            # What dies is tried again by the exchange, which tells a hanging job from a crash.
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )


def asha(metric: str, mode: str, plan: Plan, epochs: int) -> TrialScheduler:
    """ASHA over epochs; `epochs` is when a trial is done."""
    return ASHAScheduler(
        time_attr="training_iteration",
        metric=metric,
        mode=mode,
        max_t=max(epochs, plan.grace),
        grace_period=plan.grace,
        reduction_factor=plan.reduction,
    )
