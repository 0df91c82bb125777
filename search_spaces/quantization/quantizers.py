"""Modules that round weights and activations to a number format.

The scale of weights is made anew from the weights each time, for each output row or for the whole
tensor. That of activations is made from a range that moves as the network is trained
(`search_spaces.quantization.ranges`) and stays as it is in evaluation; before anything was seen it
is the range of the present numbers.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from search_spaces.quantization import binary
from search_spaces.quantization.codes import Codes
from search_spaces.quantization.formats import Format
from search_spaces.quantization.ranges import MOMENTUM, Observer, moved
from search_spaces.quantization.rounding import code, fake_quantize

# See `search_spaces.quantization.binary`.
Binarization: TypeAlias = Literal["bnn", "xnor", "dorefa", "bi_real", "recu", "fda"]
Scheme: TypeAlias = Literal["affine", "symmetric", "fixed_point"]
Granularity: TypeAlias = Literal["channel", "tensor"]
Scales: TypeAlias = Literal["observed", "learned"]
# Numbers [] or [rows, 1, ...] that make a grid.
_Grid: TypeAlias = tuple[Tensor, Tensor, int, int]


@dataclass(frozen=True)
class Options:
    """How numbers are rounded, whatever their format.

    Attributes:
        scheme: affine: activations have a zero point, weights are symmetric about 0; symmetric:
            both are; fixed_point: both are, with scales that are powers of two.
        granularity: of the scales of weights: one for each output row, or one for the tensor.
        observer: how the range of activations moves.
        scales: observed, or learned (LSQ).
        binarization: how binary numbers are made.
    """

    scheme: Scheme = "affine"
    granularity: Granularity = "channel"
    observer: Observer = "percentile"
    scales: Scales = "observed"
    binarization: Binarization = "xnor"


class WeightQuantizer(nn.Module):
    """Weights [rows, ...] to weights of a format.

    Args:
        format_: of the weights.
        options: how they are rounded.
        like: the weights; a learned scale begins with 2 mean|w| / sqrt(high).
        by_row: whether rows are outputs, and may have scales of their own.
    """

    def __init__(self, format_: Format, options: Options, like: Tensor, *, by_row: bool) -> None:
        super().__init__()
        self.format, self.options = format_, options
        self.by_row = by_row and options.granularity == "channel"
        self._is_learned = options.scales == "learned" and format_.is_uniform
        if self._is_learned:
            begun = 2 * self._over(like.detach().abs(), "mean") / self._codes()[1] ** 0.5
            self.scale = nn.Parameter(begun.clamp(min=torch.finfo(like.dtype).tiny))

    def forward(self, weight: Tensor) -> Tensor:
        if self.format.is_float:
            return weight
        if self.format.name == "binary":
            return binary.binarized(weight, self.options.binarization, rows=self.by_row)
        if self.format.name == "ternary":
            return binary.ternarized(weight, rows=self.by_row)
        return fake_quantize(weight, *self._grid(weight))

    def codes(self, weight: Tensor) -> Codes:
        """The weights as whole numbers; not of floating-point ones."""
        if self.format.name == "binary":
            return binary.binary_codes(weight, self.options.binarization, rows=self.by_row)
        if self.format.name == "ternary":
            return binary.ternary_codes(weight, rows=self.by_row)
        scale, zero, low, high = self._grid(weight.detach())
        values = code(weight.detach(), scale, zero, low, high).int()
        return Codes(values, scale.detach(), zero.int(), low, high)

    def scales(self, shape: torch.Size) -> int:
        """How many numbers make up the scale of weights of a shape."""
        of_all = self.format.name == "binary" and self.options.binarization in binary.OF_ALL
        return shape[0] if self.by_row and len(shape) > 1 and not of_all else 1

    def keep(self, scale: Tensor) -> None:
        """Have a scale for good, [] or [rows, 1, ...], not one made from the weights.

        Of whole numbers of more than one size alone.
        """
        self._is_learned = True
        self.scale = nn.Parameter(scale.detach().clone(), requires_grad=False)

    def _grid(self, weight: Tensor) -> _Grid:
        low, high = self._codes()
        if self._is_learned:
            scale = self.scale.abs().clamp(min=torch.finfo(weight.dtype).tiny)
        else:
            scale = spread(self._over(weight.detach().abs(), "amax") / high, self.options.scheme)
        return scale, scale.new_zeros(()), low, high

    def _codes(self) -> tuple[int, int]:
        scheme = self.options.scheme
        return self.format.codes("symmetric" if scheme == "affine" else scheme)

    def _over(self, magnitudes: Tensor, how: str) -> Tensor:
        """[rows, 1, ...], or []."""
        if not self.by_row:
            return magnitudes.amax() if how == "amax" else magnitudes.mean()
        dims = tuple(range(1, magnitudes.dim()))
        if how == "amax":
            return magnitudes.amax(dims, keepdim=True)
        return magnitudes.mean(dims, keepdim=True)

    def extra_repr(self) -> str:
        return self.format.name


def spread(scale: Tensor, scheme: Scheme) -> Tensor:
    """A scale as the scheme has it: above 0, and a power of two where it must be."""
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return torch.exp2(torch.log2(scale).ceil()) if scheme == "fixed_point" else scale


class Shield:
    """Which nodes of the present graph are not quantized, in one pass; None for all are."""

    def __init__(self) -> None:
        self.protected: Tensor | None = None


class ActivationQuantizer(nn.Module):
    """Activations [rows, ...] to activations of a format.

    Attributes:
        range_low, range_high: [], from where to where they reach; 0 and 0 before any were seen.
        shield: of the nodes that its rows are; None where they are none, or none is protected.
    """

    range_low: Tensor
    range_high: Tensor

    def __init__(self, format_: Format, options: Options) -> None:
        super().__init__()
        self.format, self.options = format_, options
        self.shield: Shield | None = None
        self.register_buffer("range_low", torch.zeros(()))
        self.register_buffer("range_high", torch.zeros(()))
        # Where its range is from: see `settle`.
        self._range: Literal["moving", "kept", "present"] = "moving"
        self._is_learned = options.scales == "learned" and format_.is_uniform
        if self._is_learned:
            self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, nodes: Tensor | None = None, dim: int = 0) -> Tensor:
        """Activations on the grid, but for rows that are protected.

        Args:
            x: of any shape.
            nodes: [rows], whose they are, where rows are not the nodes themselves.
            dim: of x, along which rows lie.
        """
        if self.format.is_float:
            return x
        protected = self.shield.protected if self.shield is not None else None
        if protected is None:
            return self._quantized(x, x)
        kept = protected if nodes is None else protected[nodes]
        kept = kept.view(-1, *(1,) * (x.dim() - 1)).movedim(0, dim)
        # The range is of the others; 0 is in every range.
        return torch.where(kept, x, self._quantized(x, x.detach().masked_fill(kept, 0)))

    def _quantized(self, x: Tensor, seen: Tensor) -> Tensor:
        if self.training:
            self._observe(seen.detach())
        if self.format.name == "binary":
            how = self.options.binarization
            return binary.binarized(x, how, rows=False, scale=self._size())
        if self.format.name == "ternary":
            return binary.ternarized(x, rows=False, scale=self._size())
        return fake_quantize(x, *self._grid(x))

    def codes(self, x: Tensor) -> Codes:
        """The activations as whole numbers; not of floating-point ones."""
        if not self.format.is_uniform:
            return _few(self.format, self.options, x, self._size())
        scale, zero, low, high = self._grid(x.detach())
        values = code(x.detach(), scale, zero, low, high).int()
        return Codes(values, scale.detach(), zero.int(), low, high)

    def grid(self) -> Codes | None:
        """The codes of 0 alone, with the scale that all numbers have; None where each tensor has
        its own, or none."""
        if self.format.is_float or not self._is_seen():
            return None
        return self.codes(torch.zeros_like(self.range_low))

    def forget(self) -> None:
        """Have seen nothing."""
        self.range_low.zero_()
        self.range_high.zero_()

    def settle(self) -> None:
        """Keep the range for good, where one was seen: nothing is asked of values any more."""
        self._range = "kept" if self._is_seen() else "present"

    def _size(self) -> Tensor | None:
        """The scale of binary and ternary numbers, where any were seen."""
        if not self._has_range(self.range_high):
            return None
        # The gradient needs it as it is now: called again in the same pass, it moves on.
        return self.range_high.clone() if self.training else self.range_high

    def _has_range(self, x: Tensor) -> bool:
        """Whether to go by what was seen. Without values there is nothing to look at."""
        if self._range != "moving" or x.is_meta:
            return self._range != "present"
        return self._is_seen()

    def _is_seen(self) -> bool:
        return bool(self.range_low < self.range_high)

    def _observe(self, x: Tensor) -> None:
        if self._is_learned and not self._is_seen() and x.numel():
            largest = self.format.codes("affine" if bool(x.min() >= 0) else "symmetric")[1]
            self.scale.data.copy_(2 * x.abs().mean() / largest**0.5)
        low, high = self.range_low, self.range_high
        if self.format.is_uniform:
            low, high = moved(self.options.observer, low, high, x, self.format.bits)
        elif x.numel():
            # Their range is as far as they reach.
            size = _few(self.format, self.options, x, None).scale
            high = size if not self._is_seen() else high.lerp(size, MOMENTUM)
            low = -high
        self.range_low.copy_(low)
        self.range_high.copy_(high)

    def _grid(self, x: Tensor) -> _Grid:
        low, high = self.range_low, self.range_high
        if not self._has_range(x):
            low, high = _present(x)
        if self._is_learned:
            return self._learned_grid(low, high)
        scheme = self.options.scheme
        first, last = self.format.codes(scheme)
        if scheme == "affine":
            scale = spread((high - low) / (last - first), scheme)
            return scale, (first - low / scale).round(), first, last
        scale = spread(torch.maximum(-low, high) / last, scheme)
        return scale, torch.zeros_like(scale), first, last

    def _learned_grid(self, low: Tensor, high: Tensor) -> _Grid:
        """Of codes above 0 alone where nothing below was seen: the zero point is the lowest."""
        first, last = self.format.codes("affine")
        half = 2 ** (self.format.bits - 1)
        zero = torch.where(low < 0, torch.full_like(low, half), torch.zeros_like(low))
        begun = spread(torch.maximum(-low, high) / (last - half), "affine")
        scale = torch.where(self.scale == 0, begun, self.scale.abs())
        return scale, zero, first, last

    def extra_repr(self) -> str:
        return self.format.name


def _few(format_: Format, options: Options, x: Tensor, scale: Tensor | None) -> Codes:
    """Activations as binary or ternary numbers."""
    if format_.name == "binary":
        return binary.binary_codes(x, options.binarization, rows=False, scale=scale)
    return binary.ternary_codes(x, rows=False, scale=scale)


def _present(x: Tensor) -> tuple[Tensor, Tensor]:
    """The range of present numbers, of none of them too, without looking at a value."""
    with_zero = torch.cat([x.detach().reshape(-1), x.new_zeros(1)])
    return with_zero.amin(), with_zero.amax()
