"""Rounding that is learned by division: what stands in a quantizer's place meanwhile."""

import torch
from torch import Tensor, nn

from search_spaces.quantization.quantizers import WeightQuantizer


class FlexRounding(nn.Module):
    """Weights [rows, ...] to weights on a grid, by what it has learned.

        W' = s clamp(round(W / (s exp(S2 + s3))), low, high);    s = s1 exp(d)

    with s1 the scale of round-to-nearest, and d like s1, S2 [rows, ...] and s3 [rows, 1, ...]
    learned from 0, where W' is what the quantizer makes of W, exactly. The gradient passes the
    rounding straight through, so that within the grid dW'/dS2 = -W exp(-S2 - s3): a large weight is
    moved more easily than a small one, and further than to the next number.

    Args:
        quantizer: whose place it takes; of whole numbers of more than one size.
        weight: full precision.
    """

    begun: Tensor

    def __init__(self, quantizer: WeightQuantizer, weight: Tensor) -> None:
        super().__init__()
        codes = quantizer.codes(weight.detach())
        self.low, self.high = codes.low, codes.high
        self.register_buffer("begun", codes.scale)
        # A power of two stays one.
        is_free = quantizer.options.scheme != "fixed_point"
        self.scale = nn.Parameter(torch.zeros_like(codes.scale), requires_grad=is_free)
        self.each = nn.Parameter(torch.zeros_like(weight))
        self.row = nn.Parameter(weight.new_zeros(weight.shape[0], *(1 for _ in weight.shape[1:])))

    def forward(self, weight: Tensor) -> Tensor:
        """The weights as they would be kept."""
        scale = self.step()
        return self._codes(weight, scale) * scale

    def step(self) -> Tensor:
        """The distance of two neighbors of the grid: [] or [rows, 1, ...]."""
        return self.begun * self.scale.exp()

    @torch.no_grad()
    def codes(self, weight: Tensor) -> Tensor:
        """The weights as whole numbers."""
        return self._codes(weight, self.step())

    def _codes(self, weight: Tensor, scale: Tensor) -> Tensor:
        exact = weight / (scale * (self.each + self.row).exp())
        rounded = exact.round().detach() + (exact - exact.detach())
        return rounded.clamp(self.low, self.high)
