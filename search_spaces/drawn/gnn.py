"""Message-passing networks: perceptron, layers and how they are connected, perceptron, output."""

from collections.abc import Mapping

from search_spaces.architecture import Architecture
from search_spaces.decision import Choice
from search_spaces.drawn._making import Sketch, end, lines, of_step, pair, start
from search_spaces.picture import Box, Picture
from search_spaces.task import Task

# As `search_spaces.message_passing` has it, which imports torch.
_SKIP = "skip"


def draw(architecture: Architecture, task: Task | None) -> Picture:
    """A layer with operator `skip` is not in the network, and not in the picture."""
    choices = architecture.structure
    sketch = Sketch()
    last = _perceptron(sketch, choices, "pre", sketch.add(start(task)))
    last = _layers(sketch, choices, last)
    if "readout" in choices:
        shows = of_step(choices, "readout")
        told = ("over the nodes of a graph", *_told(shows))
        box = Box("readout", str(choices["readout"]), told, ("readout", *shows))
        last = sketch.add(box, last)
    last = _perceptron(sketch, choices, "post", last)
    mine = of_step(choices, "output")
    title = str(choices.get("output.operator", "linear"))
    sketch.add(end(task, title, _told(mine), mine), last)
    return sketch.picture()


def _layers(sketch: Sketch, choices: Mapping[str, Choice], last: int) -> int:
    steps = [f"layer{i}" for i in range(int(choices["depth"]))]
    real = [step for step in steps if choices[f"{step}.operator"] != _SKIP]
    connectivity, seen = choices.get("connectivity", "plain"), [last]
    for step in real:
        mine = of_step(choices, step)
        box = Box(step, str(choices[f"{step}.operator"]), _told(mine), tuple(mine))
        number = sketch.add(box, *(seen if connectivity == "dense" else seen[-1:]))
        if connectivity == "residual":
            number = sketch.add(Box("", "+", kind="join"), seen[-1], number)
        seen.append(number)
    if connectivity == "jk" and real:
        mode = str(choices["jk.mode"])
        title = "concatenation" if mode == "cat" else "maximum"
        return sketch.add(Box("jk", title, (f"mode {mode}",), ("jk.mode",)), *seen[1:])
    return seen[-1]


def _perceptron(sketch: Sketch, choices: Mapping[str, Choice], name: str, last: int) -> int:
    if not choices[f"{name}.layers"]:
        return last
    mine = of_step(choices, name)
    told = lines([*(pair(name, choice) for name, choice in mine.items()), "relu"])
    return sketch.add(Box(name, "linear", told, tuple(mine)), last)


def _told(mine: Mapping[str, Choice]) -> tuple[str, ...]:
    return lines(pair(n, choice) for n, choice in mine.items() if not n.endswith(".operator"))
