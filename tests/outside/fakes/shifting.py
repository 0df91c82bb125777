"""The extension `fakes.stretching` under another name, so that a study can have both."""

from typing import Literal

from fakes import stretching
from search_spaces import SearchSpace, SpaceExtension, Task


def build(
    space: SearchSpace, task: Task, *, does: Literal["stretch", "shift"] = "shift", fact: str = ""
) -> SpaceExtension:
    return stretching.build(space, task, does=does, fact=fact)
