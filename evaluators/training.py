"""Trains each candidate from scratch and reports its best validation epoch.

Each epoch is one pass over the training units and one over the validation units; the epoch with
the best value of the dataset's metric counts (`best_epoch`), with the weights it had. The learning
rate is constant and nothing depends on the number of epochs asked for, so a run that stops early is
a prefix of a longer one. Asked to stop (`evaluators.stopping`), all jobs of a batch end with their
present epoch, with a checkpoint from which they go on as if nothing had happened. With several
seeds or folds the metrics are means over all runs. Optimizers: adam (Kingma & Ba, Adam: A Method
for Stochastic Optimization, 2015), adamw (Loshchilov & Hutter, Decoupled Weight Decay
Regularization, 2019), sgd with momentum 0.9.
"""

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from statistics import fmean, stdev
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le, Lt
from torch import nn

from evaluators import checkpoint
from evaluators._batches import batches_of
from evaluators._faults import CandidateError, memory_fault, network_fault
from evaluators._folds import run_folds
from evaluators._memory import available_bytes, explained
from evaluators._paths import DeviceName, Means, Precision, train
from evaluators._recipe import OptimizerName, Recipe, seed_torch
from evaluators._runs import Allowance, Run
from evaluators.latency.allocator import kept_memory
from evaluators.values import ALIKE, Artifact, Evaluation, Evaluator, Inheritance, Job
from search_spaces import PluginError, Task, plugins
from search_spaces.errors import did_you_mean

_METRICS = (
    "val_accuracy",
    "val_macro_f1",
    "val_roc_auc",
    "val_loss",
    "train_loss",
    "best_epoch",
    "train_seconds",
)


def build(
    task: Task,
    *,
    epochs: Annotated[int, Ge(1)] = 200,
    lr: Annotated[float, Ge(0)] = 0.01,
    weight_decay: Annotated[float, Ge(0)] = 5e-4,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.5,
    optimizer: OptimizerName = "adam",
    patience: Annotated[int, Ge(1)] | None = None,
    seeds: Annotated[int, Ge(1), Le(1_000)] = 1,
    folds: Annotated[int, Ge(0)] = 0,
    batch_size: Annotated[int, Ge(1)] = 128,
    share_input_dropout: bool = False,
    precision: Precision = "float32",
    device: DeviceName = "auto",
) -> Evaluator:
    """The evaluator for a task.

    Args:
        task: what the networks fit.
        epochs: until when a candidate is trained.
        lr, weight_decay, dropout: used where the space has no `train.` decision of that name.
        optimizer: adam, adamw or sgd.
        patience: stop a run after so many epochs without a better validation value.
        seeds: how many runs to average, each with its own weights and random numbers.
        folds: 0 for the dataset's own split; k for stratified k-fold over its train and validation
            units. There are seeds x folds runs. Class weights and standardized features stay those
            of the dataset's own train split.
        batch_size: graphs a step, at most; a node task is trained on the whole graph.
        share_input_dropout: all runs of an epoch drop the same features, which makes cohorts
            faster; each run's result is as valid, but their errors are no longer independent.
        precision: of training: float32; float64; bfloat16 for the dense products on a GPU alone.
        device: auto (a GPU where there is one), cpu or cuda.

    Raises:
        PluginError: 1 fold, or more than there are units; an option out of its range.
    """
    if folds == 1 or folds > task.n_train + task.n_val:
        raise PluginError(
            "folds: expected 0 (the dataset's own split) or from 2 to "
            f"{task.n_train + task.n_val}, as many as have a label in train and val, got {folds}"
        )
    recipe = Recipe(lr, weight_decay, dropout, optimizer, patience, batch_size)
    means = Means(precision, device, share_input_dropout)
    return Training(task.metric, epochs, recipe, seeds, folds, means)


