"""What pictures are put together from."""

from collections.abc import Iterable, Mapping

from search_spaces.decision import Choice
from search_spaces.picture import Box, Picture
from search_spaces.task import Task

_LONGEST = 26


class Sketch:
    """A picture in the making: boxes are added with what they read."""

    def __init__(self) -> None:
        self._boxes: list[Box] = []
        self._arrows: list[tuple[int, int]] = []

    def add(self, box: Box, *reads: int) -> int:
        """Its number, by which others read it."""
        self._boxes.append(box)
        self._arrows += [(source, len(self._boxes) - 1) for source in reads]
        return len(self._boxes) - 1

    def picture(self) -> Picture:
        return Picture(tuple(self._boxes), tuple(self._arrows))


def start(task: Task | None) -> Box:
    if task is None:
        return Box("input", "nodes and edges", kind="end")
    graphs = [f"{task.n_graphs:,} graphs"] if task.is_graph_task else []
    sizes = [f"{task.n_nodes:,} nodes", f"{task.n_edges:,} edges"]
    return Box("input", f"{task.n_features:,} features", lines([*graphs, *sizes]), kind="end")


def end(task: Task | None, title: str, told: Iterable[str] = (), shows: Iterable[str] = ()) -> Box:
    classes = [] if task is None else [f"{task.n_classes:,} classes"]
    return Box("output", title, lines([*classes, *told]), tuple(shows), kind="end")


def lines(pairs: Iterable[str]) -> tuple[str, ...]:
    """Short ones together on a line."""
    found: list[str] = []
    for pair in pairs:
        if found and len(found[-1]) + len(pair) + 3 <= _LONGEST:
            found[-1] += f" · {pair}"
        else:
            found.append(pair)
    return tuple(found)


def of_step(choices: Mapping[str, Choice], step: str) -> dict[str, Choice]:
    """{decision: choice} of a step: `layer0.width`, and `quantization.layer0.weight_bits`."""
    return {name: choice for name, choice in choices.items() if step in name.split(".")[:-1]}


def pair(name: str, choice: Choice) -> str:
    """`width 16`, by the last part of its name."""
    short = name.rpartition(".")[2]
    if short == "normalization":
        return f"norm {choice}"
    if short == "activation":
        return "no activation (none)" if choice == "none" else str(choice)
    return f"{short} {choice}"
