"""Descriptions that stand for the same architecture: choices that differ, networks that do not."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from search_spaces.decision import Choice, Decision
from search_spaces.errors import SpaceError

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
        shape = [len(decision.choices) for decision in decisions]
        if math.prod(shape) > MOST_DESCRIPTIONS:
            raise SpaceError(
                f'space "{space}": an equivalence over more than {MOST_DESCRIPTIONS:,} '
                "descriptions cannot be gone through"
            )
        numbers: dict[Hashable, int] = {}
        of = np.full(shape, -1, dtype=np.int64)
        for index, choices in enumerate(product(*(d.choices for d in decisions))):
            form = self.form(dict(zip(self.decisions, choices, strict=True)))
            if form is not None:
                of.reshape(-1)[index] = numbers.setdefault(form, len(numbers))
        if not numbers:
            raise SpaceError(f'space "{space}": no description is an architecture')
        return Classes(decisions, of)


class Classes:
    """The classes of an equivalence, numbered in the order of their first descriptions.

    A description is a choice for each decision; the first one of a class represents it.

    Attributes:
        decisions: those that the equivalence is about.
        of: [choices of decision 1, choices of decision 2, ...] the class of each description, -1
            where a description is no architecture.
    """

    def __init__(self, decisions: Sequence[Decision], of: NDArray[np.int64]) -> None:
        self.decisions = tuple(decisions)
        self.of = of
        flat = of.reshape(-1)
        self._order = np.argsort(flat, kind="stable")
        self._starts = np.searchsorted(flat[self._order], np.arange(int(flat.max()) + 2))
        self._near: dict[int, tuple[int, ...]] = {}

    def __len__(self) -> int:
        return len(self._starts) - 1

    def number(self, choices: Mapping[str, Choice]) -> int:
        """The class of an architecture, -1 where the choices describe none."""
        return int(self.of[tuple(d.choices.index(choices[d.name]) for d in self.decisions)])

    def representative(self, number: int) -> dict[str, Choice]:
        """The choices that represent a class."""
        vector = self._vectors(self._order[self._starts[number] : self._starts[number] + 1])[0]
        return {d.name: d.choices[i] for d, i in zip(self.decisions, vector.tolist(), strict=True)}

    def members(self, number: int) -> NDArray[np.int64]:
        """[members, decisions] all descriptions of a class, as indices of choices."""
        return self._vectors(self._order[self._starts[number] : self._starts[number + 1]])

    def neighbors(self, number: int) -> tuple[int, ...]:
        """The classes with a description that differs in one decision from one of this class.

        Ascending, without the class itself.
        """
        if number not in self._near:
            found = [
                self.of[(*member[:axis], slice(None), *member[axis + 1 :])]
                for member in self.members(number).tolist()
                for axis in range(self.of.ndim)
            ]
            near = np.unique(np.concatenate(found))
            self._near[number] = tuple(near[(near >= 0) & (near != number)].tolist())
        return self._near[number]

    def _vectors(self, flat: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.stack(np.unravel_index(flat, self.of.shape), axis=1)
