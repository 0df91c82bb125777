"""A trial of a study, drawn from its record."""

from collections.abc import Mapping
from typing import Any

from nas.drawing._picture import picture
from nas.drawing._svg import Drawing
from nas.store import Store, StoreError
from search_spaces import SearchSpace, Task, plugins
from search_spaces.frozen import FrozenMapping
from search_spaces.picture import Picture


def draw_trial(store: Store, name: str, number: int, space: SearchSpace | None = None) -> Drawing:
    """The architecture of a trial as SVG.

    Args:
        space: where it was made in Python.

    Raises:
        StoreError: no such study or trial, or nothing is proposed for it yet.
    """
    title = f"trial {number} of {name}"
    return Drawing.of(trial_picture(store, name, number, space), title)


def trial_picture(
    store: Store, name: str, number: int, space: SearchSpace | None = None
) -> Picture:
    """The same as boxes and arrows.

    Raises:
        StoreError: as `draw_trial`.
    """
    architecture = store.trial(name, number).architecture
    if architecture is None:
        raise StoreError(
            f'trial {number} of study "{name}" has no architecture to draw: it is not proposed yet'
        )
    with store.reading() as connection:
        row = store.row(connection, name)
    task = _task(row["task"])
    return picture(architecture, task, space=space or _from_elsewhere(row["spec"], task))


def _task(stored: Mapping[str, Any]) -> Task | None:
    """What a study is bound to; None where another version wrote it otherwise."""
    try:
        return Task(**stored)
    except TypeError:
        return None


def _from_elsewhere(spec: Mapping[str, Any], task: Task | None) -> SearchSpace | None:
    """A space that does not come with the program, for how it is drawn; None where that is known
    by its name, or it is not here."""
    table = dict(spec.get("space", {}))
    name = str(table.pop("name", ""))
    if "." not in name or task is None:
        return None
    try:
        made = plugins.load("space", name).build(task, **FrozenMapping(table))
    except Exception:  # it is only drawn: without its module its decisions' names are enough
        return None
    return made if isinstance(made, SearchSpace) else None
