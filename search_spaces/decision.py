"""A decision: one finite question that an architecture answers."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias, TypeVar

from annotated_types import MinLen, Predicate

from search_spaces.errors import SpaceError
from search_spaces.frozen import FrozenMapping

Choice: TypeAlias = str | int | float
Role: TypeAlias = Literal["structure", "recipe", "compression"]

RECIPE_PREFIX = "train."
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")


def each_once(choices: Sequence[object]) -> bool:
    """Whether no choice is repeated; messages say what is wrong by this name."""
    return all(choice not in choices[:place] for place, choice in enumerate(choices))


T = TypeVar("T")
# The annotation of an option that lists the choices of a decision.
Choices: TypeAlias = Annotated[Sequence[T], MinLen(1), Predicate(each_once)]


@dataclass(frozen=True)
class Decision:
    """One finite question with a dotted name, such as `layer0.operator` or `train.lr`.

    Attributes:
        name: lower-case words joined by dots; recipe decisions, and no others, begin with `train.`
            (so that an architecture's `structure_key` can be computed from its choices alone).
        choices: at least one, all of one type: str, int or finite float. Optuna takes 1 and 1.0
            for the same choice, so the types never mix.
        needs: the decision is active if and only if each named decision is active and has one of
            the values given (a conjunction).
        ordered: whether the choices form a scale, smallest first.
        role: `structure`, `recipe` (how the network is trained) or `compression` (bits, density).

    Raises:
        SpaceError: any of the above is broken.
    """

    name: str
    choices: tuple[Choice, ...]
    needs: Mapping[str, tuple[Choice, ...]] = field(default_factory=FrozenMapping)
    ordered: bool = False
    role: Role = "structure"

    def __post_init__(self) -> None:
        needs = {name: tuple(values) for name, values in self.needs.items()}
        object.__setattr__(self, "choices", tuple(self.choices))
        object.__setattr__(self, "needs", FrozenMapping(needs))
        self._check_name()
        self._check_choices()
        if self.role not in ("structure", "recipe", "compression"):
            raise SpaceError(
                f'decision "{self.name}": expected role structure, recipe or compression, '
                f"got {self.role!r}"
            )

    def _check_name(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise SpaceError(
                f"expected a decision's name as lower-case words joined by dots, got {self.name!r}"
            )
        if self.name.startswith(RECIPE_PREFIX) != (self.role == "recipe"):
            raise SpaceError(
                f'decision "{self.name}" has role {self.role}: recipe decisions, and no others, '
                f'are named "{RECIPE_PREFIX}..."'
            )

    def _check_choices(self) -> None:
        if not self.choices:
            raise SpaceError(f'decision "{self.name}" has no choices; give at least one')
        kinds = {type(choice) for choice in self.choices}
        if len(kinds) != 1 or not kinds <= {str, int, float}:
            raise SpaceError(
                f'decision "{self.name}": expected choices of one type (str, int or float), '
                f"got {list(self.choices)!r}"
            )
        if any(isinstance(c, float) and not math.isfinite(c) for c in self.choices):
            raise SpaceError(f'decision "{self.name}": a choice is not finite: {self.choices!r}')
        if len(set(self.choices)) != len(self.choices):
            raise SpaceError(f'decision "{self.name}": a choice is repeated: {self.choices!r}')

    def is_active(self, choices: Mapping[str, Choice]) -> bool:
        """Whether this decision is asked, given the active choices made so far."""
        return all(
            name in choices and choices[name] in values for name, values in self.needs.items()
        )

    def __repr__(self) -> str:
        needs = f", needs={dict(self.needs)!r}" if self.needs else ""
        return f"Decision({self.name!r}, {list(self.choices)!r}{needs})"
