"""From where to where numbers reach: what the scales of activations are made from.

Every range includes 0, so that 0 stays 0: edges and units that are not there add nothing.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from search_spaces.frozen import FrozenMapping

Observer: TypeAlias = Literal["minmax", "ema", "percentile"]
# The smallest and the largest of numbers, of a format of so many bits.
_Look: TypeAlias = Callable[[Tensor, int], tuple[Tensor, Tensor]]
_BINS = 2048
# A histogram is of no more than twice so many numbers.
_MOST_SEEN = 2**17
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
    hundred, of those that are not 0.

    From a histogram of 2048 bins between the extremes, which takes no sorting; of many numbers,
    from one in so many.
    """
    low, high = extremes(x)
    width = float(high - low)
    if not width > 0:
        return low, high
    seen = x.reshape(-1)[:: _apart(x)].float()
    counts = torch.histc(seen, _BINS, float(low), float(high))
    # Features and what an activation leaves are mostly 0, sparse ones are given without: those of
    # both are the same.
    others = int(seen.count_nonzero())
    counts[min(_BINS - 1, int(-float(low) / width * _BINS))] -= seen.numel() - others
    outside = (0.001 if bits >= 8 else 0.01) * others
    below = counts.clamp(min=0).cumsum(0)
    first = int(torch.searchsorted(below, torch.tensor(outside)))
    last = int(torch.searchsorted(below, torch.tensor(others - outside)))
    edge = width / _BINS
    return (
        (low + first * edge).clamp(max=0).to(x.dtype),
        torch.minimum((low + (last + 1) * edge).clamp(min=0), high).to(x.dtype),
    )


def _apart(x: Tensor) -> int:
    """How far apart the numbers are that are looked at: of all columns, so many of each."""
    apart = max(1, x.numel() // _MOST_SEEN)
    while x.dim() and math.gcd(apart, x.size(-1)) > 1:
        apart += 1
    return apart


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
