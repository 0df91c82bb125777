"""What a program reaches on the dataset of its study: run from its file, on raw features."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from evaluators._batches import Batches
from evaluators.datasets._base import Dataset
from evaluators.metrics import split_metrics
from nas.export._base import Runnable


def sample_of(dataset: Dataset) -> tuple[Tensor, ...]:
    """Inputs of a program: the graph of a node task, or the training graphs, on raw features."""
    batches = Batches(_raw(dataset))
    return batches.of(dataset.train.nonzero().squeeze(1)).inputs


def measured(program: Runnable, dataset: Dataset) -> dict[str, float]:
    """`val_accuracy` and the other metrics of the validation split; {} where it has no labels.

    Args:
        program: of raw features.
        dataset: may be sealed; test labels are not asked for.
    """
    if not bool((dataset.val & (dataset.y >= 0)).any()):
        return {}
    with torch.inference_mode():
        metrics = split_metrics(_Program(program), _raw(dataset), "val")
    return {f"val_{name}": value for name, value in metrics.items()}


class _Program(nn.Module):
    def __init__(self, program: Runnable) -> None:
        super().__init__()
        # No module within this one: what torch has traced has no modes of training and evaluation.
        self._program = (program,)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self._program[0](*inputs)


def _raw(dataset: Dataset) -> Dataset:
    """With features that are prepared again by the program, to what they are here.

    Rows that were divided by their sum have the sum 1, and are divided by it.
    """
    prepared = dataset.preprocessing
    if prepared.features != "standardize" or prepared.mean is None or prepared.std is None:
        return dataset
    return replace(dataset, x=dataset.x * prepared.std + prepared.mean, matrices={})
