"""A scatter of points as SVG that stands in a page: colors are the page's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from nas.cards._escaped import in_one_line
from nas.cards._numbers import tick

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 24, 20, 58
# Values that are positive and this many times apart are drawn by their logarithms.
_FAR = 30.0
_SMALLEST = 1e-100
_TICKS = 5


@dataclass(frozen=True)
class Point:
    """One trial; `told` is what is said of it."""

    x: float
    y: float
    told: str
    is_marked: bool = False


@dataclass(frozen=True)
class _Axis:
    """Where values are on an axis from `start` to `end`, in pixels."""

    low: float
    high: float
    start: float
    end: float
    is_logarithmic: bool

    @classmethod
    def of(cls, values: Sequence[float], start: float, end: float) -> "_Axis":
        low, high = min(values), max(values)
        far = low > _SMALLEST and high / low >= _FAR
        if far:
            low, high = math.log10(low), math.log10(high)
        room = 0.06 * (high - low) or max(abs(low), 1.0) * 0.05
        return cls(low - room, high + room, start, end, far)

    def at(self, value: float) -> float:
        position = math.log10(value) if self.is_logarithmic else value
        share = (position - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values within it."""
        if self.is_logarithmic:
            skip = math.ceil((self.high - self.low) / _TICKS)
            exponents = range(math.floor(self.low), math.ceil(self.high) + 1, skip)
            steps = (1, 2, 5) if self.high - self.low < 2.5 else (1,)
            values = [step * 10.0**exponent for exponent in exponents for step in steps]
            return [v for v in values if self.low <= math.log10(v) <= self.high]
        step = _round_step((self.high - self.low) / _TICKS)
        first = math.ceil(self.low / step)
        return [step * i for i in range(first, math.floor(self.high / step) + 1)]


def _round_step(step: float) -> float:
    """1, 2 or 5 times a power of ten, the next one up."""
    power: float = 10.0 ** math.floor(math.log10(step))
    return next((f * power for f in (1, 2, 5) if f * power >= step), 10 * power)


def scatter(points: Sequence[Point], names: tuple[str, str]) -> str:
    """The drawing.

    Args:
        points: two or more, of finite values.
        names: of the axes, across and up, escaped for HTML.
    """
    across = _Axis.of([p.x for p in points], _LEFT, _WIDTH - _RIGHT)
    up = _Axis.of([p.y for p in points], _HEIGHT - _BOTTOM, _TOP)
    marked = [escape(in_one_line(p.told)) for p in points if p.is_marked]
    told = f"{len(points)} trials as points: {names[0]} across, {names[1]} up."
    told += f" Marked is this network, {marked[0]}." if marked else " This network is not shown."
    ordered = sorted(points, key=lambda p: p.is_marked)  # what is drawn last is on top
    return "\n".join(
        [
            f'<svg class="front" role="img" aria-labelledby="front-title front-desc" '
            f'viewBox="0 0 {_WIDTH} {_HEIGHT}" xmlns="http://www.w3.org/2000/svg">',
            f'<title id="front-title">{names[1]} against {names[0]}</title>',
            f'<desc id="front-desc">{told}</desc>',
            *_grid(across, up),
            f'<text class="axis" x="{(_LEFT + _WIDTH - _RIGHT) / 2:.0f}" y="{_HEIGHT - 12}" '
            f'text-anchor="middle">{names[0]}</text>',
            f'<text class="axis" transform="translate(16 {(_TOP + _HEIGHT - _BOTTOM) / 2:.0f}) '
            f'rotate(-90)" text-anchor="middle">{names[1]}</text>',
            *(_drawn(point, across, up) for point in ordered),
            "</svg>",
        ]
    )


def _grid(across: _Axis, up: _Axis) -> list[str]:
    lines = []
    for value in across.ticks():
        x = f"{across.at(value):.1f}"
        lines += [
            f'<line class="grid" x1="{x}" x2="{x}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>',
            f'<text class="tick" x="{x}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">'
            f"{tick(_clean(value))}</text>",
        ]
    for value in up.ticks():
        y = up.at(value)
        lines += [
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>',
            f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
            f"{tick(_clean(value))}</text>",
        ]
    return lines


def _clean(value: float) -> float:
    """Without the last bits of a multiple of a step."""
    return float(f"{value:.10g}")


def _drawn(point: Point, across: _Axis, up: _Axis) -> str:
    x, y = across.at(point.x), up.at(point.y)
    told = f"<title>{escape(in_one_line(point.told))}</title>"
    if not point.is_marked:
        return f'<circle class="other" cx="{x:.1f}" cy="{y:.1f}" r="5">{told}</circle>'
    corners = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in _DIAMOND)
    side, anchor = (-14, "end") if x > _WIDTH / 2 else (14, "start")
    return (
        f'<polygon class="this" points="{corners}">{told}</polygon>'
        f'<text class="mark" x="{x + side:.1f}" y="{y + 4:.1f}" text-anchor="{anchor}">'
        "this network</text>"
    )


_DIAMOND = ((0, -9), (9, 0), (0, 9), (-9, 0))
