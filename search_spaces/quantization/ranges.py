"""From where to where numbers reach: what the scales of activations are made from.

Every range includes 0, so that 0 stays 0: edges and units that are not there add nothing.
"""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from search_spaces.frozen import FrozenMapping

Observer: TypeAlias = Literal["minmax", "ema", "percentile"]
# The smallest and the largest of numbers, of a format of so many bits.
_Look: TypeAlias = Callable[[Tensor, int], tuple[Tensor, Tensor]]
_BINS = 2048
# By how much a moving range moves.
MOMENTUM = 0.1


def extremes(x: Tensor, bits: int = 0) -> tuple[Tensor, Tensor]:  # noqa: ARG001 - as `percentiles`
    """The smallest and the largest, 0 included; ([], [])."""
    if x.is_meta or x.numel() == 0:
        return x.new_zeros(()), x.new_zeros(())
    low, high = torch.aminmax(x)
    return low.clamp(max=0), high.clamp(min=0)


def percentiles(x: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """All but the outermost numbers on each side: one in a thousand, of less than 8 bits in a
    hundred.

    From a histogram of 2048 bins between the extremes, which takes one pass and no sorting.
    """
    low, high = extremes(x)
    width = float(high - low)
    if not width > 0:
        return low, high
    counts = torch.histc(x.float(), _BINS, float(low), float(high))
    outside = (0.001 if bits >= 8 else 0.01) * x.numel()
    below = counts.cumsum(0)
    first = int(torch.searchsorted(below, torch.tensor(outside)))
    last = int(torch.searchsorted(below, torch.tensor(x.numel() - outside)))
    edge = width / _BINS
    return (
        (low + first * edge).clamp(max=0).to(x.dtype),
        (low + (last + 1) * edge).clamp(min=0, max=float(high)).to(x.dtype),
    )


_LOOKS: Mapping[str, _Look] = FrozenMapping(
    {"minmax": extremes, "ema": extremes, "percentile": percentiles}
)


def moved(
    observer: Observer, low: Tensor, high: Tensor, x: Tensor, bits: int
) -> tuple[Tensor, Tensor]:
    """A range [low, high] after numbers were seen; (0, 0) is that of nothing seen.

    `minmax` holds all that was ever seen; `ema` and `percentile` move by a tenth of the way to the
    extremes, or to the percentiles, of the present numbers.
    """
    seen_low, seen_high = _LOOKS[observer](x, bits)
    if observer == "minmax":
        return torch.minimum(low, seen_low), torch.maximum(high, seen_high)
    is_new = (low == 0) & (high == 0)
    return (
        torch.where(is_new, seen_low, low.lerp(seen_low, MOMENTUM)),
        torch.where(is_new, seen_high, high.lerp(seen_high, MOMENTUM)),
    )
