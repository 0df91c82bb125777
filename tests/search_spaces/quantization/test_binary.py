"""Binary and ternary numbers: their values, their scales, their gradients."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.quantization.binary import (
    BINARIZATIONS,
    binarized,
    binary_codes,
    ternarized,
    ternary_codes,
)

POINTS = (-1.5, -0.5, 0.0, 0.5, 1.5)
SERIES = [0.4 / math.pi * sum(math.cos(0.1 * k * x) for k in range(1, 20, 2)) for x in (0.5, 0.0)]
# Of each way, the derivative of the sign at POINTS, by its closed form.
GRADIENTS: dict[str, tuple[float, ...]] = {
    "bnn": (0.0, 1.0, 1.0, 1.0, 0.0),
    "xnor": (0.0, 1.0, 1.0, 1.0, 0.0),
    "bi_real": (0.0, 1.0, 2.0, 1.0, 0.0),
    "recu": (0.0, 1.0, 2.0, 1.0, 0.0),
    "fda": (0.0, SERIES[0], SERIES[1], SERIES[0], 0.0),
}


def weights(seed: int = 0, shape: tuple[int, ...] = (6, 40)) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize("how", BINARIZATIONS)
def test_values_are_signs_times_a_scale(how: str, rows: bool) -> None:
    x = weights().requires_grad_()
    value = binarized(x, how, rows=rows)
    codes = binary_codes(x, how, rows=rows)
    assert set(codes.values.flatten().tolist()) == {-1, 1}
    assert codes.values.dtype == torch.int32
    assert torch.equal(value, codes.dequantized())
    assert torch.equal(value, binarized(x.detach(), how, rows=rows))
    by_row = rows and how not in ("bnn", "dorefa")
    assert codes.scale.shape == ((6, 1) if by_row else ())


@pytest.mark.parametrize("how", GRADIENTS)
def test_gradients_are_the_closed_forms(how: str) -> None:
    """With the scale 1 and as activations, where nothing is in front of the sign."""
    x = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
    binarized(x, how, rows=False, scale=torch.ones((), dtype=torch.float64)).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor(GRADIENTS[how], dtype=torch.float64))


def test_the_series_has_the_sum_of_its_cosines() -> None:
    """sum of cos((2 i + 1) y) over i < n is sin(2 n y) / (2 sin y)."""
    assert SERIES[0] == pytest.approx(0.4 / math.pi * math.sin(1.0) / (2 * math.sin(0.05)))


def test_the_gradient_of_dorefa_passes_as_it_came() -> None:
    x = torch.tensor(POINTS, requires_grad=True)
    binarized(x, "dorefa").backward(torch.arange(5.0))
    assert x.grad is not None
    assert torch.equal(x.grad, torch.arange(5.0))


@pytest.mark.parametrize("how", ["bi_real", "fda"])
def test_the_scale_of_a_row_is_a_factor_of_its_gradient(how: str) -> None:
    x = torch.tensor([POINTS, POINTS])
    x[1] *= 0.5
    x.requires_grad_()
    binarized(x, how).sum().backward()
    assert x.grad is not None
    # At +-0.75, +-0.25 and 0, with half of the scale; 0 is in both.
    assert x.grad[1, 2] == pytest.approx(float(x.grad[0, 2]) / 2)
    assert x.grad[0, 2] == pytest.approx(0.8 * GRADIENTS[how][2])


def test_xnor_takes_the_mean_of_a_row_off() -> None:
    x = weights().requires_grad_()
    value = binarized(x, "xnor")
    shifted = binarized(x.detach() + 8, "xnor")
    assert torch.equal(value.sign(), shifted.sign())
    torch.testing.assert_close(value, shifted)
    assert bool((binarized(x.detach() + 8, "bi_real") > 0).all()), "control: not centered"
    (value * weights(1)).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad.sum(dim=1), torch.zeros(6), atol=1e-5, rtol=0)


def test_recu_clamps_the_tails_of_a_row() -> None:
    """A weight far out has no gradient and does not draw the scale to itself; bi_real's does."""
    x = torch.full((1, 100), 0.1)
    x[0, 0] = 50.0
    x.requires_grad_()
    recu = binary_codes(x, "recu").scale
    mean = float(x.detach().mean())
    expected = (99 * 0.1 - math.log(0.02) * mean) / 100
    assert float(recu) == pytest.approx(expected, rel=1e-5)
    assert float(binary_codes(x, "bi_real").scale) == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("how", ["xnor", "dorefa", "bi_real"])
