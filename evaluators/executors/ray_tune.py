"""Evaluates as trials of Ray Tune, for its schedulers, loggers, callbacks and tables.

The study asks, decides and records, as ever; each of its jobs is a trial of one `Tuner.fit` that
runs beside the driver, on a cluster of this machine or on one that is there. Nothing that Tune
writes is read again: a study that was killed goes on with a new Tuner, which gets what is missing.
A trial costs tens of milliseconds; where they are short, `processes` and `ray` are faster.
"""

import importlib
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from annotated_types import Ge, Gt

from evaluators import artifacts
from evaluators.executors import _ray
from evaluators.executors._tune_exchange import Exchange
from evaluators.executors.inline import bounded
from evaluators.preparation import Work
from evaluators.values import Evaluation, Executor, Job
from search_spaces import PluginError, UsageError

if TYPE_CHECKING:
    from evaluators.executors._tune_trainable import Plan

Logger: TypeAlias = Literal["csv", "json", "tensorboard"]
Mode: TypeAlias = Literal["max", "min"]
_DIRECTIONS: Mapping[str, Mode] = {"maximize": "max", "minimize": "min"}
_NO_PREPARATION = (
    "executor ray_tune: its trials are candidates, and this study prepares something first; use "
    'the executor "ray"'
)
_FOR_ASHA = ("metric", "mode", "grace_epochs", "reduction")
# Trials that were told to end have up to fifteen seconds with Tune.
_END_SECONDS = 30.0


def build(
    *,
    workers: Annotated[int, Ge(1)] = 1,
    num_cpus: Annotated[float, Gt(0)] = 1.0,
    num_gpus: Annotated[float, Ge(0)] = 0.0,
    address: str = "",
    timeout_seconds: Annotated[float, Gt(0)] | None = None,
    scheduler: Literal["fifo", "asha"] = "fifo",
    metric: str | None = None,
    mode: Mode | None = None,
    grace_epochs: Annotated[int, Ge(1)] | None = None,
    reduction: Annotated[int, Ge(2)] | None = None,
    report_epochs: Annotated[int, Ge(1)] | None = None,
    loggers: Sequence[Logger] = ("csv", "json", "tensorboard"),
    callbacks: Sequence[str] = (),
    results: str = "ray_results",
    experiment: str = "nas",
) -> Executor:
    """The executor.

    Args:
        workers: how many trials run at a time.
        num_cpus, num_gpus: that each of them reserves, fractions too; it has one thread.
        address: of a cluster ("auto", "host:port", "ray://host:port"); "" for one of this machine,
            which ends with the study.
        timeout_seconds: a bound on each candidate: checked by the evaluator first; a worker that
            has not ended one second and a tenth later is killed.
        scheduler: fifo lets every trial run to its end; asha ends those that are behind. Their
            result is that of the epoch they had come to. Not together with [halving].
        metric, mode: for asha: the study's one objective, and whether it is "max" or "min".
        grace_epochs, reduction: for asha: the first rung, and how many trials there are to one that
            goes on (4); the next rung is so many times further.
        report_epochs: report to Tune every so many epochs too, not only at rungs and the end.
        loggers: which of Tune's loggers write.
        callbacks: classes of Tune callbacks, "package.module.Class", made without arguments.
        results: folder of what Tune and its loggers write.
        experiment: its name; each run of a study adds the time, and is an experiment of its own.

    Raises:
        PluginError: options that contradict each other, or a callback that is none.
    """
    given = {"metric": metric, "mode": mode, "grace_epochs": grace_epochs, "reduction": reduction}
    _check_scheduler(scheduler, given)
    from evaluators.executors._tune_trainable import Plan

    return _RayTune(
        workers,
        _Wishes(
            num_cpus=num_cpus,
            num_gpus=num_gpus,
            address=address,
            timeout_seconds=timeout_seconds,
            target=(metric, mode) if metric and mode else None,
            plan=Plan(grace_epochs or 0, reduction or 4, report_epochs or 0),
            loggers=tuple(loggers),
            callbacks=tuple(_callback(path) for path in callbacks),
            folder=Path(results),
            experiment=experiment,
        ),
    )


def refuse(
    objectives: Mapping[str, str], halving: bool, prepares: bool, options: Mapping[str, Any]
) -> None:
    """Raise a `UsageError` where a study and this executor's options do not go together.

    Args:
        objectives: {metric: "maximize" or "minimize"}.
        halving: whether the study has rungs of its own.
        prepares: whether it has something prepared before its trials.
        options: of this executor.
    """
    _ray.refuse(options)
    if prepares:
        raise PluginError(_NO_PREPARATION)
    if options.get("scheduler", "fifo") != "asha":
        return
    if halving:
        raise UsageError('scheduler: "asha" and [halving] both end trials; leave one out')
    wanted = {"metric": options.get("metric"), "mode": options.get("mode")}
    has = [{"metric": name, "mode": _DIRECTIONS[up]} for name, up in objectives.items()]
    if has != [wanted]:
        one = has[0] if len(has) == 1 else {}
        fitting = ", ".join(f'{key} = "{value}"' for key, value in one.items())
        remedy = f"write {fitting}" if fitting else 'use "fifo"'
        raise UsageError(
            f'scheduler: "asha" is for one objective, its metric and mode; the '
            f"study has {', '.join(f'{n} ({up})' for n, up in objectives.items())}; give {remedy}"
        )


