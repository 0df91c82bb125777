"""A picture in letters: boxes of line characters, or of ASCII where a terminal has no others."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from textwrap import wrap

from nas.drawing._layout import Layout, Metrics, layout
from search_spaces.picture import Box, Picture

_METRICS = Metrics(column=2, lane=3, line=1)
_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
# By the sides to which a line goes on from there.
_LINES = " │││─┘┐┤─└┌├─┴┬┼"
_ASCII = str.maketrans("│─┘┐┤└┌├┴┬┼▼·", "|-+++++++++v/")


def lines_of(picture: Picture, width: int, encoding: str) -> str:
    """Its lines, of at most `width` columns where boxes can be so; else a list of steps."""
    texts = [_lines(box) for box in picture.boxes]
    sizes = [(max(map(len, lines)), len(lines)) for lines in texts]
    placed = layout(picture, sizes, _METRICS)
    rows = _canvas(placed, texts) if placed.width <= width else _listed(picture)
    notes = [line for note in picture.notes for line in wrap(note, max(width, 20))]
    text = "\n".join([*rows, *notes])
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return text.translate(_ASCII).encode("ascii", "replace").decode()
    return text


def _lines(box: Box) -> list[str]:
    if box.kind == "join" and not box.told:
        return [f"( {box.title} )"]
    inner = [box.title, *box.told]
    width = max(map(len, [*inner, f"{box.name}--"]))
    name = f"─ {box.name} " if box.name else ""
    middle = [f"│ {line:<{width}} │" for line in inner]
    return [f"┌{name:─<{width + 2}}┐", *middle, f"└{'─' * (width + 2)}┘"]


def _canvas(placed: Layout, texts: Sequence[Sequence[str]]) -> Iterator[str]:
    sides: dict[tuple[int, int], int] = {}
    for route in placed.routes:
        _trace(route, sides)
    cells = {place: _LINES[side] for place, side in sides.items()}
    cells |= {(route[-1][0], route[-1][1] - 1): "▼" for route in placed.routes}
    for box, lines in zip(placed.boxes, texts, strict=True):
        for dy, line in enumerate(lines):
            cells |= {(box.x + dx, box.y + dy): letter for dx, letter in enumerate(line)}
    for route in placed.routes:
        x, y = route[0][0], route[0][1] - 1
        cells[x, y] = "┬" if cells[x, y] == "─" else cells[x, y]
    for y in range(placed.height):
        yield "".join(cells.get((x, y), " ") for x in range(placed.width)).rstrip()


def _trace(route: Sequence[tuple[int, int]], sides: dict[tuple[int, int], int]) -> None:
    """Mark the cells of a route with the sides that it goes through."""
    cells = [route[0]]
    for x, y in route[1:]:
        while cells[-1] != (x, y):
            at_x, at_y = cells[-1]
            cells.append((at_x + (x > at_x) - (x < at_x), at_y + (y > at_y) - (y < at_y)))
    sides[cells[0]] = sides.get(cells[0], 0) | _UP
    for (x, y), (next_x, next_y) in pairwise(cells):
        if y == next_y:
            there, back = (_RIGHT, _LEFT) if next_x > x else (_LEFT, _RIGHT)
        else:
            there, back = _DOWN, _UP
        sides[x, y] = sides.get((x, y), 0) | there
        sides[next_x, next_y] = sides.get((next_x, next_y), 0) | back


def _listed(picture: Picture) -> Iterator[str]:
    """One line a box, with what it reads."""
    for number, box in enumerate(picture.boxes):
        reads = [str(source) for source, target in picture.arrows if target == number]
        told = ", ".join(filter(None, [box.name, box.title, *box.told]))
        yield f"{number:>3}  {told}{'  <- ' if reads else ''}{', '.join(reads)}"
