"""Intervals of means: Student's t, as far as the metric goes."""

import math

import pytest

from nas.intervals import ends_of, interval, largest_difference

SHARES = ("val_accuracy", "test_roc_auc", "train_macro_f1", "accuracy")


def test_it_is_students() -> None:
    # t of 2 degrees of freedom at 0.975 is 4.3027.
    assert interval(2.0, 0.5, 3) == pytest.approx((2 - 2.15133, 2 + 2.15133), rel=1e-4)


@pytest.mark.parametrize("metric", SHARES)
def test_a_share_is_no_more_than_all(metric: str) -> None:
    ends = ends_of(metric, [0.97, 0.99])
    low, high = interval(0.98, 0.01, 2, ends)
    assert 0.8 < low < 0.98 < high == 1
    low, high = interval(0.02, 0.01, 2, ends)
    assert 0 == low < 0.02 < high < 0.2
    assert largest_difference(metric, [0.97, 0.99]) == 1


def test_a_loss_ends_at_0_alone() -> None:
    assert interval(0.1, 1.0, 3, ends_of("val_loss", [0.1])) == pytest.approx((0, 4.40265))
    assert largest_difference("val_loss", [0.1]) == math.inf


@pytest.mark.parametrize(
    ("metric", "values"),
    [
        ("params", [0.5]),
        ("val_other", [0.5]),
        ("loss_accuracy", [0.5]),
        ("val_accuracy", [0.9, 87]),
    ],
)
def test_what_ends_nowhere_is_not_cut_off(metric: str, values: list[float]) -> None:
    """An accuracy in percent among them."""
    assert ends_of(metric, values) == (-math.inf, math.inf)
    assert largest_difference(metric, values) == math.inf
