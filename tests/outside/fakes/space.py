"""A conditional space of small networks; `width` decides the number of parameters."""

from collections.abc import Sequence

from torch import Tensor, nn

from search_spaces import Architecture, Decision, SearchSpace, Task


class Small(nn.Module):
    def __init__(self, features: int, width: int, classes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, width)
        self.output = nn.Linear(width, classes)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.output(self.hidden(x).relu())


class Odd(Small):
    """Does what the others do not: exponentials."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index).exp()


def network(architecture: Architecture, task: Task) -> nn.Module:
    if architecture.choices["kind"] == "broken":
        raise RuntimeError("a broken kind of layer")
    if architecture.choices["kind"] == "odd":
        return Odd(task.n_features, 4, task.n_classes)
    width = int(architecture.choices.get("width", 4))
    return Small(task.n_features, width, task.n_classes)


def build(
    task: Task,
    *,
    kinds: Sequence[str] = ("plain", "wide"),
    widths: Sequence[int] = (2, 4, 8, 16),
    levels: int = 8,
) -> SearchSpace:
    values = tuple(range(levels))
    decisions = (
        Decision("kind", tuple(kinds)),
        Decision("width", tuple(widths), {"kind": ("wide",)} if "wide" in kinds else {}),
        Decision("a", values, ordered=True),
        Decision("b", values, ordered=True),
        Decision("train.lr", (0.1, 0.01), role="recipe"),
    )
    return SearchSpace("fake", 1, decisions, network)
