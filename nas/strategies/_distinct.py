"""No architecture twice: one wrapper for all strategies."""

from collections.abc import Container, Sequence
from functools import lru_cache

from nas.strategies._base import Proposal, State, Strategy, generator
from search_spaces import Architecture, SearchSpace

ATTEMPTS = 64
# Up to this many architectures, a space is gone through when the attempts find nothing new.
MOST_ENUMERATED = 20_000


def propose_distinct(
    strategy: Strategy[State],
    state: State,
    ordinal: int,
    pending: Sequence[Architecture],
    seen: Container[str],
) -> Proposal | None:
    """The strategy's first proposal, of `ATTEMPTS`, that is neither seen nor pending.

    Each attempt has its own generator, so the result depends on the arguments alone. If all
    attempts fail, a new architecture is drawn uniformly from a small space (`MOST_ENUMERATED`); in
    a large one the last proposal stands, although it repeats.

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
    seed = strategy.problem.seed
    for attempt in range(ATTEMPTS):
        proposal = strategy.propose(state, ordinal, pending, generator(seed, ordinal, attempt))
        key = proposal.architecture.key
        if key not in waiting and key not in seen:
            return proposal
    space = strategy.problem.space
    if _size(space) > MOST_ENUMERATED:
        return proposal
    new = [a for key, a in _keys(space).items() if key not in waiting and key not in seen]
    rng = generator(seed, ordinal, ATTEMPTS)
    return Proposal(ordinal, new[int(rng.integers(len(new)))]) if new else None


@lru_cache(maxsize=16)
def _size(space: SearchSpace) -> int:
    """How many architectures there are; recipes count, they make architectures differ."""
    return space.size(with_recipe=True)


@lru_cache(maxsize=2)
def _keys(space: SearchSpace) -> dict[str, Architecture]:
    return {architecture.key: architecture for architecture in space}
