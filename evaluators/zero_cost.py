"""Scores candidates without training them; most scores do not rank, and `nas confirm` trains.

Of each network as training would begin with it, with the same initial weights (with `seeds`, means
over several), nothing dropped, after what an extension does before the first epoch:

- `synflow`, `snip`, `grasp`, `gradient_norm`: of its weights, and of the gradients of the loss on
  the training units (of a graph task on one batch): see `evaluators._zero_cost_scores`.
- `val_accuracy_read_out` (or of the dataset's metric): of a ridge regression of the training labels
  on the outputs of the same network, which has `outputs` of them here and not one for each class.
- `val_accuracy_zero_cost`: the one of these that `score` chooses, in its own unit. It is what a
  study is to maximize: `nas confirm` then ranks by what it foretells.

Measured on Cora and CiteSeer (`python benchmarks/sparsity.py --data-root data --only zero_cost`) as
Kendall's tau with accuracy after 100 epochs (mean of 2 seeds), of 60 architectures of the default
space `gnn`: synflow 0.05 and -0.05, snip 0.34 and 0.21, grasp -0.21 and -0.06, gradient_norm 0.32
and 0.17, read-out 0.62 and 0.43; the number of parameters 0.34 and 0.38, 10 epochs of training 0.49
and 0.56. So only the read-out says more than how large a network is, on one of both graphs; and a
few epochs of training cost less there than the scores. On your own graph: `nas rank NAME`. Of
synflow that was with activations and attention as they are, which it leaves out by now.

What is chosen is trained for real (`alone_epochs`, `alone_lr`) by `nas confirm` and `nas export`.

Limits: what training changes is not seen: recipe decisions, what is pruned while it is trained.
Weights that a strategy would inherit are not used. Operations have to be differentiable twice and,
for synflow, to take float64; else give another `score`, and `others = false`.
"""

import math
import time
from collections.abc import Sequence
from statistics import fmean
from typing import Annotated, Literal, TypeAlias, get_args

import torch
from annotated_types import Ge, Gt, Le, Lt

from evaluators import metrics, stopping
from evaluators._batches import batches_of
from evaluators._faults import CandidateError, network_fault
from evaluators._memory import available_bytes, explained
from evaluators._zero_cost_scores import Untrained, of_flow, of_loss
from evaluators.latency.allocator import kept_memory
from evaluators.values import READ_OUT, ZERO_COST, Evaluation, Evaluator, Failure, Job
from search_spaces import Task
from search_spaces.plugins import Plugin

Score: TypeAlias = Literal["read_out", "synflow", "snip", "grasp", "gradient_norm"]


def build(
    task: Task,
    *,
    score: Score = "read_out",
    others: bool = True,
    seeds: Annotated[int, Ge(1), Le(1_000)] = 1,
    outputs: Annotated[int, Ge(1), Le(4_096)] = 128,
    batch_size: Annotated[int, Ge(2)] = 128,
    alone_epochs: Annotated[int, Ge(1)] = 200,
    alone_lr: Annotated[float, Gt(0)] = 0.01,
    weight_decay: Annotated[float, Ge(0)] = 5e-4,
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.5,
) -> Evaluator:
    """The evaluator for a task.

    Args:
        task: what the networks fit.
        score: which one is to be maximized.
        others: whether the others are computed, too.
        seeds: how many initial weights the scores are means over.
        outputs: of a network that is read out; as many as classes, where these are more.
        batch_size: graphs at a time, here and where they are trained.
        alone_epochs, alone_lr, weight_decay, dropout: how `nas confirm` and `nas export` train.
    """
    options = {
        "epochs": alone_epochs,
        "lr": alone_lr,
        "weight_decay": weight_decay,
        "dropout": dropout,
        "batch_size": batch_size,
    }
    wanted = get_args(Score) if others else (score,)
    outputs = max(outputs, task.n_classes)
    alone = Plugin("training", options)
    return ZeroCost(task.metric, score, wanted, seeds, outputs, batch_size, alone)


class ZeroCost:
    """The evaluator.

    Attributes:
        names: {score: the metric that it is}, of those that are computed.
        chosen: the metric that is to be maximized.
        alone: what trains a candidate for real.
    """

    epochs = 1

    def __init__(
        self,
        metric: str,
        score: Score,
        wanted: Sequence[Score],
        seeds: int,
        outputs: int,
        batch_size: int,
        alone: Plugin,
    ) -> None:
        read_out = f"val_{metric}{READ_OUT}"
        self.names = {name: read_out if name == "read_out" else name for name in wanted}
        self.chosen, self.alone = f"val_{metric}{ZERO_COST}", alone
        self.metrics = (self.chosen, *self.names.values())
        # Forward and backward as in training: twice for the loss, for synflow, to read out.
        self.passes = 4 * seeds
        self._score, self._seeds = score, seeds
        self._outputs, self._batch_size = outputs, batch_size

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        with torch.random.fork_rng(devices=[]), kept_memory():
            return [self._evaluate(job) for job in jobs]

    def _evaluate(self, job: Job) -> Evaluation:
        if stopping.requested():
            return Evaluation(0, early="stopped")
        began, free, found = time.perf_counter(), available_bytes(), list[dict[str, float]]()
        try:
            for index in range(self._seeds):
                spent = time.perf_counter() - began
                if job.timeout_seconds is not None and spent > job.timeout_seconds:
                    late = Failure("timeout", f"its time was over at initial weights {index}")
                    raise CandidateError(late)
                found.append(self._scored(job, index))
        except CandidateError as error:
            spent = time.perf_counter() - began
            return Evaluation(0, seconds=spent, failure=explained(error.failure, free))
        means = {name: fmean(one[name] for one in found) for name in self.names}
        measured = {self.names[name]: value for name, value in means.items()}
        measured[self.chosen] = means[self._score]
        return Evaluation(1, measured, time.perf_counter() - began)

    def _scored(self, job: Job, index: int) -> dict[str, float]:
        found = dict[str, float]()
        if self.names.keys() - {"read_out"}:
            found |= self._of_weights(Untrained(job, index, self._batch_size))
        if "read_out" in self.names:
            dataset = batches_of(job.dataset).dataset
            units = (dataset.val & (dataset.y >= 0)).nonzero()[:, 0]
            wide = Untrained(job, index, self._batch_size, self._outputs)
            logits = wide.read_out(units)
            found["read_out"] = metrics.selecting(dataset.metric, logits, dataset.y[units])
        for name, value in found.items():
            _check_finite(name, value)
        return found

    def _of_weights(self, untrained: Untrained) -> dict[str, float]:
        """What is wanted of all but `read_out`."""
        found, network = dict[str, float](), untrained.network
        with network_fault("scoring the network"):
            if self.names.keys() - {"read_out", "synflow"}:
                loss = untrained.loss()
                _check_finite("loss", loss.item())
                of = of_loss(network, loss)
                found |= {name: of[name] for name in of.keys() & self.names.keys()}
            if "synflow" in self.names:
                found["synflow"] = of_flow(network, untrained.batch.inputs)
        return found


def _check_finite(what: str, value: float) -> None:
    if not math.isfinite(value):
        message = f"the {what} of the untrained network is {value}, not finite"
        raise CandidateError(Failure("divergence", message))
