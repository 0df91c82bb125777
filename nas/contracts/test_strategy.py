"""What every strategy keeps: a fold over the record, that another process can repeat."""

import copy
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from nas.contracts import _signature, planted
from nas.strategies import Finished, StrategyError
from nas.strategies._base import Outcome, generator
from search_spaces.plugins import Plugin

KIND = "strategy"

every_space = pytest.mark.parametrize("space_name", sorted(planted.SPACES))


@pytest.fixture(params=[1, 2])
def n_objectives(request: pytest.FixtureRequest, plugin: Plugin) -> int:
    """One objective, and two for the strategies that do not refuse them."""
    wanted = int(request.param)
    if wanted not in planted.objectives_of(plugin):
        pytest.skip(f"{plugin.name} has one objective only")
    return wanted


def test_it_is_called_as_strategies_are(plugin: Plugin) -> None:
    """`build(problem, *, ...)`, each option with a type and told of."""
    _signature.check(KIND, plugin)


def test_it_is_for_some_space(plugin: Plugin) -> None:
    """Of those here; what it is not for it refuses by its name, before the first trial."""
    refused = {
        s.name: planted.refusal(plugin, s) for s in (make() for make in planted.SPACES.values())
    }
    assert None in refused.values()
    for name, reason in refused.items():
        assert reason is None or f'got "{name}"' in reason


def test_two_objectives_or_a_refusal(plugin: Plugin) -> None:
    """A strategy for one objective says so before the first trial, and what came."""
    space = planted.space_for(plugin, "flat")
    if planted.objectives_of(plugin) == (1,):
        with pytest.raises(StrategyError, match=r"one objective.* got 2"):
            planted.build(plugin, space, 2)
    else:
        assert len(planted.build(plugin, space, 2).problem.objectives) == 2


@every_space
def test_proposals_belong_to_the_space(plugin: Plugin, space_name: str, n_objectives: int) -> None:
    """After any record, with any pending, a proposal decodes to itself and has its ordinal."""
    space = planted.SPACES[space_name]()
    if (refused := planted.refusal(plugin, space)) is not None:
        pytest.skip(refused)
    strategy = planted.build(plugin, space, n_objectives)
    trials = planted.record(space, 90, n_objectives)
    for length in (0, 1, 12, 90):
        state = planted.folded(strategy, trials[:length])
        for pending in ([], [t.architecture for t in trials[-4:]]):
            proposal = planted.propose(strategy, state, 200 + length, pending)
            assert proposal.ordinal == 200 + length
            assert space.decode(space.encode(proposal.architecture)) == proposal.architecture
            assert space.architecture(proposal.architecture.choices) == proposal.architecture


def test_another_process_proposes_the_same(plugin: Plugin) -> None:
    """Same record and ordinal: same architecture, whatever the hash seed of the process."""
    here = planted.proposals(plugin)
    assert len(set(here)) > 5, "the comparison would show nothing if all proposals were equal"
    given = [plugin.name, json.dumps(dict(plugin.options))]
    for hash_seed in ("1",):
        done = subprocess.run(
            [sys.executable, "-m", "nas.contracts.planted", *given],
            env={
                **os.environ,
                "PYTHONHASHSEED": hash_seed,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout) == here


def same(one: Any, other: Any) -> bool:
    """Equal in every number: states compare by identity, and print long arrays shortened."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, Finished):
        return repr(one) == repr(other)  # a loss may be NaN
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
        return all(same(getattr(one, n), getattr(other, n)) for n in names)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)) or type(one).__name__ == "Log":
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(same(a, b) for a, b in pairs)
    return bool(one == other)


def test_folding_leaves_the_old_state(plugin: Plugin, n_objectives: int) -> None:
    """A fold returns a new state; the one it came from proposes as before."""
    space = planted.space_for(plugin, "conditional")
    strategy = planted.build(plugin, space, n_objectives)
    trials = planted.record(space, 80, n_objectives)
    old = planted.folded(strategy, trials[:60])
    kept = copy.deepcopy(old)
    before = planted.propose(strategy, old, 500)
    new = old
    for finished in trials[60:]:
        new = strategy.fold(new, finished)
        planted.propose(strategy, new, 501)
    assert same(old, kept)
    assert new is old or not same(new, kept), "a comparison that sees no change shows nothing"
    assert planted.propose(strategy, old, 500) == before


def test_folding_at_once_is_folding_step_by_step(plugin: Plugin, n_objectives: int) -> None:
    """A fresh object with the whole record goes on as one that proposed along the way."""
    space = planted.space_for(plugin, "conditional")
    trials = planted.record(space, 80, n_objectives)
    busy = planted.build(plugin, space, n_objectives)
    state = busy.initial()
    for ordinal, finished in enumerate(trials):
        if ordinal % 7 == 0:
            planted.propose(busy, state, ordinal, [finished.architecture])
        state = busy.fold(state, finished)
    fresh = planted.build(plugin, space, n_objectives)
    again = planted.folded(fresh, trials)
    for ordinal in (300, 301):
        for pending in ([], [trials[0].architecture]):
            mine = planted.propose(busy, state, ordinal, pending)
            assert mine == planted.propose(fresh, again, ordinal, pending)


def test_a_proposal_does_not_depend_on_earlier_calls(plugin: Plugin) -> None:
    """Other ordinals, other records and other pending trials in between change nothing."""
    space = planted.space_for(plugin, "flat")
    strategy = planted.build(plugin, space)
    trials = planted.record(space, 80)
    state, other = planted.folded(strategy, trials), planted.folded(strategy, trials[::-1][:40])
    first = planted.propose(strategy, state, 90)
    for ordinal in range(20):
        planted.propose(
            strategy, state if ordinal % 2 else other, ordinal, [trials[0].architecture]
        )
    assert planted.propose(strategy, state, 90) == first
    assert len({planted.propose(strategy, state, o).architecture.key for o in range(20)}) > 1


@pytest.mark.parametrize("outcome", ["failed", "pruned", "infeasible", "complete"])
def test_records_without_any_loss(plugin: Plugin, outcome: Outcome, n_objectives: int) -> None:
    """A record in which nothing was ever measured still leads to proposals."""
    space = planted.space_for(plugin, "conditional")
    strategy = planted.build(plugin, space, n_objectives)
    rng = generator(0, 0)
    violations = rng.random(70) if outcome == "infeasible" else [0.0] * 70
    trials = [
        Finished(i, space.sample(rng), outcome, None, float(v)) for i, v in enumerate(violations)
    ]
    state = planted.folded(strategy, trials)
    keys = {planted.propose(strategy, state, 70 + i).architecture.key for i in range(10)}
    assert len(keys) > 1


def test_a_space_of_one_architecture(plugin: Plugin) -> None:
    """There is nothing to choose, and nothing to raise about."""
    space = planted.space_for(plugin, "single")
    most = max(planted.objectives_of(plugin))
    strategy = planted.build(plugin, space, most)
    state = planted.folded(strategy, planted.record(space, 80, most))
    assert planted.propose(strategy, state, 80).architecture == next(iter(space))


def test_three_thousand_folds(plugin: Plugin) -> None:
    """A long study is folded again without strain (a time limit of the tests is the only clock)."""
    space = planted.space_for(plugin, "flat")
    strategy = planted.build(plugin, space)
    trials = planted.record(space, 100)
    state = strategy.initial()
    for i in range(3_000):
        state = strategy.fold(state, trials[i % 100])
    proposal = planted.propose(strategy, state, 3_000)
    assert space.architecture(proposal.architecture.choices) == proposal.architecture
