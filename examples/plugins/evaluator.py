"""Ridge read-out: only the last linear layer is fitted, in closed form, on untrained features.

A candidate takes milliseconds instead of a training. What it tells is how well the architecture
itself spreads the classes apart (reservoir computing; Claudio Gallicchio, Alessio Micheli: Fast and
Deep Graph Neural Networks, 2020): a cheap first look, not the accuracy of the trained network. The
networks have to end in a linear layer: [space] output = ["linear"].
"""

from collections.abc import Sequence
from statistics import fmean
from time import perf_counter
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

from evaluators import (
    CandidateError,
    Evaluation,
    Failure,
    Job,
    batches_of,
    checkpoint,
    network_fault,
)
from evaluators.metrics import METRICS, all_metrics, predict
from search_spaces import Task


class Readout:
    epochs = 1  # there is nothing to go on with
    metrics = tuple(f"val_{name}" for name in METRICS)

    def __init__(self, ridge: float, draws: int) -> None:
        self.ridge, self.draws = ridge, draws

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            return [self._evaluate(job) for job in jobs]

    def _evaluate(self, job: Job) -> Evaluation:
        began, fitted = perf_counter(), []
        try:
            for draw in range(self.draws):
                spent = perf_counter() - began
                if job.timeout_seconds is not None and spent > job.timeout_seconds:
                    failure = Failure("timeout", f"its time was over at draw {draw}")
                    return Evaluation(0, seconds=spent, failure=failure)
                fitted.append(self._fit(job, draw))
        except CandidateError as error:
            return Evaluation(0, seconds=perf_counter() - began, failure=error.failure)
        means = {name: fmean(run.metrics[name] for run in fitted) for name in self.metrics}
        identity = {"architecture": job.architecture.key, "seed": job.seed}
        artifact = checkpoint.write(job.store, identity, {}, fitted, final=True)
        return Evaluation(1, means, perf_counter() - began, artifact)

    def _fit(self, job: Job, draw: int) -> checkpoint.RunState:
        batches = batches_of(job.dataset)
        dataset = batches.dataset
        whole = batches.of(torch.arange(dataset.y.numel()))
        torch.manual_seed(job.seed * self.draws + draw)
        with network_fault("fitting the read-out"):
            network = job.space.network(job.architecture, dataset.task).eval()
            hidden: list[Tensor] = []
            *_, last = nn.Linear(1, 1), *(m for m in network.modules() if isinstance(m, nn.Linear))
            last.register_forward_pre_hook(lambda _, given: hidden.append(given[0]))
            logits = predict(network, whole)
            if not hidden or not torch.equal(last(hidden[0]), logits):
                raise ValueError('it ends in no linear layer; give [space] output = ["linear"]')
            self._solve(last, hidden[0][dataset.train], dataset.y[dataset.train])
            logits = last(hidden[0])[dataset.val]
        measured = all_metrics(logits, dataset.y[dataset.val])
        metrics = {f"val_{name}": value for name, value in measured.items()}
        best = dict(network.state_dict())
        value = measured[dataset.metric]
        return checkpoint.RunState(1, 1, value, best=best, metrics=metrics)

    def _solve(self, layer: nn.Linear, x: Tensor, y: Tensor) -> None:
        """Least squares to one-hot labels, with a penalty relative to the features' own size."""
        x = torch.nn.functional.pad(x.double(), (0, 1), value=1.0)
        target = torch.nn.functional.one_hot(y, layer.out_features).double()
        gram = x.T @ x
        gram.diagonal().add_(self.ridge * gram.diagonal().mean())
        weights = torch.linalg.solve(gram, x.T @ target).float()
        layer.weight.copy_(weights[:-1].T)
        layer.bias.copy_(weights[-1])


def build(
    task: Task, *, ridge: Annotated[float, Gt(0)] = 1e-3, draws: Annotated[int, Ge(1)] = 3
) -> Readout:
    """The evaluator.

    Args:
        task: every one is fitted alike.
        ridge: the penalty on the fitted weights, relative to the features' own size.
        draws: how many untrained networks of an architecture the metrics are means over.
    """
    return Readout(ridge, draws)