def _check_scheduler(scheduler: str, given: Mapping[str, Any]) -> None:
    if scheduler == "asha":
        missing = [name for name in _FOR_ASHA[:3] if given[name] is None]
        if missing:
            raise PluginError(
                f'scheduler: "asha" needs {", ".join(missing)} too: metric and '
                "mode are those of the study's objective, grace_epochs is the first rung"
            )
    elif useless := [name for name in _FOR_ASHA if given[name] is not None]:
        raise PluginError(
            f'{useless[0]}: only for scheduler = "asha", got "{scheduler}"; leave out '
            f"{', '.join(useless)}"
        )


def _callback(path: str) -> Any:
    """A callback of the user, from where it is."""
    from ray.tune import Callback

    module, _, name = path.rpartition(".")
    try:
        made = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise PluginError(
            f'callbacks: expected each as "package.module.Class", made without '
            f'arguments, got "{path}" ({error})'
        ) from error
    if not isinstance(made, Callback):
        raise PluginError(f'callbacks: "{path}" is no ray.tune.Callback')
    return made


@dataclass(frozen=True)
class _Wishes:
    num_cpus: float
    num_gpus: float
    address: str
    timeout_seconds: float | None
    target: tuple[str, Mode] | None
    plan: "Plan"
    loggers: tuple[Logger, ...]
    callbacks: tuple[Any, ...]
    folder: Path
    experiment: str


class _RayTune:
    in_process = False

    def __init__(self, workers: int, wishes: _Wishes) -> None:
        self.workers = workers
        self._wishes = wishes
        self._submitted = 0
        self._exchange = Exchange(wishes.target[0] if wishes.target else None)
        self._desk: Any = None
        self._fit: threading.Thread | None = None

    def submit(self, jobs: Sequence[Work]) -> int:
        candidates = [job for job in jobs if isinstance(job, Job)]
        if len(candidates) < len(jobs):
            raise PluginError(_NO_PREPARATION)
        if len(self._exchange) >= self.workers:
            raise RuntimeError(f"all {self.workers} workers are busy; call wait() first")
        if self._fit is None:
            self._start(candidates)
        handle, self._submitted = self._submitted, self._submitted + 1
        self._exchange.put(handle, bounded(candidates, self._wishes.timeout_seconds))
        return handle

    def wait(self, timeout_seconds: float | None = None) -> Mapping[int, Sequence[Evaluation]]:
        return self._exchange.ended(timeout_seconds)

    def interrupt(self) -> None:
        self._exchange.interrupt()
        if self._desk is not None:
            self._desk.stop.remote()

    def shutdown(self, wait: bool = True) -> None:
        while wait and len(self._exchange):
            self.wait()
        abandons = len(self._exchange) > 0
        self._exchange.close(abandons)
        if self._fit is None:
            return
        import ray

        if abandons:
            # Its workers end with it, whatever they are at.
            ray.kill(self._desk)
        self._fit.join(_END_SECONDS)
        ray.kill(self._desk)
        self._fit = self._desk = None
        _ray.disconnect()

    def _start(self, jobs: Sequence[Job]) -> None:
        """Connect, and let Tune run.

        Args:
            jobs: the first ones; all have one dataset, and are done at one epoch.
        """
        wishes = self._wishes
        datasets = {job.dataset for job in jobs if job.dataset is not None}
        size = sum(artifacts.path(dataset).stat().st_size for dataset in datasets)
        _ray.connect(
            wishes.address, self.workers, wishes.num_cpus, wishes.num_gpus, store_bytes=size
        )
        try:
            self._begin(jobs[0].until_epoch)
        except BaseException:
            _ray.disconnect()
            raise

    def _begin(self, epochs: int) -> None:
        from evaluators.executors import _tune_search
        from evaluators.executors._tune_trainable import Setting

        wishes = self._wishes
        self._desk = _tune_search.make_desk()
        tuner = _tune_search.make_tuner(
            self._exchange,
            self._desk,
            Setting(wishes.plan, shares_gpu=0 < wishes.num_gpus < 1),
            _tune_search.asha(*wishes.target, wishes.plan, epochs) if wishes.target else None,
            workers=self.workers,
            resources={"cpu": wishes.num_cpus, "gpu": wishes.num_gpus},
            loggers=wishes.loggers,
            callbacks=wishes.callbacks,
            folder=_experiment(wishes.folder, wishes.experiment),
        )
        # Tune puts handlers of signals in the place of the driver's, but in the main thread alone.
        self._fit = threading.Thread(target=self._run, args=(tuner,), name="tune", daemon=True)
        self._fit.start()

    def _run(self, tuner: Any) -> None:
        try:
            tuner.fit()
        except BaseException as error:
            self._exchange.fail(error)
        else:
            if not self._exchange.finished:
                self._exchange.fail(RuntimeError("Ray Tune has ended before the study"))


def _experiment(folder: Path, name: str) -> Path:
    """Where an experiment that is only this run's writes."""
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    return folder.resolve() / f"{name}_{stamp}_{os.getpid()}"
