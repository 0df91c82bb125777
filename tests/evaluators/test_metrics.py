"""Metrics against values made by hand, and the optimizers against their formulas."""

import math

import pytest
import torch

from evaluators._fit import OptimizerName, Recipe, make_optimizer
from evaluators.datasets import DatasetError
from evaluators.metrics import accuracy, all_metrics, macro_f1, roc_auc, selecting

Y = torch.tensor([0, 0, 0, 1, 1])
# The second logit orders the rows 0 < 3 < 1 < 2 < 4; rows 2 and 4 are taken for class 1.
LOGITS = torch.tensor([[0.0, s] for s in (-4.0, -2.0, 1.0, -3.0, 2.0)])


def test_accuracy_and_macro_f1():
    """Three of five are right; F1 is 2/3 for class 0 (2 of 3 found) and 1/2 for class 1."""
    assert accuracy(LOGITS, Y) == pytest.approx(3 / 5)
    assert macro_f1(LOGITS, Y) == pytest.approx((2 / 3 + 1 / 2) / 2)
    # A class that is neither among the labels nor predicted does not count.
    wider = torch.cat([LOGITS, torch.full((5, 1), -9.0)], 1)
    assert macro_f1(wider, Y) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_roc_auc_of_two_classes():
    """The share of pairs in order: 4 of 6, and 2 of 6 for scores of the other sign."""
    assert roc_auc(LOGITS, Y) == pytest.approx(4 / 6)
    assert roc_auc(-LOGITS, Y) == pytest.approx(2 / 6)


def test_roc_auc_of_three_classes():
    """The mean of one against the rest; a class without labels is left out; one class has none."""
    y = torch.tensor([0, 1, 2, 2])
    sure = torch.eye(3)[y] * torch.tensor([5.0, 5.0, 6.0])
    assert roc_auc(sure, y) == 1.0
    swapped = sure[[1, 0, 2, 3]]
    assert roc_auc(swapped, y) == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert roc_auc(torch.eye(4)[y], y) == 1.0
    assert roc_auc(sure, torch.ones(4).long()) is None
    with pytest.raises(DatasetError, match="one class"):
        selecting("roc_auc", sure, torch.ones(4).long())


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "roc_auc"])
def test_the_epoch_is_chosen_by_the_metric(metric: str):
    """The same number as is reported; and the loss is the mean cross entropy, in nats."""
    every = all_metrics(LOGITS, Y)
    assert selecting(metric, LOGITS, Y) == every[metric]
    losses = [
        math.log(1 + math.exp(s if label == 0 else -s))
        for s, label in zip(LOGITS[:, 1].tolist(), Y.tolist(), strict=True)
    ]
    assert every["loss"] == pytest.approx(sum(losses) / 5)


@pytest.mark.parametrize(
    ("optimizer", "after"),
    [
        # Gradient 2, decay 0.5 of the weight 1, twice; the learning rate is 0.1.
        ("sgd", 0.75 - 0.1 * (0.9 * 2.5 + 2 + 0.5 * 0.75)),
        ("adam", 0.9 - 0.1 * (0.9 * 2.5 + 2.45) / 1.9 / math.sqrt((0.999 * 6.25 + 6.0025) / 1.999)),
        ("adamw", (0.95 - 0.1) * 0.95 - 0.1),
    ],
)
def test_optimizers_follow_their_formulas(optimizer: OptimizerName, after: float):
    """Two steps: momentum 0.9; decay in the gradient (sgd, adam) or apart from it (adamw)."""
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(layer.weight)
    made = make_optimizer(layer, Recipe(0.1, 0.5, 0.0, optimizer, None, 1))
    for _ in range(2):
        layer.weight.grad = torch.full((1, 1), 2.0)
        made.step()
    assert layer.weight.item() == pytest.approx(after, rel=1e-5)
