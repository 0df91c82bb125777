"""What a low-precision number is: an integer, with the scale and zero point of its tensor."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Codes:
    """A tensor of integers that stand for (values - zero_point) * scale.

    Attributes:
        values: int32, in [low, high]. Binary numbers are -1 and +1, ternary ones -1, 0 and +1.
        scale: above 0, and broadcast to `values`.
        zero_point: int32, the integer that stands for 0; broadcast to `values`.
        low, high: the least and the largest integer.
    """

    values: Tensor
    scale: Tensor
    zero_point: Tensor
    low: int
    high: int

    def dequantized(self) -> Tensor:
        """The numbers that the integers stand for, in the type of the scale."""
        return (self.values - self.zero_point).to(self.scale.dtype) * self.scale
