"""No architecture twice, with any strategy."""

from collections.abc import Container

import pytest

from nas.strategies import Finished, Objective, Problem, Proposal, Strategy, _distinct
from nas.strategies._distinct import propose_distinct
from search_spaces import plugins

every_strategy = pytest.mark.parametrize("name", plugins.names("strategy"))


# A space `gnn` of three architectures, for strategies that are for networks.
THREE = {
    "depth": (1,),
    "operators": ("linear",),
    "width": (8, 16, 32),
    "activation": ("relu",),
    "normalization": ("none",),
    "pre_layers": (0,),
    "post_layers": (0,),
    "hops": None,
    "lr": None,
    "dropout": None,
}


def small(planted, name, decisions, choices, **networks):
    """A space without networks, or, where the strategy refuses that, one with networks."""
    space = planted.flat(decisions=decisions, choices=choices)
    if planted.refusal(name, space) is None:
        return space
    return planted.networks(**{**THREE, **networks})


@every_strategy
def test_a_small_space_is_gone_through_once(planted, name):
    """All 16 architectures come, each once, and then None; a strategy alone would repeat."""
    space = small(planted, name, 2, 4, width=(8, 16), dropout=(0.0, 0.2, 0.4, 0.6), lr=(0.1, 0.2))
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
    space = small(planted, name, 1, 3)
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
    space = planted.space_for(name, "conditional")
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


@every_strategy
def test_ordinals_have_random_numbers_of_their_own(planted, name):
    """20 that know nothing of each other, of a million architectures, propose 20 different ones."""
    strategy = planted.build(name, planted.space_for(name, "flat"))
    state = strategy.initial()
    proposals = [propose_distinct(strategy, state, ordinal, [], set()) for ordinal in range(20)]
    assert len({proposal.architecture.key for proposal in proposals}) == 20
    assert not any("distinct" in proposal.note for proposal in proposals)


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


class Stubborn(Strategy[None]):
    """It always proposes the same, and counts how often it is asked."""

    def __init__(self, problem, architecture):
        super().__init__(problem)
        self.architecture, self.asked = architecture, 0

    def initial(self):
        return None

    def fold(self, state, finished):
        return None

    def propose(self, state, ordinal, pending, rng):
        self.asked += 1
        return Proposal(ordinal, self.architecture, inherit=0, note={"phase": "converged"})


def stubborn(space, architecture):
    return Stubborn(Problem(space, (Objective("loss", "minimize"),), 0), architecture)


def test_a_converged_strategy_walks_away_step_by_step(planted, monkeypatch):
    """Of a strategy that only repeats, most proposals are a step or two off; it is asked 8 times.

    Nothing is enumerated for that, and the walk is no part of the strategy: its note says so.
    """
    monkeypatch.setattr(_distinct, "_keys", lambda _: pytest.fail("gone through too early"))
    space = planted.flat(decisions=6, choices=4)
    home = space.decode([0] * 6)
    strategy = stubborn(space, home)
    first = propose_distinct(strategy, None, 0, [], set())
    assert first.architecture == home
    assert "distinct" not in first.note
    seen, distances = {home.key}, []
    for ordinal in range(1, 60):
        strategy.asked = 0
        proposal = propose_distinct(strategy, None, ordinal, [], seen)
        assert strategy.asked == _distinct.ATTEMPTS
        assert proposal.inherit is None
        assert proposal.note["phase"] == "converged"
        assert 1 <= proposal.note["distinct"] <= _distinct.STEPS
        seen.add(proposal.architecture.key)
        distances.append(sum(space.encode(proposal.architecture)[i] != 0 for i in range(6)))
    assert len(seen) == 60
    assert distances.count(1) > 10
    assert sum(d <= 3 for d in distances) > 50


def test_a_stubborn_strategy_exhausts_a_small_space(planted):
    """At the end the space is gone through, by any order of mutations, and then None."""
    space = planted.conditional(2)
    strategy = stubborn(space, next(iter(space)))
    seen, how = set(), set()
    for ordinal in range(space.size(with_recipe=True)):
        proposal = propose_distinct(strategy, None, ordinal, [], seen)
        how.add(type(proposal.note.get("distinct")))
        seen.add(proposal.architecture.key)
    assert len(seen) == space.size(with_recipe=True)
    assert how == {type(None), int, str}
    assert propose_distinct(strategy, None, 9999, [], seen) is None
