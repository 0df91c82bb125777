"""Cells of NAS-Bench-Graph: four nodes as they were chosen, skips included."""

from search_spaces.architecture import Architecture
from search_spaces.drawn._making import Sketch, end, start
from search_spaces.picture import Box, Picture
from search_spaces.task import Task

_NODES, _SKIP, _WIDTH = 4, "skip", 64


def draw(architecture: Architecture, task: Task | None) -> Picture:
    """What no node reads is the cell's output; a skip of the cell's input that is, is nothing."""
    choices = architecture.choices
    sketch = Sketch()
    width = f"width {choices.get('width', _WIDTH)}"
    shown = ("width",) if "width" in choices else ()
    first = sketch.add(Box("pre", "linear", (f"{width} · relu",), shown), sketch.add(start(task)))
    links = [int(digit) for digit in str(choices["links"])]
    numbers, carries = [first], [True]
    for node, read in enumerate(links, start=1):
        decision = f"node{node}.operator"
        operator = str(choices[decision])
        carries.append(operator == _SKIP and carries[read])
        numbers.append(sketch.add(Box(f"node{node}", operator, shows=(decision,)), numbers[read]))
    leaves = [n for n in range(1, _NODES + 1) if n not in links and not carries[n]]
    last = [numbers[leaf] for leaf in leaves]
    if len(last) > 1:
        last = [sketch.add(Box("cell", "concatenation"), *last)]
    if task is not None and task.is_graph_task:
        last = [sketch.add(Box("readout", "mean", ("over the nodes of a graph",)), *last)]
    sketch.add(end(task, "linear"), *last)
    return sketch.picture()
