"""Evaluates each candidate by its slice of a supernet, which is prepared, in tens of milliseconds.

Nothing is trained but the supernet, once, before the first trial (`nas prepared NAME`), unless
`fine_tune_epochs` says so. Three estimates of what a candidate would reach alone:

- `val_accuracy` and the other metrics of its slice, batch normalization recalibrated on training
  data (of a node task on the whole graph, as in training: features, no labels). With
  `fine_tune_epochs`, of its best epoch (`best_epoch`) of as many, begun with the slice.
- `val_accuracy_read_out` (or of the dataset's metric): of the slice with its output fitted anew to
  the training labels, in closed form (see `evaluators.reading_out`).
- `val_accuracy_foreseen`: what is expected of it by a regression that has seen many read-outs, and
  of what its own says beyond that, as much as can be believed (see `evaluators.foreseeing`).

How well each ranks on a dataset, `nas supernet rank` measures. `nas confirm` trains the chosen
alone (`alone_epochs`, `alone_lr`), and that is what counts; so does `nas export`.

Limits: spaces that are elastic (`gnn` without `skip`, recipe decisions and extensions).
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

from evaluators import metrics, preparing, stopping
from evaluators._batches import batches_of
from evaluators._faults import CandidateError, memory_fault
from evaluators._paths import Means
from evaluators._recipe import Recipe
from evaluators.artifacts import ArtifactError
from evaluators.foreseeing import FEWEST, Foresight
from evaluators.preparation import Preparation
from evaluators.preparations._rules import Rule
from evaluators.preparations._states import under
from evaluators.reading_out import ReadOut
from evaluators.slicing import Subnets
from evaluators.training import Training
from evaluators.values import (
    FORESEEN,
    READ_OUT,
    Artifact,
    Evaluation,
    Evaluator,
    Failure,
    Job,
)
from search_spaces import SearchSpace, Task
from search_spaces.plugins import Plugin
from search_spaces.supernet import Supernet

_SLICE = ("val_accuracy", "val_macro_f1", "val_roc_auc", "val_loss")


def build(
    task: Task,
    *,
    epochs: Annotated[int, Ge(1)] = 100,
    masked_epochs: Annotated[int, Ge(0)] = 0,
    steps: Annotated[int, Ge(1)] = 10,
    subnets: Annotated[int, Ge(2), Le(64)] = 4,
    rule: Rule = "fair",
    distill: Annotated[float, Ge(0), Le(1)] | None = None,
    share_transforms: bool = True,
    lr: Annotated[float, Gt(0)] = 0.02,
    weight_decay: Annotated[float, Ge(0)] = 5e-4,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.5,
    batch_size: Annotated[int, Ge(1)] = 128,
    samples: Annotated[int, Ge(FEWEST)] = 400,
    fine_tune_epochs: Annotated[int, Ge(0)] = 0,
    alone_epochs: Annotated[int, Ge(1)] = 200,
    alone_lr: Annotated[float, Gt(0)] = 0.01,
) -> Evaluator:
    """The evaluator for a task.

    Args:
        task: what the networks fit.
        epochs, masked_epochs, steps, subnets, rule, distill, share_transforms: of the supernet's
            training, see the preparation `supernet`.
        lr, weight_decay, dropout, batch_size: of that, and all but the first of fine-tuning.
        samples: slices that the foreseen metric is learned from.
        fine_tune_epochs: how many epochs a slice is trained alone before it counts.
        alone_epochs, alone_lr: how `nas confirm` trains a candidate, from new weights; the latter
            of fine-tuning, too.
    """
    options = {
        "epochs": epochs,
        "masked_epochs": masked_epochs,
        "steps": steps,
        "subnets": subnets,
        "rule": rule,
        "distill": distill,
        "share_transforms": share_transforms,
        "lr": lr,
        "weight_decay": weight_decay,
        "dropout": dropout,
        "batch_size": batch_size,
        "samples": samples,
    }
    each = subnets if task.is_graph_task else steps * subnets
    # Half of the epochs without labels train one network a step.
    passes = epochs * each + masked_epochs * steps * (1 + subnets) / 2
    preparation = Preparation(Plugin("supernet", options), masked_epochs + epochs, passes)
    alone = {"lr": alone_lr, "weight_decay": weight_decay, "dropout": dropout}
    alone_plugin = Plugin("training", {"epochs": alone_epochs, "batch_size": batch_size, **alone})
    recipe = Recipe(alone_lr, weight_decay, dropout, "adam", None, batch_size)
    tuned = _FineTuned(task.metric, fine_tune_epochs, recipe, 1, 0, Means(device="cpu"))
    return Inherited(task, preparation, alone_plugin, tuned if fine_tune_epochs else None)


@dataclass(frozen=True, eq=False)
class Trained:
    """A supernet that was trained, with what was learned from its slices."""

    subnets: Subnets
    weights: Mapping[str, Tensor]
    foresight: Foresight
    read_out: ReadOut


@lru_cache(maxsize=2)
def trained(
    artifact: Artifact, dataset: Artifact, space: SearchSpace, share_transforms: bool
) -> Trained:
    """What a preparation `supernet` has left, to be sliced.

    Raises:
        ArtifactError: it is missing, damaged, not done, or of another space or dataset.
    """
    batches = batches_of(dataset)
    preparing.check_origin(artifact, space, batches.dataset)
    state = preparing.weights(artifact)
    samples = under("samples", state)
    if "trained" not in samples:
        raise ArtifactError(f"the supernet {artifact.sha256[:12]} is not trained to its end")
    architectures = [space.decode(row) for row in samples["architectures"].tolist()]
    supernet = Supernet(space, batches.dataset.task, share_transforms=share_transforms)
    foresight = Foresight(
        space, architectures, samples["begun"].numpy(), samples["trained"].numpy()
    )
    subnets = Subnets(supernet, batches)
    return Trained(subnets, under("weights", state), foresight, ReadOut(subnets))


class Inherited:
    """The evaluator.

    Attributes:
        preparation: of the supernet.
        alone: what trains a candidate for real.
    """

    def __init__(
        self, task: Task, preparation: Preparation, alone: Plugin, tuned: "_FineTuned | None"
    ) -> None:
        self.preparation, self.alone, self._tuned = preparation, alone, tuned
        self.epochs = tuned.epochs if tuned is not None else 1
        # A recalibrated slice costs about a pass.
        self.passes = self.epochs
        self.foreseen = f"val_{task.metric}{FORESEEN}"
        self.read_out = f"val_{task.metric}{READ_OUT}"
        own = tuned.metrics if tuned is not None else (*_SLICE, self.read_out)
        self.metrics = (*own, self.foreseen)
        self._share = bool(preparation.plugin.options["share_transforms"])
        if tuned is not None:
            tuned.share_transforms = self._share

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        with torch.random.fork_rng(devices=[]):
            found = self._tuned.evaluate(jobs) if self._tuned else [self._slice(j) for j in jobs]
            of_supernets: dict[Artifact | None, list[int]] = {}
            for i, evaluation in enumerate(found):
                if evaluation.metrics:
                    of_supernets.setdefault(jobs[i].prepared, []).append(i)
            for measured in of_supernets.values():
                net = self._trained(jobs[measured[0]])
                known = [found[i].metrics.get(self.read_out) for i in measured]
                own = None if self._tuned else np.array(known, dtype=np.float64)
                expected = net.foresight([jobs[i].architecture for i in measured], own)
                tau = f"Kendall's tau {net.foresight.held_out_tau:.2f} with read-outs held out"
                tau += f"; a slice's own counts {net.foresight.belief:.2f}"
                for i, value in zip(measured, expected.tolist(), strict=True):
                    told = {**found[i].metrics, self.foreseen: value}
                    notes = {**found[i].notes, "foresight": tau}
                    found[i] = replace(found[i], metrics=told, notes=notes)
            return found

    def held_out_tau(self, job: Job) -> float:
        """How well the regression of a job's supernet ranks read-outs that it has not seen."""
        return self._trained(job).foresight.held_out_tau

    def _trained(self, job: Job) -> Trained:
        return of_job(job, share_transforms=self._share)

    def _slice(self, job: Job) -> Evaluation:
        if stopping.requested():
            return Evaluation(0, early="stopped")
        began = time.perf_counter()
        try:
            with memory_fault("evaluating the slice"):
                net = self._trained(job)
                dataset = net.subnets.batches.dataset
                units = (dataset.val & (dataset.y >= 0)).nonzero()[:, 0]
                logits = net.subnets.evaluated(net.weights, job.architecture, units)
                fitted = net.read_out.logits(net.weights, job.architecture, units)
        except CandidateError as error:
            return Evaluation(0, seconds=time.perf_counter() - began, failure=error.failure)
        values = metrics.all_metrics(logits, dataset.y[units])
        seconds, loss = time.perf_counter() - began, values["loss"]
        if not math.isfinite(loss):
            fault = Failure("divergence", f"the validation loss of the slice is {loss}, not finite")
            return Evaluation(0, seconds=seconds, failure=fault)
        measured = {f"val_{name}": value for name, value in values.items()}
        value = metrics.selecting(dataset.metric, fitted, dataset.y[units])
        return Evaluation(1, {**measured, self.read_out: value}, seconds)


class _FineTuned(Training):
    """Trains slices for a few epochs, each alone, as any network is trained."""

    share_transforms = True

    def begin(self, network: nn.Module, job: Job, index: int) -> None:  # noqa: ARG002 - one run
        """Give a network its slice."""
        net = of_job(job, share_transforms=self.share_transforms)
        own = net.subnets.network(net.weights, job.architecture)
        network.load_state_dict(own.state_dict())


def of_job(job: Job, *, share_transforms: bool) -> Trained:
    """The supernet of a job.

    Raises:
        ArtifactError: it has none, or `trained` says why.
    """
    if job.prepared is None or job.dataset is None:
        raise ArtifactError(f"{job.label}: nothing was prepared for it, so there is no supernet")
    return trained(job.prepared, job.dataset, job.space, share_transforms)
