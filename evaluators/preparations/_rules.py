"""Which architectures a step of a supernet's training draws."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evaluators.preparations._sampling import Decks, anything, largest, opened, smallest
from search_spaces import Architecture

Rule: TypeAlias = Literal["fair", "sandwich", "shrinking"]
# When what opens, where shrinking; all other scales with the last.
STAGES: Mapping[str, int] = {"depth": 1, "width": 2}
_LAST_STAGE = 3


@dataclass(frozen=True)
class Drawing:
    """By a rule; see `evaluators.preparations.supernet`.

    Attributes:
        rule: fair, sandwich or shrinking.
        count: architectures a step.
        epochs: in all.
    """

    rule: Rule
    count: int
    epochs: int

    def drawn(self, epoch: int, decks: Decks) -> list[Architecture]:
        """Of a step in an epoch, from 1; the first is the largest, where others learn from it."""
        if self.rule == "fair":
            return [decks.deal(anything) for _ in range(self.count)]
        if self.rule == "sandwich":
            between = [decks.deal(anything) for _ in range(self.count - 2)]
            return [decks.deal(largest), *between, decks.deal(smallest)]
        allowed = opened(STAGES, _LAST_STAGE, self._stage(epoch))
        return [decks.deal(allowed) for _ in range(self.count)]

    def begins(self, epoch: int) -> int | None:
        """The stage that an epoch is the first of, where shrinking; None for most."""
        stage = self._stage(epoch)
        if self.rule != "shrinking" or epoch == 1 or stage == self._stage(epoch - 1):
            return None
        return stage

    def _stage(self, epoch: int) -> int:
        """In equal parts of the epochs."""
        return min(_LAST_STAGE, (epoch - 1) * (_LAST_STAGE + 1) // self.epochs)
