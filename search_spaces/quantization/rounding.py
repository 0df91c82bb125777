"""Fake quantization: numbers rounded to a grid, with gradients that pass as if they were not.

    code(x) = clamp(round(x / s + z), low, high);   x' = (code(x) - z) s

The gradient of x' in x is 1 within the grid and 0 beyond it (straight-through, clipped: Yoshua
Bengio, Nicholas Leonard, Aaron Courville: Estimating or Propagating Gradients Through Stochastic
Neurons for Conditional Computation, 2013). A scale that is learned has the gradient of Steven
Esser, Jeffrey McKinstry, Deepika Bablani, Rathinakumar Appuswamy, Dharmendra Modha: Learned Step
Size Quantization (2020): round(x / s) - x / s within the grid, low or high beyond it, times
1 / sqrt(n high) for n numbers.
"""

import math
from typing import Any

import torch
from torch import Tensor


def code(x: Tensor, scale: Tensor, zero_point: Tensor, low: int, high: int) -> Tensor:
    """The codes of x, as floating-point numbers."""
    return (x / scale + zero_point).round().clamp(low, high)


def fake_quantize(x: Tensor, scale: Tensor, zero_point: Tensor, low: int, high: int) -> Tensor:
    """x on the grid, with gradients in x, and in the scale where it is learned.

    Args:
        x: of any shape.
        scale, zero_point: [], or [rows, 1, ...].
        low, high: codes.
    """
    if torch.is_grad_enabled() and (x.requires_grad or scale.requires_grad):
        quantized: Tensor = _FakeQuantize.apply(x, scale, zero_point, low, high)  # type: ignore[no-untyped-call]
        return quantized
    return (code(x, scale, zero_point, low, high) - zero_point) * scale


class _FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor, low: int, high: int
    ) -> Tensor:
        # In place, one tensor after the other would be: this is most of the work of training.
        codes = x / scale
        learned = scale.requires_grad
        exact = codes.clone() if learned else None
        codes.add_(zero_point).round_()
        inside = (codes >= low) & (codes <= high)
        codes.clamp_(low, high).sub_(zero_point)
        ctx.learned, ctx.high, ctx.scale_shape = learned, high, scale.shape
        if exact is not None:
            ctx.save_for_backward(inside, torch.where(inside, codes - exact, codes))
        else:
            ctx.save_for_backward(inside)
        return codes.mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (inside, *of_scale) = gradients, ctx.saved_tensors
        to_scale = None
        if ctx.learned:
            n = inside.numel() // max(1, math.prod(ctx.scale_shape))
            each = gradient * of_scale[0]
            to_scale = each.sum_to_size(ctx.scale_shape) / math.sqrt(max(1, n) * max(1, ctx.high))
        return gradient * inside, to_scale, None, None, None
