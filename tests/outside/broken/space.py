"""Another space each time that it is built."""

from itertools import count

from torch import nn

from search_spaces import Architecture, Decision, SearchSpace, Task, gnn

_BUILT = count()


def _build(architecture: Architecture, task: Task) -> nn.Module:
    return nn.Identity()


def build(task: Task) -> SearchSpace:
    first = next(_BUILT)
    decision = Decision("width", (first + 1, first + 2))
    return SearchSpace("changing", gnn.build(task).version, (decision,), _build)
