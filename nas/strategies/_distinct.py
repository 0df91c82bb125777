"""No architecture twice: one wrapper for all strategies."""

from collections.abc import Container, Sequence
from functools import lru_cache

import numpy as np

from nas.strategies._base import Proposal, State, Strategy, generator
from nas.strategies._ranking import mutant
from search_spaces import Architecture, SearchSpace

# Few, because a strategy that has converged repeats itself: more would cost more than they find.
ATTEMPTS = 8
# Steps of the walk that then leads away from the last attempt.
STEPS = 64
# Up to this many architectures, a space is gone through when the walk finds nothing new either.
MOST_ENUMERATED = 100_000


def propose_distinct(
    strategy: Strategy[State],
    state: State,
    ordinal: int,
    pending: Sequence[Architecture],
    seen: Container[str],
) -> Proposal | None:
    """A proposal that is neither seen nor pending, and as much the strategy's as can be.

    The first such one of `ATTEMPTS`; else the first on a walk of mutations from the last attempt,
    most often a step or two away from it; else, in a space of at most `MOST_ENUMERATED`, any new
    architecture with equal probability. In a larger space the last attempt stands, although it
    repeats. What the strategy did not propose itself says so: its note has "distinct" with the
    steps of the walk, or "any", and it inherits no weights.

    Each attempt has its own generator, and so has what follows, so the result depends on the
    arguments alone.

    Args:
        strategy: what proposes.
        state: folded from what has ended.
        ordinal: of this proposal.
        pending: what is being evaluated now.
        seen: keys of the architectures that have ended.

    Returns:
        The proposal, or None when a small space is exhausted.
    """
    waiting = {architecture.key for architecture in pending}
    seed, space = strategy.problem.seed, strategy.problem.space

    def is_new(key: str) -> bool:
        return key not in waiting and key not in seen

    for attempt in range(ATTEMPTS):
        proposal = strategy.propose(state, ordinal, pending, generator(seed, ordinal, attempt))
        if is_new(proposal.architecture.key):
            return proposal
    rng = generator(seed, ordinal, ATTEMPTS)
    architecture = proposal.architecture
    for step in range(1, STEPS + 1):
        architecture = mutant(space, architecture, rng)
        if is_new(architecture.key):
            return Proposal(ordinal, architecture, note={**proposal.note, "distinct": step})
    if _size(space) > MOST_ENUMERATED:
        return proposal
    new = [a for key, a in _keys(space).items() if is_new(key)]
    return Proposal(ordinal, _any(new, rng), note={"distinct": "any"}) if new else None


def _any(architectures: Sequence[Architecture], rng: np.random.Generator) -> Architecture:
    return architectures[int(rng.integers(len(architectures)))]


@lru_cache(maxsize=16)
def _size(space: SearchSpace) -> int:
    """How many architectures there are; recipes count, they make architectures differ."""
    return space.size(with_recipe=True)


@lru_cache(maxsize=2)
def _keys(space: SearchSpace) -> dict[str, Architecture]:
    return {architecture.key: architecture for architecture in space}
