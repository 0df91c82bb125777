"""An axis of a plot in letters: where values stand, and round ones with labels.

uniplot's own labels have as few digits as differ from each other, so that 0.5 and 1 are 0 and 1,
and stand elsewhere than points.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Values that are positive and this many times apart stand by their logarithms.
_FAR = 30.0
# What is left free at either end, of the span.
_ROOM = 0.05


@dataclass(frozen=True)
class Axis:
    """From the least value to the largest.

    Attributes:
        low, high: its ends, a little beyond the values.
        is_log: whether values stand by their logarithms.
    """

    low: float
    high: float
    is_log: bool

    @classmethod
    def of(cls, values: Sequence[float]) -> "Axis":
        low, high = min(values), max(values)
        if low > 0 and high / low >= _FAR:
            factor = (high / low) ** _ROOM
            return cls(low / factor, high * factor, True)
        room = _ROOM * (high - low) or abs(low) / 2 or 1.0
        return cls(low - room, high + room, False)

    def place(self, value: float, cells: int) -> int:
        """In which of so many cells uniplot draws a value: the ends are the middles of two."""
        scale: Callable[[float], float] = math.log10 if self.is_log else float
        low, high = scale(self.low), scale(self.high)
        return round((scale(value) - low) / (high - low) * (cells - 1))

    def ticks(self, wanted: int) -> list[tuple[float, str]]:
        """About so many round values with their labels, the least first."""
        return self._powers(wanted) if self.is_log else self._steps(wanted)

    def _steps(self, wanted: int) -> list[tuple[float, str]]:
        exponent = math.floor(math.log10((self.high - self.low) / wanted))
        sizes = [(m, e) for e in (exponent, exponent + 1) for m in (1, 2, 5)]
        mantissa, exponent = next(
            size for size in sizes if size[0] * 10.0 ** size[1] * wanted >= self.high - self.low
        )
        step, decimals = mantissa * 10.0**exponent, max(0, -exponent)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [(i * step, f"{i * step:,.{decimals}f}") for i in range(first, last + 1)]

    def _powers(self, wanted: int) -> list[tuple[float, str]]:
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        every = math.ceil((last - first + 1) / wanted)
        if every == 1 and last - first < 2:
            values = [m * 10.0**e for e in range(first - 1, last + 1) for m in (1, 2, 5)]
            values = [value for value in values if self.low <= value <= self.high]
        else:
            values = [10.0**e for e in range(first, last + 1, every)]
        return [(v, f"{v:,.0f}" if 1 <= v < 1e9 else f"{v:g}") for v in values]


def beside(axis: Axis, rows: int) -> list[str]:
    """The labels of an axis that goes up, one row each, the uppermost first."""
    labels = [""] * rows
    for value, label in axis.ticks(max(2, rows // 4)):
        row = rows - 1 - axis.place(value, rows)
        labels[row] = labels[row] or label
    return labels


def below(axis: Axis, columns: int) -> str:
    """The labels of an axis that goes across, in one line; one that would touch another is not."""
    line = ""
    for value, label in axis.ticks(max(2, columns // 15)):
        begin = max(axis.place(value, columns) - len(label) // 2, 0)
        if (not line or begin > len(line)) and begin + len(label) <= columns:
            line = line.ljust(begin) + label
    return line
