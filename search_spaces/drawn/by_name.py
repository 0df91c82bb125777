"""Any architecture, by the names of its decisions: `layer0.`, `layer1.`, ... follow each other.

Where no names are numbered, one box holds all that shapes the network: more is not known of it.
"""

import re

from search_spaces.architecture import Architecture
from search_spaces.drawn._making import Sketch, end, lines, of_step, pair, start
from search_spaces.picture import Box, Picture
from search_spaces.task import Task

_NUMBERED = re.compile(r"([a-z_]+)(\d+)")


def draw(architecture: Architecture, task: Task | None) -> Picture:
    """Input, steps in the order of their numbers, output."""
    sketch = Sketch()
    last = sketch.add(start(task))
    for box in _steps(architecture):
        last = sketch.add(box, last)
    title = "of graphs" if task is not None and task.is_graph_task else "scores"
    sketch.add(end(task, title), last)
    return sketch.picture()


def _steps(architecture: Architecture) -> list[Box]:
    choices = architecture.structure
    found = [_NUMBERED.fullmatch(part) for name in choices for part in name.split(".")[:-1]]
    numbered = {(match[1], int(match[2])): match[0] for match in found if match}
    if len({word for word, _ in numbered}) != 1:
        told = lines(f"{name} {choice}" for name, choice in choices.items())
        return [Box("network", architecture.space, told, tuple(choices))]
    return [_step(architecture, numbered[key]) for key in sorted(numbered)]


def _step(architecture: Architecture, name: str) -> Box:
    mine = of_step(architecture.structure, name)
    operator = f"{name}.operator"
    told = lines(pair(name, choice) for name, choice in mine.items() if name != operator)
    return Box(name, str(mine.get(operator, name)), told, tuple(mine))
