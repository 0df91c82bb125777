"""Metrics of predictions against labels: accuracy, macro-F1, ROC-AUC and loss."""

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evaluators._batches import Batch, Batches
from evaluators.datasets._base import Dataset, DatasetError

METRICS = ("accuracy", "macro_f1", "roc_auc", "loss")


def accuracy(logits: Tensor, y: Tensor) -> float:
    """The share of rows whose largest logit is the label's, in [0, 1]."""
    return int((logits.argmax(1) == y).sum()) / y.numel()


def macro_f1(logits: Tensor, y: Tensor) -> float:
    """F1 of each class that is among the labels or the predictions, averaged, in [0, 1]."""
    from sklearn.metrics import f1_score

    predicted = logits.argmax(1).numpy()
    return float(f1_score(y.numpy(), predicted, average="macro", zero_division=0))


def roc_auc(logits: Tensor, y: Tensor) -> float | None:
    """Area under the ROC curve, in [0, 1], from the softmax of logits [U, C].

    For two classes, of the second class; for more, one class against the rest, averaged over the
    classes among the labels. None where all labels are equal: it is not defined there.
    """
    from sklearn.metrics import roc_auc_score

    present = y.bincount(minlength=logits.size(1)).nonzero().squeeze(1).tolist()
    if len(present) < 2:
        return None
    scores = logits.double().softmax(1)
    classes = [1] if logits.size(1) == 2 else present
    areas = [roc_auc_score((y == c).numpy(), scores[:, c].numpy()) for c in classes]
    return float(sum(areas) / len(areas))


def selecting(metric: str, logits: Tensor, y: Tensor) -> float:
    """The metric by which an epoch is chosen; higher is better.

    Raises:
        DatasetError: it is not defined for these labels.
    """
    if metric == "accuracy":
        return accuracy(logits, y)
    if metric == "macro_f1":
        return macro_f1(logits, y)
    area = roc_auc(logits, y)
    if area is None:
        raise _one_class()
    return area


def all_metrics(logits: Tensor, y: Tensor) -> dict[str, float]:
    """accuracy, macro_f1, loss (mean cross entropy, in nats), and roc_auc where it is defined."""
    values = {
        "accuracy": accuracy(logits, y),
        "macro_f1": macro_f1(logits, y),
        "loss": float(F.cross_entropy(logits, y)),
    }
    area = roc_auc(logits, y)
    return values if area is None else values | {"roc_auc": area}


def check_classes(y: Tensor) -> None:
    """Refuse validation labels that are all equal: no metric could tell networks apart by them.

    Raises:
        DatasetError: they are.
    """
    if int((y.bincount() > 0).sum()) < 2:
        raise _one_class()


def _one_class() -> DatasetError:
    return DatasetError(
        "the validation labels are all of one class, so ROC-AUC is not defined and no metric can "
        "tell networks apart; expected two classes or more: choose another split, or fewer folds"
    )


def predict(network: nn.Module, batch: Batch) -> Tensor:
    """The rows of the network's output that count; ValueError where it is not [U, C]."""
    logits = network(*batch.inputs)
    if not isinstance(logits, Tensor) or tuple(logits.shape) != batch.shape:
        got = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"expected an output of shape {list(batch.shape)}, got {got}")
    return batch.select(logits)


def split_metrics(
    network: nn.Module,
    dataset: Dataset,
    split: Literal["train", "val", "test"],
    *,
    batch_size: int = 512,
) -> Mapping[str, float]:
    """All metrics of a trained network on one split of a dataset.

    The loss is not weighted by class. `roc_auc` is left out where the labels are all equal. The
    network is in evaluation mode afterwards.

    Args:
        network: as its space built it, with its weights loaded.
        dataset: with the labels of that split: not sealed, for the test split.
        split: which units count; those without a label do not.
        batch_size: graphs at a time, for a graph task.

    Raises:
        DatasetError: the split has no labels here.
    """
    mask: Tensor = getattr(dataset, split)
    units = (mask & (dataset.y >= 0)).nonzero().squeeze(1)
    if units.numel() == 0:
        raise DatasetError(
            f'dataset "{dataset.name}": the {split} split has no labels'
            + ("; this dataset is sealed, measure on the original" if dataset.sealed else "")
        )
    network.eval()
    with torch.no_grad():
        batches = Batches(dataset).split(units, batch_size)
        logits = torch.cat([predict(network, batch) for batch in batches])
    return all_metrics(logits, dataset.y[units])
