"""From an architecture to its picture: how its space is drawn, and what no box shows."""

import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import replace

from search_spaces import drawn
from search_spaces.architecture import Architecture
from search_spaces.drawn import by_name
from search_spaces.picture import Draw, Picture
from search_spaces.space import SearchSpace
from search_spaces.task import Task


def picture(
    architecture: Architecture, task: Task | None = None, *, space: SearchSpace | None = None
) -> Picture:
    """Boxes and arrows, and notes of every decision that is in no box.

    Args:
        task: for the numbers of features and classes.
        space: for how its architectures are drawn; without it that is found by its name.
    """
    draw = _known(architecture.space) if space is None else (space.draw or by_name.draw)
    try:
        made = draw(architecture, task)
    except Exception:  # a picture is no reason to fail: what its space cannot draw, its names can
        made = by_name.draw(architecture, task)
    shown = {name for box in made.boxes for name in box.shows}
    return replace(made, notes=(*made.notes, *_notes(architecture, shown)))


def _known(space: str) -> Draw:
    """By the space's own name: `gnn` of `gnn+quantization`."""
    module = f"{drawn.__name__}.{space.partition('+')[0]}"
    if not space.partition("+")[0].isidentifier() or importlib.util.find_spec(module) is None:
        return by_name.draw
    draw: Draw = getattr(importlib.import_module(module), "draw", by_name.draw)
    return draw


def _notes(architecture: Architecture, shown: set[str]) -> Iterator[str]:
    rest = [f"{n} {c}" for n, c in architecture.structure.items() if n not in shown]
    if rest:
        yield f"besides: {', '.join(rest)}"
    if architecture.recipe:
        told = ", ".join(f"{name} {choice}" for name, choice in architecture.recipe.items())
        yield f"trained with: {told}"
