"""A picture as SVG that stands alone, and takes its color from where it stands.

In a page `currentColor` is the page's; a file, or an image of its own, follows the scheme of the
reader's system. There are no classes and no rules that a page could catch.
"""

import unicodedata
from collections.abc import Iterator
from html import escape
from textwrap import wrap

from nas.drawing._layout import Layout, Metrics, Placed, Route, layout
from search_spaces.picture import Box, Picture

_METRICS = Metrics(column=24, lane=16, line=20)
_PAD, _LINE, _EDGE, _JOIN = 12, 18, 8, 24
# Widths of bold letters of 14 pixels, and of others of 13 and 11, in a font that runs wide.
_TITLE_LETTER, _LETTER, _NAME_LETTER = 8.4, 7.2, 6.2
_WIDE = {"m": 1.6, "w": 1.4, "M": 1.6, "W": 1.6}
_NOTE = 60
# Lines of one pixel stand in pixels, not between two.
_HALF = 0.5
_FONT = "system-ui,'Segoe UI',Roboto,'Noto Sans',sans-serif"
# Of the root element alone: in a page the root is the page's.
_ALONE = "<style>svg:root{color-scheme:light dark;color:CanvasText}</style>"


class Drawing(str):
    """The text of an SVG image; a notebook shows it as one."""

    __slots__ = ()

    @classmethod
    def of(cls, picture: Picture, title: str) -> "Drawing":
        """Draw a picture.

        Args:
            title: what it is of, for those who hear it read.
        """
        placed = layout(picture, [_size(box) for box in picture.boxes], _METRICS)
        return cls("".join(_document(picture, placed, title)))

    def _repr_svg_(self) -> str:
        return str(self)


def _size(box: Box) -> tuple[int, int]:
    if _is_sign(box):
        return _JOIN, _JOIN
    widths = [_letters(box.title) * _TITLE_LETTER, _letters(box.name) * _NAME_LETTER]
    widths += [_letters(line) * _LETTER for line in box.told]
    lines = 1 + len(box.told) + bool(box.name)
    return 2 * round(max(widths) / 2) + 2 * _PAD, lines * _LINE + _PAD


def _letters(text: str) -> float:
    """How many letters of middling width it takes."""
    return sum(_WIDE.get(letter, 1.0) for letter in text)


def _is_sign(box: Box) -> bool:
    return box.kind == "join" and not box.told


def _document(picture: Picture, placed: Layout, title: str) -> Iterator[str]:
    notes = [line for note in picture.notes for line in wrap(note, _NOTE)]
    wide = max([placed.width, *(round(_letters(line) * _LETTER) for line in notes)])
    width = wide + 2 * _EDGE
    height = placed.height + bool(notes) * _PAD + len(notes) * _LINE + 2 * _EDGE
    steps = ", ".join(" ".join(filter(None, [box.name, box.title])) for box in picture.boxes)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" height="{height}" '
        f'viewBox="{_HALF - _EDGE} {_HALF - _EDGE} {width} {height}">'
        f"<title>{_safe(f'architecture of {title}: {steps}')}</title>{_ALONE}"
    )
    lines = "".join(_line(route) for route in placed.routes)
    yield f'<path fill="none" stroke="currentColor" stroke-opacity=".7" d="{lines}"/>'
    heads = "".join(_head(*route[-1]) for route in placed.routes)
    yield f'<path fill="currentColor" d="{heads}"/>'
    yield '<g fill="currentColor" fill-opacity=".06" stroke="currentColor">'
    yield from map(_outline, picture.boxes, placed.boxes)
    yield f'</g><g fill="currentColor" font-family="{_FONT}" font-size="13">'
    for box, at in zip(picture.boxes, placed.boxes, strict=True):
        yield from _words(box, at)
    for number, line in enumerate(notes, start=1):
        yield _word(line, 0, placed.height + _PAD // 2 + number * _LINE)
    yield "</g></svg>\n"


def _line(route: Route) -> str:
    (x, y), *rest = route
    rest[-1] = (rest[-1][0], rest[-1][1] - 6)  # up to the point
    drawn, before = f"M{x} {y}", (x, y)
    for x, y in rest:
        drawn += f"V{y}" if x == before[0] else f"H{x}"
        before = x, y
    return drawn


def _head(x: int, y: int) -> str:
    return f"M{x} {y}l-4 -7h8z"


def _outline(box: Box, at: Placed) -> str:
    if _is_sign(box):
        return f'<circle cx="{at.middle}" cy="{at.y + _JOIN // 2}" r="{_JOIN // 2}"/>'
    end = ' stroke-dasharray="4 3"' if box.kind == "end" else ""
    return f'<rect x="{at.x}" y="{at.y}" width="{at.width}" height="{at.height}" rx="6"{end}/>'


def _words(box: Box, at: Placed) -> Iterator[str]:
    y = at.y + _LINE - 1
    if _is_sign(box):
        yield _word(box.title, at.middle, y, ' font-size="16" text-anchor="middle"')
        return
    if box.name:
        yield _word(box.name, at.x + _PAD, y, ' font-size="11" fill-opacity=".75"')
        y += _LINE
    yield _word(box.title, at.x + _PAD, y, ' font-size="14" font-weight="600"')
    for line in box.told:
        y += _LINE
        yield _word(line, at.x + _PAD, y)


def _word(text: str, x: int, y: int, how: str = "") -> str:
    return f'<text x="{x}" y="{y}"{how}>{_safe(text)}</text>'


def _safe(text: str) -> str:
    """Without markup, and without characters that XML has no place for."""
    return escape("".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cs", "Cn")))
