"""Architectures drawn: a picture of boxes and arrows, in a terminal (`text`) or a page (`svg`).

Imports no torch: a trial is drawn from its recorded decisions, without its dataset.
"""

from nas.drawing._picture import picture
from nas.drawing._svg import Drawing
from nas.drawing._text import lines_of
from nas.drawing._trial import draw_trial, trial_picture
from search_spaces.architecture import Architecture
from search_spaces.space import SearchSpace
from search_spaces.task import Task

__all__ = ["Drawing", "draw_trial", "lines_of", "picture", "svg", "text", "trial_picture"]


def svg(
    architecture: Architecture, task: Task | None = None, *, space: SearchSpace | None = None
) -> Drawing:
    """An architecture as an SVG image, a string that a notebook shows.

    It stands alone, in a page or as a file, on light and on dark ground.

    Args:
        task: for the numbers of features and classes.
        space: for how its architectures are drawn; without it that is found by its name.
    """
    return Drawing.of(picture(architecture, task, space=space), title=architecture.space)


def text(
    architecture: Architecture,
    task: Task | None = None,
    *,
    space: SearchSpace | None = None,
    width: int = 80,
    encoding: str = "utf-8",
) -> str:
    """An architecture as lines for a terminal.

    Args:
        task, space: as for `svg`.
        width: in columns; what does not fit is a list instead.
        encoding: of the terminal; where it has no characters for boxes, they are of ASCII.
    """
    return lines_of(picture(architecture, task, space=space), width, encoding)
