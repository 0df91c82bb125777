"""What every strategy keeps, found by discovery: a new file is under contract at once."""

import copy
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from nas.strategies import Finished, StrategyError
from nas.strategies._base import generator
from search_spaces import plugins

ROOT = Path(__file__).resolve().parents[2]

every_strategy = pytest.mark.parametrize("name", plugins.names("strategy"))
every_space = pytest.mark.parametrize("space_name", ["flat", "conditional", "single"])


@pytest.fixture(params=[1, 2])
def n_objectives(request, planted, name):
    """One objective, and two for the strategies that do not refuse them."""
    if request.param not in planted.objectives_of(name):
        pytest.skip(f"{name} has one objective only")
    return request.param


def test_the_strategies_are_discovered():
    """The parametrization is not empty, and options are described."""
    found = plugins.names("strategy")
    assert {"random", "evolution", "nsga2", "tpe"} <= set(found)
    for name in found:
        assert plugins.summary("strategy", name)
        plugins.options("strategy", name)


@every_strategy
def test_two_objectives_or_a_refusal(planted, name):
    """A strategy for one objective says so before the first trial, and what to use instead."""
    space = planted.flat()
    if planted.objectives_of(name) == (1,):
        said = rf"strategy {name}: expected one objective, got 2 \(loss0, loss1\).* use "
        with pytest.raises(StrategyError, match=said):
            planted.build(name, space, 2)
    else:
        assert len(planted.build(name, space, 2).problem.objectives) == 2


@every_strategy
@every_space
def test_proposals_belong_to_the_space(planted, name, space_name, n_objectives):
    """After any record, with any pending, a proposal decodes to itself and has its ordinal."""
    space = planted.SPACES[space_name]()
    strategy = planted.build(name, space, n_objectives)
    trials = planted.record(space, 90, n_objectives)
    for length in (0, 1, 12, 90):
        state = planted.folded(strategy, trials[:length])
        for pending in ([], [t.architecture for t in trials[-4:]]):
            proposal = planted.propose(strategy, state, 200 + length, pending)
            assert proposal.ordinal == 200 + length
            assert space.decode(space.encode(proposal.architecture)) == proposal.architecture
            assert space.architecture(proposal.architecture.choices) == proposal.architecture


@every_strategy
def test_another_process_proposes_the_same(planted, name):
    """Same record and ordinal: same architecture, whatever the hash seed of the process."""
    here = planted.proposals(name)
    assert len(set(here)) > 5, "the comparison would show nothing if all proposals were equal"
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, str(Path(planted.__file__)), name],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout) == here


def same(one, other):
    """Equal in every number: states compare by identity, and print long arrays shortened."""
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
    return one == other


@every_strategy
def test_folding_leaves_the_old_state(planted, name, n_objectives):
    """A fold returns a new state; the one it came from proposes as before."""
    space = planted.conditional()
    strategy = planted.build(name, space, n_objectives)
    trials = planted.record(space, 80, n_objectives)
    old = planted.folded(strategy, trials[:60])
    kept = copy.deepcopy(old)
    before = planted.propose(strategy, old, 500)
    new = old
    for finished in trials[60:]:
        new = strategy.fold(new, finished)
        planted.propose(strategy, new, 501)
    assert same(old, kept)
    assert name == "random" or not same(new, kept), "a comparison that sees no change shows nothing"
    assert planted.propose(strategy, old, 500) == before


@every_strategy
def test_folding_at_once_is_folding_step_by_step(planted, name, n_objectives):
    """A fresh object with the whole record goes on as one that proposed along the way."""
    space = planted.conditional()
    trials = planted.record(space, 80, n_objectives)
    busy = planted.build(name, space, n_objectives)
    state = busy.initial()
    for ordinal, finished in enumerate(trials):
        if ordinal % 7 == 0:
            planted.propose(busy, state, ordinal, [finished.architecture])
        state = busy.fold(state, finished)
    fresh = planted.build(name, space, n_objectives)
    again = planted.folded(fresh, trials)
    for ordinal in (300, 301):
        for pending in ([], [trials[0].architecture]):
            mine = planted.propose(busy, state, ordinal, pending)
            assert mine == planted.propose(fresh, again, ordinal, pending)


@every_strategy
def test_a_proposal_does_not_depend_on_earlier_calls(planted, name):
    """Other ordinals, other records and other pending trials in between change nothing."""
    space = planted.flat()
    strategy = planted.build(name, space)
    trials = planted.record(space, 80)
    state, other = planted.folded(strategy, trials), planted.folded(strategy, trials[::-1][:40])
    first = planted.propose(strategy, state, 90)
    for ordinal in range(20):
        planted.propose(
            strategy, state if ordinal % 2 else other, ordinal, [trials[0].architecture]
        )
    assert planted.propose(strategy, state, 90) == first
    assert len({planted.propose(strategy, state, o).architecture.key for o in range(20)}) > 1


@every_strategy
@pytest.mark.parametrize("outcome", ["failed", "pruned", "infeasible", "complete"])
def test_records_without_any_loss(planted, name, outcome, n_objectives):
    """A record in which nothing was ever measured still leads to proposals."""
    space = planted.conditional()
    strategy = planted.build(name, space, n_objectives)
    rng = generator(0, 0)
    violations = rng.random(70) if outcome == "infeasible" else [0.0] * 70
    trials = [
        Finished(i, space.sample(rng), outcome, None, float(v)) for i, v in enumerate(violations)
    ]
    state = planted.folded(strategy, trials)
    keys = {planted.propose(strategy, state, 70 + i).architecture.key for i in range(10)}
    assert len(keys) > 1


@every_strategy
def test_a_space_of_one_architecture(planted, name):
    """There is nothing to choose, and nothing to raise about."""
    space = planted.single()
    most = max(planted.objectives_of(name))
    strategy = planted.build(name, space, most)
    state = planted.folded(strategy, planted.record(space, 80, most))
    assert planted.propose(strategy, state, 80).architecture == next(iter(space))


@every_strategy
def test_three_thousand_folds(planted, name):
    """A long study is folded again without strain (the suite's time limit is the only clock)."""
    space = planted.flat()
    strategy = planted.build(name, space)
    trials = planted.record(space, 100)
    state = strategy.initial()
    for i in range(3_000):
        state = strategy.fold(state, trials[i % 100])
    assert name == "random" or not same(state, strategy.initial())
