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
    """The share of rows whose largest logit is the label's, in [0, 1]; of equal ones, the first."""
    return _accuracies(logits.unsqueeze(0), y)[0]


def macro_f1(logits: Tensor, y: Tensor) -> float:
    """F1 = 2 right / (labels + predictions) of a class, averaged over classes, in [0, 1].

    A class that is neither among the labels nor among the predictions does not count.
    """
    return _macro_f1s(logits.unsqueeze(0), y)[0]


def roc_auc(logits: Tensor, y: Tensor) -> float | None:
    """Area under the ROC curve, in [0, 1], of logits [U, C] without NaN.

    The share of the pairs of one unit of a class and one of another that the class's score puts in
    order, where an equal score counts half (J. A. Hanley, B. J. McNeil, "The meaning and use of the
    area under a receiver operating characteristic (ROC) curve", 1982). The score is the probability
    of the class (softmax). For two classes, of the second class; for more, one class against the
    rest, averaged over the classes among the labels. None where all labels are equal: it is not
    defined there.
    """
    areas = _areas(logits.unsqueeze(0), y)
    return None if areas is None else areas[0]


def selecting(metric: str, logits: Tensor, y: Tensor) -> float:
    """The metric by which an epoch is chosen; higher is better.

    Raises:
        DatasetError: it is not defined for these labels.
    """
    return selecting_each(metric, logits.unsqueeze(0), y)[0]


def selecting_each(metric: str, logits: Tensor, y: Tensor) -> list[float]:
    """`selecting` of K networks at once, from logits [K, U, C] and labels [U] on one device.

    Each number is bit for bit that of the network alone: only whole numbers are summed on the
    device. The host waits for it once.

    Raises:
        DatasetError: it is not defined for these labels.
    """
    if metric == "accuracy":
        return _accuracies(logits, y)
    if metric == "macro_f1":
        return _macro_f1s(logits, y)
    areas = _areas(logits, y)
    if areas is None:
        raise _one_class()
    return areas


def _accuracies(logits: Tensor, y: Tensor) -> list[float]:
    right = (logits.argmax(-1) == y).sum(-1)
    return [int(count) / y.numel() for count in right.tolist()]


def _macro_f1s(logits: Tensor, y: Tensor) -> list[float]:
    runs, _, classes = logits.shape
    predicted = logits.argmax(-1)
    right = torch.where(predicted == y, y, classes)  # one class more takes the wrong ones
    rows = torch.cat([predicted, right, y.unsqueeze(0)])
    # torch.bincount would wait for the device, to find the largest.
    bins = rows + torch.arange(len(rows), device=y.device).unsqueeze(1) * (classes + 1)
    counts = torch.zeros(len(rows) * (classes + 1), dtype=torch.int64, device=y.device)
    counts.scatter_add_(0, bins.flatten(), torch.ones_like(counts[:1]).expand(bins.numel()))
    *of_runs, labels = counts.view(len(rows), -1)[:, :classes].tolist()
    return [
        _mean(
            [
                2 * hits / (found + there)
                for hits, found, there in zip(*of_run, labels, strict=True)
                if found + there
            ]
        )
        for of_run in zip(of_runs[runs:], of_runs[:runs], strict=True)
    ]


def _areas(logits: Tensor, y: Tensor) -> list[float] | None:
    """`roc_auc` of logits [K, U, C]."""
    classes = torch.arange(logits.size(-1), device=y.device)
    exact = logits.double()
    if logits.size(-1) == 2:
        # Grows with the probability of the second class, and is not rounded to 1 where it is sure.
        classes, scores = classes[1:], (exact[..., 1] - exact[..., 0]).unsqueeze(1)
    else:
        scores = exact.softmax(-1).mT.contiguous()
    members = y == classes.unsqueeze(1)
    leads = _ordered_pairs(scores, members.expand_as(scores))
    *of_runs, sizes = torch.cat([leads, members.sum(-1).unsqueeze(0)]).tolist()
    pairs = [size * (y.numel() - size) for size in sizes]
    if not any(pairs):
        return None
    return [
        _mean([(n + lead) / (2 * n) for n, lead in zip(pairs, of_run, strict=True) if n])
        for of_run in of_runs
    ]


def _ordered_pairs(scores: Tensor, members: Tensor) -> Tensor:
    """Pairs of a member and another unit that scores [..., U] put in order, less those in disorder.

    In ascending order, a unit is above all that come before the first one of its score. So the
    pairs in order are, summed over the members, the others among those; and the pairs in disorder
    are, summed over the others, the members among those.
    """
    ordered, order = scores.sort(-1)
    member = members.gather(-1, order).long()
    first = F.pad(ordered[..., 1:] != ordered[..., :-1], (1, 0), value=True)
    places = torch.arange(scores.size(-1), device=scores.device)
    below = torch.where(first, places, 0).cummax(-1).values
    members_below = (member.cumsum(-1) - member).gather(-1, below)
    return (member * below - members_below).sum(-1)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


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
