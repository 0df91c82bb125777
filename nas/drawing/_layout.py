"""Where boxes and arrows stand: rows by what is read first, columns by who reads whom.

One layout for letters and for pixels: what differs is in `Metrics`. An arrow goes down where its
source stands, if no box is in the way, and else through a lane at the right, which it shares with
all arrows of that source. Between two rows is a band: arrows leave in its upper part and arrive in
its lower one, so what leaves and what arrives never run over each other.

Limits: where boxes of several columns are joined across many rows, arrows may cross.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from search_spaces.picture import Picture

Route: TypeAlias = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Metrics:
    """Sizes, in columns and lines of a terminal or in pixels.

    Attributes:
        column: between two boxes side by side.
        lane: between two lanes.
        line: of a band, for arrows that leave or arrive; a band has one for the point as well.
    """

    column: int
    lane: int
    line: int


@dataclass(frozen=True)
class Placed:
    """A box: its upper left corner and its size."""

    x: int
    y: int
    width: int
    height: int

    @property
    def middle(self) -> int:
        return self.x + self.width // 2

    @property
    def below(self) -> int:
        """The first line under it."""
        return self.y + self.height


@dataclass(frozen=True)
class Layout:
    """A picture with a place for everything.

    Attributes:
        boxes: as the picture has them.
        routes: as its arrows: corners (x, y) from the edge of one box to that of another.
        width, height: of the whole.
    """

    boxes: tuple[Placed, ...]
    routes: tuple[Route, ...]
    width: int
    height: int


def layout(picture: Picture, sizes: Sequence[tuple[int, int]], metrics: Metrics) -> Layout:
    """Place a picture.

    Args:
        sizes: (width, height) of each box.
    """
    grid = _Grid.of(picture)
    leaving = {grid.rows[source] for source in grid.lanes}
    arriving = {
        grid.rows[target] for source, target in picture.arrows if grid.turns(source, target)
    }
    tops, bottoms, y = list[int](), list[int](), 0
    for row in range(max(grid.rows) + 1):
        y += metrics.line * ((row in arriving) + bool(row))
        tops.append(y)
        y += max(size[1] for size, at in zip(sizes, grid.rows, strict=True) if at == row)
        bottoms.append(y)
        y += metrics.line * (row in leaving)
    beside = grid.beside(picture)
    step = metrics.column + max(size[0] for size, b in zip(sizes, beside, strict=True) if b)
    lefts = [
        round(column * step) - width // 2
        for (width, _), column in zip(sizes, grid.columns, strict=True)
    ]
    boxes = tuple(
        Placed(left - min(lefts), tops[row], width, height)
        for (width, height), row, left in zip(sizes, grid.rows, lefts, strict=True)
    )
    right = max(box.x + box.width for box in boxes)
    lanes = {source: right + metrics.lane * (n + 1) for source, n in grid.lanes.items()}
    within = (metrics.line - 1) // 2  # where a band's part has its line

    def route(source: int, target: int) -> Route:
        start, end = boxes[source], boxes[target]
        arrives = end.y - 2 * metrics.line + within
        corners = [(start.middle, start.below)]
        if grid.needs_lane(source, target):
            leaves = bottoms[grid.rows[source]] + within
            corners += [(start.middle, leaves), (lanes[source], leaves), (lanes[source], arrives)]
        elif start.middle != end.middle:
            corners += [(start.middle, arrives)]
        if len(corners) > 1:
            corners += [(end.middle, arrives)]
        return (*corners, (end.middle, end.y))

    routes = tuple(route(source, target) for source, target in picture.arrows)
    return Layout(boxes, routes, max([right, *(lane + 1 for lane in lanes.values())]), bottoms[-1])


@dataclass(frozen=True)
class _Grid:
    """Rows, columns and lanes, by box; columns may lie between two others."""

    rows: Sequence[int]
    columns: Sequence[float]
    lanes: Mapping[int, int]

    @classmethod
    def of(cls, picture: Picture) -> "_Grid":
        rows = _rows(picture)
        grid = cls(rows, _columns(picture, rows), {})
        ends: dict[int, int] = {}
        for source, target in picture.arrows:
            if grid.needs_lane(source, target):
                ends[source] = max(rows[target], ends.get(source, 0))
        # Short ones first, so that those stand within the long ones.
        order = sorted(ends, key=lambda source: (ends[source] - rows[source], source))
        lanes: dict[int, int] = {}
        for source in order:
            near = [
                lanes[other]
                for other in lanes
                if rows[other] < ends[source] and rows[source] < ends[other]
            ]
            lanes[source] = next(lane for lane in range(len(order)) if lane not in near)
        return cls(rows, grid.columns, lanes)

    def needs_lane(self, source: int, target: int) -> bool:
        """Whether a box stands in the way of an arrow that goes straight down."""
        between = range(self.rows[source] + 1, self.rows[target])
        return any(
            row in between and abs(column - self.columns[source]) < 1
            for row, column in zip(self.rows, self.columns, strict=True)
        )

    def beside(self, picture: Picture) -> list[bool]:
        """Of each box whether another, or an arrow, goes past it; all, where none has company."""
        shared = {row for row in self.rows if self.rows.count(row) > 1}
        for source, target in picture.arrows:
            if not self.needs_lane(source, target):
                shared.update(range(self.rows[source] + 1, self.rows[target]))
        return [row in shared or not shared for row in self.rows]

    def turns(self, source: int, target: int) -> bool:
        return self.columns[source] != self.columns[target] or self.needs_lane(source, target)


def _rows(picture: Picture) -> list[int]:
    """Of each box, how long the longest way to it is."""
    rows = [0] * len(picture.boxes)
    for source, target in picture.arrows:  # by source, so a row is settled before it is read
        rows[target] = max(rows[target], rows[source] + 1)
    return rows


def _columns(picture: Picture, rows: Sequence[int]) -> list[float]:
    """What one box reads alone stands below it, side by side; what joins several, amid them."""
    reads: list[list[int]] = [[] for _ in rows]
    for source, target in picture.arrows:
        reads[target].append(source)
    below: list[list[int]] = [[] for _ in rows]
    for box, sources in enumerate(reads):
        if len(sources) == 1:
            below[sources[0]].append(box)
    ends = [0] * len(rows)  # how many columns what stands below it takes
    for box in reversed(range(len(rows))):
        ends[box] = sum(ends[reader] for reader in below[box]) or 1
    columns = [0.0] * len(rows)
    for box, sources in enumerate(reads):
        if len(sources) != 1:  # the others were placed with what they read
            columns[box] = _amid(columns, sources)
        left = columns[box] - (ends[box] - 1) / 2
        for reader in below[box]:
            columns[reader] = left + (ends[reader] - 1) / 2
            left += ends[reader]
    first = min(columns)
    return _apart([column - first for column in columns], rows)


def _amid(columns: Sequence[float], boxes: Sequence[int]) -> float:
    return sum(columns[box] for box in boxes) / len(boxes) if boxes else 0.0


def _apart(columns: list[float], rows: Sequence[int]) -> list[float]:
    """Boxes of one row that would overlap go to the right."""
    last: dict[int, float] = {}
    for box in sorted(range(len(rows)), key=lambda box: columns[box]):
        row = rows[box]
        columns[box] = max(columns[box], last.get(row, -1.0) + 1)
        last[row] = columns[box]
    return columns
