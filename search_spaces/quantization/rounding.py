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
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

# At a time, of tensors with one scale: few enough numbers to stay in a processor's cache.
_BLOCK = 2**16


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
    if torch.compiler.is_compiling() or x.is_meta:
        return (code(x, scale, zero_point, low, high) - zero_point) * scale
    return _on_grid(x, scale, zero_point, low, high)


class _FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor, low: int, high: int
    ) -> Tensor:
        ctx.learned, ctx.high, ctx.scale_shape = scale.requires_grad, high, scale.shape
        inside = torch.empty_like(x, dtype=torch.bool)
        out = _on_grid(x, scale, zero_point, low, high, inside)
        if not scale.requires_grad:
            ctx.save_for_backward(inside)
            return out
        exact = x / scale
        codes = code(x, scale, zero_point, low, high) - zero_point
        ctx.save_for_backward(inside, torch.where(inside, codes - exact, codes))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (inside, *of_scale) = gradients, ctx.saved_tensors
        to_scale = None
        if ctx.learned:
            n = inside.numel() // max(1, math.prod(ctx.scale_shape))
            each = gradient * of_scale[0]
            to_scale = each.sum_to_size(ctx.scale_shape) / math.sqrt(max(1, n) * max(1, ctx.high))
        return gradient * inside, to_scale, None, None, None


def _on_grid(
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    low: int,
    high: int,
    inside: Tensor | None = None,
) -> Tensor:
    """x on the grid, and where it is within it; nine passes over memory would be most of the work
    of training."""
    out = torch.empty_like(x)
    if scale.dim() or not (x.is_contiguous() and out.is_contiguous()):
        _round(x, scale, zero_point, low, high, out, inside)
        return out
    blocks = torch.split(x.view(-1), _BLOCK), torch.split(out.view(-1), _BLOCK)
    within: Sequence[Tensor | None] = [None] * len(blocks[0])
    if inside is not None:
        within = torch.split(inside.view(-1), _BLOCK)
    for block, rounded, mask in zip(*blocks, within, strict=True):
        _round(block, scale, zero_point, low, high, rounded, mask)
    return out


def _round(
    x: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    low: int,
    high: int,
    out: Tensor,
    inside: Tensor | None,
) -> None:
    torch.div(x, scale, out=out).add_(zero_point).round_()
    if inside is not None:
        torch.ge(out, low, out=inside)
        inside.logical_and_(out <= high)
    out.clamp_(low, high).sub_(zero_point).mul_(scale)
