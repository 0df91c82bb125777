"""Stratified splits: sizes, proportions, and the same on every machine."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.datasets import DatasetError
from evaluators.datasets._splits import by_class, by_ratio

LABELS = st.lists(st.integers(-1, 4), min_size=5, max_size=120).map(torch.tensor)


@settings(max_examples=100)
@given(LABELS, st.floats(0.05, 0.7), st.floats(0.05, 0.3), st.integers(0, 2**32 - 1))
def test_ratios_hold_in_all_and_in_each_class(y, train, val, seed):
    """Exact in all; in each class within one unit of its share; every labeled unit is in one."""
    masks = by_ratio(y, train_ratio=train, val_ratio=val, seed=seed)
    labeled = int((y >= 0).sum())
    assert int(masks.train.sum()) == round(train * labeled)
    assert torch.equal(masks.train.int() + masks.val.int() + masks.test.int(), (y >= 0).int())
    for c in range(5):
        share = round(train * labeled) / max(labeled, 1) * int((y == c).sum())
        assert abs(int(masks.train[y == c].sum()) - share) <= 1
    same = by_ratio(y, train_ratio=train, val_ratio=val, seed=seed)
    assert all(torch.equal(a, b) for a, b in zip(masks, same, strict=True))


@settings(max_examples=60)
@given(st.integers(1, 5), st.integers(0, 9), st.integers(0, 9), st.integers(0, 1000))
def test_counts_hold_in_each_class(labels_per_class, val, test, seed):
    """So many of each class train, `val` and `test` are exact, and nothing overlaps."""
    y = torch.arange(60) % 5
    masks = by_class(y, labels_per_class=labels_per_class, val=val, test=test, seed=seed)
    assert y[masks.train].bincount(minlength=5).tolist() == [labels_per_class] * 5
    assert (int(masks.val.sum()), int(masks.test.sum())) == (val, test)
    assert int((masks.train.int() + masks.val.int() + masks.test.int()).max()) <= 1


def test_a_split_is_the_same_for_ever():
    """Frozen numbers: another split under the same seed would make stored studies refuse."""
    y = torch.arange(20) % 2
    masks = by_ratio(y, train_ratio=0.3, val_ratio=0.2, seed=7)
    chosen = [mask.nonzero().flatten().tolist() for mask in masks]
    assert chosen[:2] == [[0, 1, 2, 5, 17, 18], [4, 8, 13, 19]]


def test_seeds_differ():
    """Another seed is another split."""
    y = torch.arange(100) % 4
    one, other = (by_ratio(y, train_ratio=0.5, val_ratio=0.2, seed=s).train for s in (0, 1))
    assert not torch.equal(one, other)


def test_too_many_are_refused():
    """With the class, or the number that is left."""
    y = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1, 1, 1])
    with pytest.raises(DatasetError, match=r"labels_per_class: class 0 has only 3 .* got 5"):
        by_class(y, labels_per_class=5, val=1, seed=0)
    with pytest.raises(DatasetError, match=r"val_per_class: class 0 has only 1 .* got 3"):
        by_class(y, labels_per_class=2, val_per_class=3, seed=0)
    with pytest.raises(DatasetError, match=r"val: expected at most 6, .* got 7"):
        by_class(y, labels_per_class=2, val=7, seed=0)
    with pytest.raises(DatasetError, match=r"at most 1 together, got 0\.8 and 0\.3"):
        by_ratio(y, train_ratio=0.8, val_ratio=0.3, seed=0)
