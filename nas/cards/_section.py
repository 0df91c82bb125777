"""A part of a card."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """Lines of Markdown under a title.

    Attributes:
        title: in words of our own.
        lines: what a bundle says in them is escaped.
        drawing: an SVG image, for cards in HTML; empty for none.
    """

    title: str
    lines: list[str]
    drawing: str = ""