def test_no_other_scale_is_nearer(how: str) -> None:
    """mean abs(w) has the least sum of (w - a sign(w))^2."""
    w = weights()
    target = w - w.mean(dim=1, keepdim=True) if how == "xnor" else w
    codes = binary_codes(w, how)

    def error(factor: float) -> float:
        return float((target - factor * codes.dequantized()).square().sum())

    assert error(1.0) < min(error(0.95), error(1.05))
    # Control: of a scale that is not the mean, one of the two is nearer.
    assert error(1.05) > min(error(1.05 * 0.95), error(1.05 * 1.05))


def test_a_scale_may_be_given() -> None:
    x = weights()
    scale = torch.tensor(0.25)
    assert set(binarized(x, "bi_real", rows=False, scale=scale).unique().tolist()) == {-0.25, 0.25}
    ternary = ternarized(x, scale=scale)
    nearest = 0.25 * torch.round(x / 0.25).clamp(-1, 1)
    assert torch.equal(ternary, nearest)


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(SpaceError, match='did you mean "xnor"'):
        binarized(weights(), "xnr")


@pytest.mark.parametrize("rows", [True, False])
def test_ternary_numbers(rows: bool) -> None:
    x = weights().requires_grad_()
    value, codes = ternarized(x, rows=rows), ternary_codes(x, rows=rows)
    assert set(codes.values.flatten().tolist()) == {-1, 0, 1}
    assert torch.equal(value, codes.dequantized())
    for row, integers, scale in zip(
        x.detach(), codes.values, codes.scale.expand(6, 1).flatten(), strict=True
    ):
        of = row if rows else x.detach()
        assert torch.equal(integers != 0, row.abs() > 0.7 * of.abs().mean())
        beyond = of.abs()[of.abs() > 0.7 * of.abs().mean()]
        assert float(scale) == pytest.approx(float(beyond.mean()), rel=1e-5)
    value.backward(torch.ones_like(x))
    assert x.grad is not None
    assert torch.equal(x.grad, torch.ones_like(x))


@given(seed=st.integers(0, 1000), size=st.floats(1e-3, 1e3))
def test_the_scale_of_ternary_numbers_is_the_nearest(seed: int, size: float) -> None:
    """For the numbers that are not 0, their mean is; and zeros stay zeros."""
    x = size * weights(seed, (1, 32))
    value = ternarized(x)
    error = (x - value).square().sum()
    for factor in (0.95, 1.05):
        assert error < (x - factor * value).square().sum()
    assert torch.equal(ternarized(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_on_the_meta_device() -> None:
    x = torch.empty(6, 40, device="meta")
    for how in BINARIZATIONS:
        assert binary_codes(x, how).values.shape == binarized(x, how).shape == (6, 40)
    assert ternary_codes(x).scale.shape == (6, 1)


def test_under_functional_gradients() -> None:
    x = weights()
    expected = x.clone().requires_grad_()
    binarized(expected, "bi_real").square().sum().backward()

    def loss(x: Tensor) -> Tensor:
        return binarized(x, "bi_real").square().sum()

    got = torch.func.vmap(torch.func.grad(loss))(torch.stack([x, 2 * x]))
    assert expected.grad is not None
    torch.testing.assert_close(got[0], expected.grad)
    assert not torch.equal(got[1], got[0])
