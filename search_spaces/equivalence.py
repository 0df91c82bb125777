"""Descriptions that stand for the same architecture: choices that differ, networks that do not."""

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

from search_spaces.decision import Choice, Decision
from search_spaces.errors import SpaceError

if TYPE_CHECKING:
    from search_spaces.classes import Classes

# Equal for choices that describe the same architecture; None for choices that describe none.
Form: TypeAlias = Callable[[Mapping[str, Choice]], Hashable | None]
MOST_DESCRIPTIONS = 1_000_000


@dataclass(frozen=True)
class Equivalence:
    """Which of a space's choices describe the same architecture.

    Attributes:
        decisions: the names of those that it is about; they are always active.
        form: a module-level function of their choices.
    """

    decisions: tuple[str, ...]
    form: Form

    def classes(self, space: str, by_name: Mapping[str, Decision]) -> "Classes":
        """All descriptions, grouped.

        Raises:
            SpaceError: an unknown or conditional decision, one that others need (they would not
                know of which description), more than `MOST_DESCRIPTIONS` descriptions, or none that
                is an architecture.
        """
        needed = {name for decision in by_name.values() for name in decision.needs}
        for name in self.decisions:
            if name not in by_name or by_name[name].needs or name in needed:
                raise SpaceError(
                    f'space "{space}": an equivalence is about decisions that are always active '
                    f'and that no other needs, got "{name}"'
                )
        decisions = tuple(by_name[name] for name in self.decisions)
        if math.prod(len(decision.choices) for decision in decisions) > MOST_DESCRIPTIONS:
            raise SpaceError(
                f'space "{space}": an equivalence over more than {MOST_DESCRIPTIONS:,} '
                "descriptions cannot be gone through"
            )
        numbers: dict[Hashable, int] = {}
        of = []
        for choices in product(*(d.choices for d in decisions)):
            form = self.form(dict(zip(self.decisions, choices, strict=True)))
            of.append(-1 if form is None else numbers.setdefault(form, len(numbers)))
        if not numbers:
            raise SpaceError(f'space "{space}": no description is an architecture')
        from search_spaces.classes import Classes  # imports numpy, which few need

        return Classes(decisions, of)
