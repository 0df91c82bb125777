"""Dropout's random numbers: how many, how large, and whose."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import CPU

from evaluators.engine.dropout import Draws

SIZE = 40_000


def _draws(
    runs: list[tuple[int, int]], p: list[float], epoch: int = 0, *, share_input: bool = False
) -> Draws:
    epochs = [epoch] * len(runs)
    return Draws(runs, epochs, p, share_input=share_input, dtype=torch.float32, device=CPU)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_the_law(p: float) -> None:
    """A share p is 0, within 5 standard errors; the rest 1 / (1 - p); neighbors are independent."""
    (kept,) = _draws([(3, 0)], [p]).mask(SIZE, of_input=False).kept()
    dropped = (kept == 0).double()
    error = (p * (1 - p) / SIZE) ** 0.5
    assert abs(float(dropped.mean()) - p) <= 5 * error
    assert kept[kept != 0].unique().numel() == 1
    assert float(kept.max()) == pytest.approx(1 / (1 - p), rel=1e-4)
    both = float((dropped[1:] * dropped[:-1]).mean())
    assert abs(both - p**2) <= 6 * error


@given(st.floats(0, 0.95))
def test_the_mean_is_kept(p: float) -> None:
    """What is kept is scaled by the probability that is drawn with, not the one asked for."""
    (kept,) = _draws([(3, 0)], [p]).mask(4, of_input=False).kept()
    levels = 1 << 16
    drawn_with = min(round(p * levels), levels - 1) / levels
    for value in kept.unique().tolist():
        assert value == 0 or value == pytest.approx(1 / (1 - drawn_with))


def test_company_changes_nothing() -> None:
    """A run draws the same alone and beside others, call after call."""
    together = _draws([(3, 0), (3, 1), (8, 0)], [0.2, 0.5, 0.9])
    alone = _draws([(3, 1)], [0.5])
    for size in (5, 17, 1000):
        assert torch.equal(
            together.mask(size, of_input=False).kept()[1],
            alone.mask(size, of_input=False).kept()[0],
        )


def test_runs_and_epochs_and_calls_differ() -> None:
    """No mask is drawn twice."""
    first, second = _draws([(3, 0), (3, 1)], [0.5, 0.5]).mask(200, of_input=False).kept()
    (later,) = _draws([(3, 0)], [0.5], epoch=1).mask(200, of_input=False).kept()
    draws = _draws([(3, 0)], [0.5])
    draws.mask(200, of_input=False).kept()
    (again,) = draws.mask(200, of_input=False).kept()
    masks = {tuple(mask.tolist()) for mask in (first, second, later, again)}
    assert len(masks) == 4


def test_a_shared_input_mask() -> None:
    """Runs of a seed drop the same of the input, and each its own of what it computes."""
    runs, p = [(3, 0), (3, 1)], [0.5, 0.5]
    shared = _draws(runs, p, share_input=True)
    (mask,) = shared.mask(200, of_input=True).kept()
    first, second = shared.mask(200, of_input=False).kept()
    assert not torch.equal(first, second)
    (alone,) = _draws([(3, 1)], [0.5], share_input=True).mask(200, of_input=True).kept()
    assert torch.equal(mask, alone)
    first, second = _draws(runs, p).mask(200, of_input=True).kept()
    assert not torch.equal(first, second)


def test_a_shared_mask_of_other_probabilities() -> None:
    """What is dropped with the smaller probability is dropped with the larger one too."""
    draws = _draws([(3, 0), (3, 1), (4, 0)], [0.3, 0.6, 0.3], share_input=True)
    little, much, other = draws.mask(500, of_input=True).kept()
    assert not ((little == 0) & (much != 0)).any()
    assert not torch.equal(little, other)


def test_nothing_to_drop() -> None:
    """`any` tells whether a run drops at all."""
    assert not _draws([(3, 0), (3, 1)], [0.0, 0.0]).any
    assert _draws([(3, 0), (3, 1)], [0.0, 0.1]).any
