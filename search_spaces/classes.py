"""The classes of an equivalence, and which of them are near to each other."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from search_spaces.decision import Choice, Decision


class Classes:
    """The classes of an equivalence, numbered in the order of their first descriptions.

    A description is a choice for each decision; the first one of a class represents it.

    Attributes:
        decisions: those that the equivalence is about.
        of: [choices of decision 1, choices of decision 2, ...] the class of each description, -1
            where a description is no architecture.
    """

    def __init__(self, decisions: Sequence[Decision], of: Sequence[int]) -> None:
        self.decisions = tuple(decisions)
        flat = np.array(of, dtype=np.int64)
        self.of = flat.reshape([len(decision.choices) for decision in decisions])
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