class Training:
    def __init__(
        self, metric: str, epochs: int, recipe: Recipe, seeds: int, folds: int, means: Means
    ) -> None:
        self.epochs = epochs
        self.stderr = f"val_{metric}_stderr"
        self.recipe, self.seeds, self.folds, self.means = recipe, seeds, folds, means
        runs = seeds * max(1, folds)
        # Of a network over the training units, in all its runs: what a preparation is weighed by.
        self.passes = epochs * runs
        several = runs > 1
        self.metrics = (*_METRICS, self.stderr) if several else _METRICS

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        # The random numbers of whoever called us stay as they are. Memory that a step has freed is
        # for the next: pages that the system has to clear would be most of a large graph's time.
        with torch.random.fork_rng(devices=[]), kept_memory():
            started = [self._start(job) for job in jobs]
            runs = [run for runs in started if not isinstance(runs, Evaluation) for run in runs]
            if runs:
                train(runs, batches_of(jobs[0].dataset), self.means)
            return [
                found if isinstance(found, Evaluation) else self._end(job, found)
                for job, found in zip(jobs, started, strict=True)
            ]

    def _start(self, job: Job) -> list[Run] | Evaluation:
        """The runs of a job, or its failure."""
        began, free = time.perf_counter(), available_bytes()
        try:
            with memory_fault("building the network"):
                runs = self._runs(job)
        except CandidateError as error:
            seconds = time.perf_counter() - began
            return Evaluation(0, seconds=seconds, failure=explained(error.failure, free))
        runs[0].allowance.spent += time.perf_counter() - began
        return runs

    def _end(self, job: Job, runs: Sequence[Run]) -> Evaluation:
        began = time.perf_counter()
        seconds = runs[0].allowance.spent
        notes = runs[0].notes
        fault = next((run.fault for run in runs if run.fault is not None), None)
        if fault is not None:
            return Evaluation(fault.epoch, seconds=seconds, failure=fault.failure, notes=notes)
        y = batches_of(job.dataset).dataset.y
        for run in runs:
            run.measure(y[run.fold.val])
        if not all(run.is_done for run in runs):
            epoch = min(run.state.epoch for run in runs)
            # The weights that it would begin with again are not worth a file.
            has_begun = any(run.state.epoch for run in runs)
            artifact = self._save(job, runs, final=False) if has_begun else None
            seconds += time.perf_counter() - began
            return Evaluation(epoch, {}, seconds, artifact, early="stopped", notes=notes)
        measured = self._average([run.state.metrics for run in runs])
        artifact = self._save(job, runs, final=job.until_epoch >= self.epochs)
        seconds += time.perf_counter() - began
        return Evaluation(job.until_epoch, measured, seconds, artifact, notes=notes)

    def _runs(self, job: Job) -> list[Run]:
        recipe, batches = self._recipe(job), batches_of(job.dataset)
        folds = run_folds(batches.dataset, job.seed, self.seeds, self.folds)
        allowance = Allowance(job.timeout_seconds)
        key = int(job.architecture.key[:16], 16)
        runs = []
        for index, fold in enumerate(folds):
            seed_torch(job.seed, index, 0)
            with network_fault("building the network"):
                network = job.space.network(job.architecture, batches.dataset.task)
            network.to(self.means.dtype)
            if job.resume is None:
                self.begin(network, job, index)
            run = Run(network, recipe, fold, job.seed, index, key, job.until_epoch, allowance)
            self.teach(run, job)
            runs.append(run)
        if job.resume is not None:
            for run, state in zip(
                runs, checkpoint.resume(job.resume, self._identity(job)), strict=True
            ):
                run.network.load_state_dict(state.current)
                run.state = state
        return runs

    def begin(self, network: nn.Module, job: Job, index: int) -> None:
        """Give the network of a run, just built, the weights that it begins with."""
        if job.inherit is None:
            return
        inherit = job.inherit
        parents = _parents(inherit.artifact, inherit.architecture)
        take_over = plugins.load("inheritance", inherit.by).inherit
        parent = parents[index % len(parents)]
        task = batches_of(job.dataset).dataset.task
        parent = dataclasses.replace(parent, space=job.space, task=task)
        take_over(network, job.architecture, parent)

    def teach(self, run: Run, job: Job) -> None:
        """Give a run what it is to learn besides the labels: nothing here."""

    def _recipe(self, job: Job) -> Recipe:
        known = {field.name for field in dataclasses.fields(Recipe)}
        decided: Mapping[str, Any] = job.architecture.recipe
        for name in decided:
            if name not in known:
                raise PluginError(
                    f'evaluator training has no option "{name}" for the decision "train.{name}"; '
                    f"{did_you_mean(name, known)}"
                )
        return dataclasses.replace(self.recipe, **decided)

    def _identity(self, job: Job) -> dict[str, Any]:
        """What two jobs have in common when one goes on where the other stopped."""
        return {
            "architecture": job.architecture.key,
            # Not the file's hash: the last bits of prepared features vary from machine to machine.
            "dataset": batches_of(job.dataset).dataset.fingerprint,
            "seed": job.seed,
            "recipe": dataclasses.asdict(self.recipe),
            "seeds": self.seeds,
            "folds": self.folds,
            "inherit": job.inherit and _inherited(job.inherit),
        }

    def _average(self, runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
        means = {name: fmean(run[name] for run in runs) for name in runs[0]}
        if len(runs) > 1:
            values = [run[self.stderr.removesuffix("_stderr")] for run in runs]
            means[self.stderr] = stdev(values) / math.sqrt(len(values))
        return means

    def _save(self, job: Job, runs: Sequence[Run], *, final: bool) -> Artifact:
        for run in runs if not final else ():
            run.state.current = {
                name: tensor.cpu().clone() for name, tensor in run.network.state_dict().items()
            }
        states = [run.state for run in runs]
        return checkpoint.write(
            job.store, self._identity(job), runs[0].signatures, states, final=final
        )


# Of one checkpoint at a time: it is for all runs of a job.
_parents = lru_cache(maxsize=1)(checkpoint.parents)


def _inherited(inherit: Inheritance) -> str | list[str]:
    """Of the usual way the artifact alone, as in checkpoints of before there were others."""
    sha256 = inherit.artifact.sha256
    return sha256 if inherit.by == ALIKE else [sha256, inherit.by]
