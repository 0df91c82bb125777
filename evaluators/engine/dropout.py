"""Random numbers of runs that train together, and dropout for a quarter of torch's price.

Each run draws from a stream of its own, which the study's seed, its architecture, its index and the
epoch determine; so what it draws does not depend on the runs beside it. Streams are SFC64 (Chris
Doty-Humphrey), which makes 64 bits in a nanosecond; an element of a mask takes 16 of them, so a
probability p is rounded to a multiple of 2^-16, and what is kept is divided by the rounded one:
means are exact.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_LEVELS = 1 << 16


def is_dropped(p: float) -> bool:
    """Whether a probability is more than nothing."""
    return _bound(p) > 0


def _bound(p: float) -> int:
    return min(round(p * _LEVELS), _LEVELS - 1)


@dataclass(frozen=True, eq=False)
class Mask:
    """Which elements are kept, as it was drawn.

    Attributes:
        numbers: [K, size] int16, uniform.
        lowest: [K, 1] int16, the lowest that is kept.
        scale: [K, 1], by what it is multiplied.
    """

    numbers: Tensor
    lowest: Tensor
    scale: Tensor

    def split(self, size: int) -> Iterator["Mask"]:
        """The mask in pieces of so many elements of each run."""
        for numbers in torch.split(self.numbers, size, 1):
            yield Mask(numbers, self.lowest, self.scale)

    def kept(self) -> Tensor:
        """[K, size]: 0 where an element is dropped, else what scales it up; a new tensor."""
        kept = torch.empty(self.numbers.shape, dtype=self.scale.dtype, device=self.numbers.device)
        # Compared into floating-point numbers: by way of truth values it takes four times as long.
        return torch.ge(self.numbers, self.lowest, out=kept).mul_(self.scale)


class Draws:
    """The random numbers of one epoch, for K runs."""

    def __init__(
        self,
        seeds: Sequence[tuple[int, ...]],
        epochs: Sequence[int],
        probabilities: Sequence[float],
        *,
        share_input: bool,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """Args: for each run, what makes its stream its own, the first of which is the seed of the
        study; the epoch; and the dropout probability.
        """
        given = list(zip(seeds, epochs, strict=True))
        self._streams = [np.random.SFC64([*seed, epoch]) for seed, epoch in given]
        self._of_input = self._streams
        if share_input:
            self._of_input = [np.random.SFC64([seed[0], epoch]) for seed, epoch in given]
        bounds = [_bound(p) for p in probabilities]
        self.any = any(bounds)
        # Equal seeds, epochs and probabilities draw equal masks: one row stands for all.
        alike = {(seed[0], epoch) for seed, epoch in given}
        self._one_mask = share_input and len(alike) == len(set(bounds)) == 1
        self._lowest = torch.tensor([b - _LEVELS // 2 for b in bounds], dtype=torch.int16)[:, None]
        scale = torch.tensor([_LEVELS / (_LEVELS - b) for b in bounds], dtype=torch.float64)
        self._scale = scale[:, None].to(device=device, dtype=dtype)
        self._lowest = self._lowest.to(device)

    def seed_torch(self, run: int) -> None:
        """Seed torch from a run's stream, for a module that draws by itself."""
        torch.manual_seed(int(self._streams[run].random_raw()) >> 1)

    def mask(self, size: int, *, of_input: bool) -> Mask:
        """Of so many elements of each run, or of one for all.

        The latter for the input, where all runs share its mask and have the same probability.
        """
        streams = self._of_input if of_input else self._streams
        rows = 1 if of_input and self._one_mask else len(streams)
        words = -(-size // 4)
        drawn = [stream.random_raw(words) for stream in streams[:rows]]
        stacked = drawn[0][None] if rows == 1 else np.stack(drawn)
        numbers = torch.from_numpy(stacked.view(np.int16))[:, :size].to(self._lowest.device)
        return Mask(numbers, self._lowest[:rows], self._scale[:rows])
