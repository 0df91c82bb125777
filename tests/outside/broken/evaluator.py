"""Measures a candidate by its place in the batch, and lets a network's exception through."""

from collections.abc import Sequence

import torch

from evaluators import Evaluation, Job, batches_of
from evaluators.metrics import predict
from search_spaces import Task


class Placed:
    epochs = 1
    metrics = ("val_accuracy",)

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        for job in jobs:
            batches = batches_of(job.dataset)
            network = job.space.network(job.architecture, batches.dataset.task)
            predict(network, batches.of(torch.arange(3)))
        return [Evaluation(1, {"val_accuracy": 1 / (i + 1)}) for i in range(len(jobs))]


def build(task: Task) -> Placed:
    return Placed()
