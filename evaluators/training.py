"""Trains each candidate from scratch and reports its best validation epoch.

Each epoch is one pass over the training units and one over the validation units; the epoch with
the best value of the dataset's metric counts, with the weights it had. The learning rate is
constant and nothing depends on the number of epochs asked for, so a run that stops early is a
prefix of a longer one. With several seeds or folds the metrics are means over all runs. Optimizers:
adam (Kingma & Ba, Adam: A Method for Stochastic Optimization, 2015), adamw (Loshchilov & Hutter,
Decoupled Weight Decay Regularization, 2019), sgd with momentum 0.9.
"""

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Annotated, Any

import torch
from annotated_types import Ge, Lt

from evaluators import checkpoint
from evaluators._batches import Batches, prepared
from evaluators._faults import CandidateError, memory_fault, network_fault
from evaluators._fit import OptimizerName, Recipe, Run, seed_torch
from evaluators._folds import Fold, run_folds
from evaluators._inherit import inherit
from evaluators.values import Artifact, Evaluation, Evaluator, Job
from search_spaces import PluginError, Task
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
    seeds: Annotated[int, Ge(1)] = 1,
    folds: Annotated[int, Ge(0)] = 0,
    batch_size: Annotated[int, Ge(1)] = 128,
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

    Raises:
        PluginError: 1 fold, or more than there are units; an option out of its range.
    """
    if folds == 1 or folds > task.n_train + task.n_val:
        raise PluginError(
            "evaluator training: expected folds = 0 (the dataset's own split) or from 2 to "
            f"{task.n_train + task.n_val} (the train and validation units), got {folds}"
        )
    recipe = Recipe(lr, weight_decay, dropout, optimizer, patience, batch_size)
    return _Training(task.metric, epochs, recipe, seeds, folds)


class _Training:
    def __init__(self, metric: str, epochs: int, recipe: Recipe, seeds: int, folds: int) -> None:
        self.epochs = epochs
        self.stderr = f"val_{metric}_stderr"
        self.recipe, self.seeds, self.folds = recipe, seeds, folds
        several = seeds * max(1, folds) > 1
        self.metrics = (*_METRICS, self.stderr) if several else _METRICS

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        return [self._evaluate(job) for job in jobs]

    def _evaluate(self, job: Job) -> Evaluation:
        started = time.perf_counter()
        try:
            # The random numbers of whoever called us stay as they are.
            with torch.random.fork_rng(devices=[]), memory_fault("training the network"):
                runs = self._train(job)
                measured = self._average([run.best_metrics() for run in runs])
                artifact = self._save(job, runs)
        except CandidateError as error:
            seconds = time.perf_counter() - started
            return Evaluation(error.epoch, seconds=seconds, failure=error.failure)
        seconds = time.perf_counter() - started
        return Evaluation(job.until_epoch, measured, seconds, artifact)

    def _train(self, job: Job) -> list[Run]:
        limit = math.inf if job.timeout_seconds is None else job.timeout_seconds
        deadline = time.monotonic() + limit
        batches = prepared(job.dataset)
        folds = run_folds(batches.dataset, job.seed, self.seeds, self.folds)
        runs = self._start(job, batches, folds)
        for run in runs:
            run.train_to(job.until_epoch, deadline)
        return runs

    def _start(self, job: Job, batches: Batches, folds: Sequence[Fold]) -> list[Run]:
        recipe = self._recipe(job)
        parent = None if job.inherit is None else checkpoint.parent_weights(job.inherit)
        runs = []
        for index, fold in enumerate(folds):
            seed_torch(job.seed, index, 0)
            with network_fault("building the network"):
                network = job.space.network(job.architecture, batches.dataset.task)
            if parent is not None and job.resume is None:
                theirs, weights = parent
                inherit(network, weights[index % len(weights)], theirs)
            runs.append(Run(network, recipe, batches, fold, job.seed, index))
        if job.resume is not None:
            _thaw(runs, job.resume, self._identity(job))
        return runs

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
            "dataset": prepared(job.dataset).dataset.fingerprint,
            "seed": job.seed,
            "recipe": dataclasses.asdict(self.recipe),
            "seeds": self.seeds,
            "folds": self.folds,
            "inherit": job.inherit.sha256 if job.inherit else None,
        }

    def _average(self, runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
        means = {name: fmean(run[name] for run in runs) for name in runs[0]}
        if len(runs) > 1:
            values = [run[self.stderr.removesuffix("_stderr")] for run in runs]
            means[self.stderr] = stdev(values) / math.sqrt(len(values))
        return means

    def _save(self, job: Job, runs: Sequence[Run]) -> Artifact:
        final = job.until_epoch >= self.epochs
        states = [run.state if final else run.freeze() for run in runs]
        for run in runs:
            run.state.metrics = run.best_metrics()
        parts = runs[0].signatures
        return checkpoint.write(job.store, self._identity(job), parts, states, final=final)


def _thaw(runs: Sequence[Run], artifact: Artifact, identity: Mapping[str, Any]) -> None:
    for run, state in zip(runs, checkpoint.resume(artifact, identity), strict=True):
        run.thaw(state)
