"""Ranges of activations, as they are observed."""

import pytest
import torch

from search_spaces.quantization.ranges import extremes, percentiles


@pytest.mark.parametrize("bits", [2, 8])
def test_percentiles_are_those_of_the_numbers_that_are_not_0(bits: int) -> None:
    """A dense matrix of few numbers has the range of the numbers alone."""
    numbers = torch.randn(1_000, generator=torch.Generator().manual_seed(0))
    dense = torch.zeros(50, 2_000)
    dense.view(-1)[::100] = numbers
    low, high = percentiles(numbers, bits)
    assert percentiles(dense, bits) == (low, high)
    outside = (numbers < low) | (numbers > high)
    assert 0 < outside.float().mean() <= 2 * (0.001 if bits >= 8 else 0.01)
    # Control: it is not the range of all of them.
    assert extremes(dense) != (low, high)


def test_percentiles_of_nothing_but_0() -> None:
    assert percentiles(torch.zeros(10), 8) == (0, 0)
    assert percentiles(torch.zeros(0), 8) == (0, 0)


def test_all_columns_are_looked_at() -> None:
    """Of many numbers only some are, but some of each column."""
    x = torch.rand(2**16, 8)
    x[:, 1] += 100
    assert percentiles(x, 2)[1] > 100
    # Control: one in four is in two of the columns, and none of them in that.
    assert extremes(x.view(-1)[::4])[1] < 1
