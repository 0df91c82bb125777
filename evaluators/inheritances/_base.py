"""What a candidate may take weights over from."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from search_spaces import Architecture, SearchSpace, Task


@dataclass(frozen=True, eq=False)
class Parent:
    """A trained network.

    Attributes:
        architecture: what it is.
        weights: its state dict at the best epoch.
        signatures: what each part of it is (see `evaluators.inheritances.alike`).
        space, task: of parent and candidate both; always there where the program inherits.
    """

    architecture: Architecture
    weights: Mapping[str, Tensor]
    signatures: Mapping[str, str]
    space: SearchSpace | None = None
    task: Task | None = None
