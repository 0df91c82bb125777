"""An architecture: the answers to a space's active decisions."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from search_spaces.canonical import canonical_json, digest
from search_spaces.decision import RECIPE_PREFIX, Choice
from search_spaces.frozen import FrozenMapping


@dataclass(frozen=True)
class Architecture:
    """The active decisions of one candidate, by name; make one with `SearchSpace.architecture`.

    Attributes:
        space: the name of the space that it belongs to.
        choices: {decision: choice}, active decisions only.
    """

    space: str
    choices: Mapping[str, Choice]

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", FrozenMapping(self.choices))

    @cached_property
    def key(self) -> str:
        """32 hex digits: equal keys <=> equal architectures, in every process and version."""
        return digest(self.to_json())

    @cached_property
    def structure_key(self) -> str:
        """The key without the recipe (learning rate, dropout): equal networks have equal ones."""
        return digest({"space": self.space, "choices": dict(self.structure)})

    @property
    def structure(self) -> Mapping[str, Choice]:
        """The choices that shape the network: everything but the recipe."""
        return FrozenMapping(
            {n: c for n, c in self.choices.items() if not n.startswith(RECIPE_PREFIX)}
        )

    @property
    def recipe(self) -> Mapping[str, Choice]:
        """The choices of how it is trained, without their prefix: `lr`, `weight_decay`, ..."""
        return FrozenMapping(
            {
                name.removeprefix(RECIPE_PREFIX): choice
                for name, choice in self.choices.items()
                if name.startswith(RECIPE_PREFIX)
            }
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` reads back."""
        return {"space": self.space, "choices": dict(self.choices)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Architecture":
        return cls(space=value["space"], choices=value["choices"])

    def __repr__(self) -> str:
        return f"Architecture({self.space!r}, {canonical_json(dict(self.choices))})"
