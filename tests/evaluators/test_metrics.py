"""Metrics against values made by hand and scikit-learn's, and the optimizers by their formulas."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score
from torch import Tensor

from evaluators._recipe import OptimizerName, Recipe, make_optimizer
from evaluators.datasets import DatasetError
from evaluators.metrics import (
    accuracy,
    all_metrics,
    macro_f1,
    roc_auc,
    selecting,
    selecting_each,
)

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


def test_roc_auc_keeps_the_order_of_sure_predictions():
    """Also where the probability of the second class rounds to 1, or to 0."""
    steep = torch.tensor([[0.0, s] for s in (800.0, 900.0, -900.0, -800.0, 1000.0)])
    assert roc_auc(steep, Y) == pytest.approx(4 / 6)
    assert roc_auc(steep, 1 - Y) == pytest.approx(2 / 6)


@st.composite
def outputs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Logits [K, U, C] with ties (few values, or equal rows) and labels that may miss classes."""
    runs, units, classes = (draw(st.integers(*ends)) for ends in ((1, 4), (1, 40), (2, 5)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    logits = torch.randn(runs, units, classes, generator=generator, dtype=dtype)
    if draw(st.booleans()):
        logits = logits.round()
    if draw(st.booleans()):
        logits = logits[:, torch.randint(0, units, (units,), generator=generator)]
    y = torch.randint(0, draw(st.integers(1, classes)), (units,), generator=generator)
    return logits, (y + draw(st.integers(0, classes - 1))) % classes


@given(outputs())
def test_macro_f1_is_that_of_scikit_learn(output: tuple[Tensor, Tensor]):
    """For any logits and labels."""
    logits, y = output[0][0], output[1]
    expected = f1_score(y, logits.argmax(1), average="macro", zero_division=0)
    assert macro_f1(logits, y) == pytest.approx(expected, abs=1e-12)


@given(outputs())
def test_roc_auc_is_that_of_scikit_learn(output: tuple[Tensor, Tensor]):
    """By the probabilities, for any logits and labels; None where scikit-learn has no number."""
    logits, y = output[0][0], output[1]
    present = y.unique().tolist()
    if len(present) == 1:
        assert roc_auc(logits, y) is None
        return
    probabilities = logits.double().softmax(1)
    if logits.size(1) == 2:
        expected = roc_auc_score(y, probabilities[:, 1])
    else:
        areas = [roc_auc_score(y == c, probabilities[:, c]) for c in present]
        expected = sum(areas) / len(areas)
    assert roc_auc(logits, y) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "roc_auc"])
@given(output=outputs())
def test_networks_together_get_the_numbers_of_each_alone(
    metric: str, output: tuple[Tensor, Tensor]
):
    """Bit for bit; and together they are refused where each would be."""
    logits, y = output
    if metric == "roc_auc" and len(y.unique()) == 1:
        with pytest.raises(DatasetError, match="one class"):
            selecting_each(metric, logits, y)
        return
    assert selecting_each(metric, logits, y) == [selecting(metric, one, y) for one in logits]


@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "roc_auc"])
def test_many_units_together_get_the_numbers_of_each_alone(metric: str, classes: int):
    """Also where kernels split their work, and however the logits lie in memory."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(9001, 3, classes, generator=generator).transpose(0, 1)
    y = torch.randint(0, classes, (9001,), generator=generator)
    alone = [selecting(metric, one.clone(), y) for one in logits]
    assert selecting_each(metric, logits, y) == alone
    assert len(set(alone)) == 3


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "roc_auc"])
def test_the_host_waits_for_a_device_once(
    metric: str, classes: int, monkeypatch: pytest.MonkeyPatch
):
    """On a device without data, all but the fetching of the counts works; a bincount would not."""
    fetched: list[str] = []

    def ones(tensor: Tensor) -> object:
        fetched.append(tensor.device.type)
        return np.ones(tensor.shape, dtype=int).tolist()

    monkeypatch.setattr(Tensor, "tolist", ones)
    y = torch.empty(6, dtype=torch.int64, device="meta")
    assert len(selecting_each(metric, torch.empty(4, 6, classes, device="meta"), y)) == 4
    assert fetched == ["meta"]
    with pytest.raises(NotImplementedError):
        y.bincount()


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
