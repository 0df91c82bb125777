"""Random numbers of runs that train together, and dropout for a quarter of torch's price.

Each run draws from a stream of its own, which its seed, its index and the epoch determine; so what
it draws does not depend on the runs beside it. Streams are SFC64 (Chris Doty-Humphrey), which makes
64 bits in a nanosecond; an element of a mask takes 16 of them, so a probability p is rounded to a
multiple of 2^-16, and what is kept is divided by the rounded one: means are exact.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_LEVELS = 1 << 16
# A stream that runs share: no run has this index.
_SHARED = 2**31


class Draws:
    """The random numbers of one epoch, for K runs."""

    def __init__(
        self,
        seeds: Sequence[tuple[int, int]],
        epochs: Sequence[int],
        probabilities: Sequence[float],
        *,
        share_input: bool,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """Args: for each run, the seed and its index, the epoch, and the dropout probability."""
        self._streams = [
            np.random.SFC64([seed, index, epoch])
            for (seed, index), epoch in zip(seeds, epochs, strict=True)
        ]
        self._shared = [
            np.random.SFC64([seed, _SHARED, epoch])
            for (seed, _), epoch in zip(seeds, epochs, strict=True)
        ]
        bounds = [min(round(p * _LEVELS), _LEVELS - 1) for p in probabilities]
        self.any = any(bounds)
        self._share_input = share_input
        # Equal seeds, epochs and probabilities draw equal masks: one row stands for all.
        alike = {(seed, epoch) for (seed, _), epoch in zip(seeds, epochs, strict=True)}
        self._one_mask = len(alike) == len(set(bounds)) == 1
        self._lowest = torch.tensor([b - _LEVELS // 2 for b in bounds], dtype=torch.int16)[:, None]
        scale = torch.tensor([_LEVELS / (_LEVELS - b) for b in bounds], dtype=torch.float64)
        self._scale = scale[:, None].to(device=device, dtype=dtype)
        self._lowest = self._lowest.to(device)

    def kept(self, size: int, *, of_input: bool) -> Tensor:
        """[K, size]: 0 where an element is dropped, else what scales it up.

        [1, size] for the input, where all runs share its mask and have the same probability.
        """
        streams = self._shared if of_input and self._share_input else self._streams
        rows = 1 if streams is self._shared and self._one_mask else len(streams)
        words = -(-size // 4)
        drawn = np.stack([stream.random_raw(words) for stream in streams[:rows]]).view(np.int16)
        numbers = torch.from_numpy(drawn)[:, :size].to(self._lowest.device)
        kept = torch.empty(numbers.shape, dtype=self._scale.dtype, device=numbers.device)
        # Compared into floating-point numbers: by way of truth values it takes four times as long.
        return torch.ge(numbers, self._lowest[:rows], out=kept).mul_(self._scale[:rows])
