"""No architecture twice, with any strategy."""

from collections.abc import Container

import pytest

from nas.strategies import Finished, _distinct
from nas.strategies._distinct import propose_distinct
from search_spaces import plugins

every_strategy = pytest.mark.parametrize("name", plugins.names("strategy"))


@every_strategy
def test_a_small_space_is_gone_through_once(planted, name):
    """All 16 architectures come, each once, and then None; a strategy alone would repeat."""
    space = planted.flat(decisions=2, choices=4)
    strategy = planted.build(name, space)
    state, seen = strategy.initial(), set()
    for ordinal in range(16):
        proposal = propose_distinct(strategy, state, ordinal, [], seen)
        assert proposal is not None
        assert proposal.architecture.key not in seen
        seen.add(proposal.architecture.key)
        loss = planted.reward(proposal.architecture, 0)
        state = strategy.fold(state, Finished(ordinal, proposal.architecture, "complete", (loss,)))
    assert len(seen) == space.size(with_recipe=True)
    assert propose_distinct(strategy, state, 16, [], seen) is None


@every_strategy
def test_pending_counts_as_seen(planted, name):
    """What is being evaluated is not proposed again; when only that is left, None."""
    space = planted.flat(decisions=1, choices=3)
    strategy = planted.build(name, space)
    a, b, c = space
    state = strategy.initial()
    proposal = propose_distinct(strategy, state, 2, [b], {a.key})
    assert proposal is not None
    assert proposal.architecture == c
    assert propose_distinct(strategy, state, 2, [b, c], {a.key}) is None


@every_strategy
def test_it_is_deterministic(planted, name):
    """The same arguments, the same proposal; and the first attempt is the strategy's own."""
    space = planted.conditional()
    trials = planted.record(space, 60)
    strategy = planted.build(name, space)
    state = planted.folded(strategy, trials)
    seen = {t.architecture.key for t in trials}
    own = planted.propose(strategy, state, 60)
    assert propose_distinct(strategy, state, 60, [], set()) == own
    first = propose_distinct(strategy, state, 60, [], seen | {own.architecture.key})
    again = planted.build(name, space)
    second = propose_distinct(
        again, planted.folded(again, trials), 60, [], seen | {own.architecture.key}
    )
    assert first == second
    assert first != own


def test_a_large_space_repeats_rather_than_stops(planted):
    """Where all attempts were seen and the space cannot be gone through, the last stands."""

    class Everything(Container):
        def __contains__(self, key: object) -> bool:
            return True

    space = planted.flat(decisions=20, choices=4)
    strategy = planted.build("random", space)
    proposal = propose_distinct(strategy, None, 0, [], Everything())
    last = strategy.propose(None, 0, [], _distinct.generator(0, 0, _distinct.ATTEMPTS - 1))
    assert proposal == last
