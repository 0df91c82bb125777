"""Which architectures of an elastic space a step trains: dealt, the largest, the smallest."""

from collections.abc import Callable, Mapping

import numpy as np

from search_spaces import Architecture, Choice, Decision, SearchSpace


class Decks:
    """Deals architectures: of each decision, every choice comes up before any comes up again.

    Xiangxiang Chu, Bo Zhang, Ruijun Xu: FairNAS: Rethinking Evaluation Fairness of Weight Sharing
    Neural Architecture Search (2021): weights that are trained more often than others look better.
    A decision that is not active in an architecture deals nothing.
    """

    def __init__(self, space: SearchSpace, rng: np.random.Generator) -> None:
        self._space, self._rng = space, rng
        self._decks: dict[tuple[str, tuple[Choice, ...]], list[Choice]] = {}

    def deal(self, allowed: Callable[[Decision], tuple[Choice, ...]]) -> Architecture:
        """The next one, of the choices that are allowed."""

        def choose(decision: Decision) -> Choice:
            choices = allowed(decision)
            deck = self._decks.setdefault((decision.name, choices), [])
            if not deck:
                deck += [choices[int(i)] for i in self._rng.permutation(len(choices))]
            return deck.pop()

        return self._space.fill(choose)


def anything(decision: Decision) -> tuple[Choice, ...]:
    """All choices."""
    return decision.choices


def largest(decision: Decision) -> tuple[Choice, ...]:
    """The last of a scale: the deepest, the widest; of others all choices."""
    return decision.choices[-1:] if decision.ordered else decision.choices


def smallest(decision: Decision) -> tuple[Choice, ...]:
    """The first of a scale; of others all choices."""
    return decision.choices[:1] if decision.ordered else decision.choices


def largest_architecture(space: SearchSpace) -> Architecture:
    """The largest in every scale, with the first choice of every other decision."""
    return space.fill(lambda decision: largest(decision)[0])


def smallest_architecture(space: SearchSpace) -> Architecture:
    """The smallest in every scale, with the first choice of every other decision."""
    return space.fill(lambda decision: smallest(decision)[0])


def opened(
    stages: Mapping[str, int], last: int, stage: int
) -> Callable[[Decision], tuple[Choice, ...]]:
    """What progressive shrinking allows: scales stay at their largest until their stage comes.

    Args:
        stages: from the last part of a decision's name to the stage that opens it.
        last: the stage that opens all others.
        stage: the present one.
    """

    def allowed(decision: Decision) -> tuple[Choice, ...]:
        opens = stages.get(decision.name.rpartition(".")[2], last)
        return decision.choices if stage >= opens else largest(decision)

    return allowed
