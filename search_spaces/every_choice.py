"""A few architectures that have, between them, every choice of every decision of a space."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from search_spaces.architecture import Architecture
from search_spaces.decision import Choice, Decision
from search_spaces.space import SearchSpace

# How often a choice is asked for that an equivalence may make another one of.
_TIMES = 20


def every_choice(space: SearchSpace) -> Iterator[Architecture]:
    """Architectures in which each choice occurs at least once; the same ones each time.

    Decisions of a recipe take their first choice, for no network is another one by them. Which
    choices meet in one architecture is chance, so not every two of them do.

    Limits: a choice that no architecture has, or with an equivalence hardly any, is left out.
    """
    cover = _Cover(space)
    # Those that need others come last, and bring these with them.
    for decision in reversed(space.decisions):
        while cover.left[decision.name]:
            choice = cover.left[decision.name][0]
            made = cover.architecture_with(decision, choice)
            if made is None:
                cover.left[decision.name].remove(choice)
            else:
                cover.take(made)
                yield made


class _Cover:
    """What is left to occur.

    Attributes:
        left: {decision: choices that have not occurred}.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._rng = np.random.default_rng(0)
        self.left = {d.name: [] if d.role == "recipe" else list(d.choices) for d in space.decisions}
        self._behind: dict[str, list[Decision]] = {d.name: [] for d in space.decisions}
        for decision in space.decisions:
            for name in decision.needs:
                self._behind[name].append(decision)

    def take(self, architecture: Architecture) -> None:
        """Its choices have occurred."""
        for name, choice in architecture.choices.items():
            if choice in self.left[name]:
                self.left[name].remove(choice)

    def architecture_with(self, decision: Decision, choice: Choice) -> Architecture | None:
        """One that has the choice, and besides as much of what is left as it can."""
        given = asked(self._space, decision)
        for _ in range(0 if given is None else _TIMES):
            made = self._space.fill(self._choose, {**(given or {}), decision.name: choice})
            if made.choices.get(decision.name) == choice:
                return made
        return None

    def _choose(self, decision: Decision) -> Choice:
        if decision.role == "recipe":
            return decision.choices[0]
        worth = [self._worth(decision, choice) for choice in decision.choices]
        best = [c for c, w in zip(decision.choices, worth, strict=True) if w == max(worth)]
        return best[int(self._rng.integers(len(best)))]

    def _worth(self, decision: Decision, choice: Choice) -> int:
        """How many decisions would have something new, this one and those that need the choice."""
        behind = [d for d in self._behind[decision.name] if choice in d.needs[decision.name]]
        most = [max(self._worth(d, c) for c in d.choices) for d in behind]
        return (choice in self.left[decision.name]) + sum(most)


def asked(
    space: SearchSpace,
    decision: Decision,
    rather: Mapping[str, Choice] | None = None,
    never: Mapping[str, Sequence[Choice]] | None = None,
) -> dict[str, Choice] | None:
    """Choices of others with which a decision is asked; None where there are none.

    Args:
        rather: choices that are taken where they do.
        never: those that are not taken.
    """
    rather, never = rather or {}, never or {}
    needed: dict[str, list[Choice]] = {}
    behind = [decision]
    while behind:
        for name, values in behind.pop().needs.items():
            found = [v for v in values if v in needed.get(name, values)]
            needed[name] = [v for v in found if v not in never.get(name, ())]
            behind.append(space.by_name[name])
    if not all(needed.values()):
        return None
    return {n: rather[n] if rather.get(n) in v else v[0] for n, v in needed.items()}
