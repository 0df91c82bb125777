"""The grids that numbers are rounded to, their gradients, and how ranges move."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_spaces.quantization.formats import FORMATS
from search_spaces.quantization.quantizers import ActivationQuantizer, Options, WeightQuantizer
from search_spaces.quantization.ranges import moved, percentiles
from search_spaces.quantization.rounding import fake_quantize

UNIFORM = [name for name, format_ in FORMATS.items() if format_.is_uniform]


def numbers(seed: int, count: int = 200, skew: float = 0.3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator=generator) + skew


@pytest.mark.parametrize("scheme", ["affine", "symmetric", "fixed_point"])
@pytest.mark.parametrize("name", UNIFORM)
@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_activations_are_near_their_values(name: str, scheme: str, seed: int):
    """At most half a step away, 0 exactly 0, codes in their range, at most 2^b values."""
    quantizer = ActivationQuantizer(FORMATS[name], Options(scheme=scheme, observer="minmax"))
    x = torch.cat([numbers(seed), torch.zeros(1)])
    rounded = quantizer.train()(x)
    codes = quantizer.codes(x)
    assert codes.values.min() >= codes.low
    assert codes.values.max() <= codes.high
    assert torch.equal(codes.dequantized(), rounded)
    # A zero point is a whole number, which may cost the outermost half step.
    step = codes.scale * (1.0 if scheme == "affine" else 0.5)
    assert (rounded - x).abs().max() <= step + 1e-6 * x.abs().max()
    assert rounded[-1] == 0
    if scheme == "fixed_point":
        exponent = torch.log2(codes.scale)
        assert exponent == exponent.round()


@pytest.mark.parametrize("scheme", ["affine", "symmetric", "fixed_point"])
@pytest.mark.parametrize("name", UNIFORM)
def test_weights_are_near_their_values(name: str, scheme: str):
    """By row; a row of zeros stays one."""
    weight = torch.stack([numbers(0), numbers(1) * 10, torch.zeros(200)])
    quantizer = WeightQuantizer(FORMATS[name], Options(scheme=scheme), weight, by_row=True)
    rounded, scale = quantizer(weight), quantizer.codes(weight).scale
    assert ((rounded - weight).abs() <= 0.501 * scale).all()
    assert scale.shape == (3, 1)
    assert not rounded[2].any()
    whole = WeightQuantizer(
        FORMATS[name], Options(scheme=scheme, granularity="tensor"), weight, by_row=True
    )
    assert whole.codes(weight).scale.shape == ()


def test_the_gradient_passes_within_the_grid_alone():
    """1 within, 0 beyond; of a learned scale that of LSQ, against the formula."""
    x = torch.tensor([-9.0, -1.2, 0.4, 2.2, 9.0], requires_grad=True)
    scale = torch.tensor(0.5, requires_grad=True)
    zero, low, high = torch.zeros(()), -7, 7
    fake_quantize(x, scale, zero, low, high).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 0]
    v = x.detach() / scale.detach()
    inside = (v.round() - v) * (v.round().abs() <= high)
    expected = (inside + high * ((v > high).float() - (v < low).float())).sum() / (5 * high) ** 0.5
    torch.testing.assert_close(scale.grad, expected)


def test_ranges_move_as_they_say():
    """minmax holds all; ema goes a tenth of the way; the first numbers set it."""
    zero = torch.zeros(())
    first, second = torch.tensor([-1.0, 4.0]), torch.tensor([-3.0, 2.0])
    assert [
        float(t) for t in moved("minmax", *moved("minmax", zero, zero, first, 8), second, 8)
    ] == [
        -3,
        4,
    ]
    low, high = moved("ema", *moved("ema", zero, zero, first, 8), second, 8)
    assert (float(low), float(high)) == pytest.approx((-1.2, 3.8))
    low, high = moved("ema", zero, zero, torch.tensor([2.0, 5.0]), 8)
    assert (float(low), float(high)) == (0, 5)


@pytest.mark.parametrize(("bits", "share"), [(8, 0.001), (4, 0.01)])
def test_percentiles_leave_out_the_outermost(bits: int, share: float):
    """Within a bin of what sorting says; an outlier does not stretch the range."""
    x = numbers(5, 20_000, skew=0.0)
    low, high = percentiles(x, bits)
    bin_ = float(x.max() - x.min()) / 2048
    assert float(low) == pytest.approx(float(x.quantile(share)), abs=2 * bin_)
    assert float(high) == pytest.approx(float(x.quantile(1 - share)), abs=2 * bin_)
    sparse = torch.cat([x, torch.zeros(100_000)])
    torch.testing.assert_close(percentiles(sparse, bits), (low, high), rtol=0, atol=2 * bin_)
    stretched = torch.cat([x, torch.tensor([1e3])])
    assert float(percentiles(stretched, bits)[1]) < 10
    assert float(moved("ema", torch.zeros(()), torch.zeros(()), stretched, bits)[1]) == 1e3
