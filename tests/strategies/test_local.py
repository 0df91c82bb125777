"""Local search: whose neighbors it proposes, that it goes on, and that it finds what is planted."""

import numpy as np
import pytest

from nas.pareto import hypervolume
from nas.strategies import Finished
from nas.strategies._base import generator
from nas.strategies._distinct import propose_distinct
from nas.strategies._log import Log


def complete(ordinal, architecture, *losses):
    return Finished(ordinal, architecture, "complete", losses)


def grown(log, trials):
    for finished in trials:
        log = log.append(finished)
    return log


def distance(space, one, other):
    return int((np.array(space.encode(one)) != np.array(space.encode(other))).sum())


def test_it_starts_at_random_and_goes_on_at_the_best(planted):
    """Before `startup` usable trials, anything; then one decision away from the best, always."""
    space = planted.flat()
    strategy = planted.build("local", space, startup=10)
    rng = generator(1, 0)
    trials = [complete(i, space.sample(rng), float(-i)) for i in range(10)]
    failed = [Finished(50 + i, space.sample(rng), "failed", None) for i in range(9)]
    early = planted.folded(strategy, trials[:9] + failed)
    drawn = [planted.propose(strategy, early, o) for o in range(20)]
    assert [p.architecture for p in drawn] == [space.sample(generator(0, o)) for o in range(20)]
    state = planted.folded(strategy, trials[:9] + failed + trials[9:])
    near = [planted.propose(strategy, state, o).architecture for o in range(20)]
    assert {distance(space, a, trials[9].architecture) for a in near} == {1}
    assert len({a.key for a in near}) > 10, "the order of the neighbors is random"


def test_a_better_neighbor_is_the_next_center(planted):
    """It moves as soon as something better has ended, and stays where something worse has."""
    space = planted.flat()
    strategy = planted.build("local", space, startup=1)
    center = space.decode([0] * 10)
    near, far = space.decode([1] + [0] * 9), space.decode([1, 1] + [0] * 8)
    start = planted.folded(strategy, [complete(0, center, 0.5)])
    better = strategy.fold(start, complete(1, near, 0.4))
    worse = strategy.fold(start, complete(1, near, 0.6))
    for ordinal in range(30):
        moved = planted.propose(strategy, better, ordinal, [far]).architecture
        assert distance(space, moved, near) == 1
        assert moved not in (center, far), "neither what has ended nor what is pending"
        assert distance(space, planted.propose(strategy, worse, ordinal).architecture, center) == 1


def test_where_a_neighborhood_is_used_up_the_next_best_follows(planted):
    """Every proposal is a neighbor of the best trial that still has a new one, to the very end."""
    space = planted.flat(decisions=4, choices=3)
    strategy = planted.build("local", space, startup=3)
    state, trials, seen = strategy.initial(), [], set()
    for ordinal in range(space.size()):
        proposed = planted.propose(strategy, state, ordinal).architecture
        if ordinal >= 3:
            assert proposed.key not in seen, "no wrapper is needed as long as neighbors are left"
            for trial in sorted(trials, key=lambda t: t.losses):
                near = space.neighbors(trial.architecture, generator(0, 0))
                if any(a.key not in seen for a in near):
                    assert proposed in near
                    break
        seen.add(proposed.key)
        trials.append(complete(ordinal, proposed, -planted.reward(proposed, 0)))
        state = strategy.fold(state, trials[-1])
        if len(seen) == space.size():
            break
    assert len(seen) >= space.size() - 2


def test_neighborhoods_end_where_changes_switch_decisions_on(planted):
    """From one center, a conditional space gives as many neighbors as it has changes."""
    space = planted.conditional()
    strategy = planted.build("local", space, startup=1)
    center = space.architecture(
        {"depth": 1, "layer0.operator": "gcn", "layer0.width": 16, "train.lr": 0.01}
    )
    state, seen = strategy.fold(strategy.initial(), complete(0, center, -9.0)), set()
    changes = 2 + 2 + 2 + 1
    for ordinal in range(changes):
        proposed = planted.propose(strategy, state, ordinal).architecture
        common = center.choices.keys() & proposed.choices.keys()
        assert sum(center.choices[n] != proposed.choices[n] for n in common) == 1
        seen.add(proposed.key)
        state = strategy.fold(state, complete(ordinal, proposed, float(ordinal)))
    assert len(seen) == changes
    beyond = planted.propose(strategy, state, changes).architecture
    assert beyond.key not in seen


def test_feasible_centers_come_first(planted):
    """Constraint domination: the least violation, until something is feasible."""
    space = planted.flat(decisions=20)
    strategy = planted.build("local", space, 2, startup=1)
    rng = generator(2, 0)
    people = [
        Finished(0, space.sample(rng), "infeasible", (-9.0, -9.0), 2.0),
        Finished(1, space.sample(rng), "infeasible", None, 0.1),
        Finished(2, space.sample(rng), "pruned", None),
        complete(3, space.sample(rng), 5.0, 5.0),
        complete(4, space.sample(rng), 1.0, 1.0),
    ]
    for size in range(1, 6):
        state = planted.folded(strategy, people[:size])
        child = planted.propose(strategy, state, 9).architecture
        assert distance(space, child, people[size - 1].architecture) == 1


def test_what_is_kept_in_mind_is_bounded(planted):
    """Thousands of trials leave a few hundred candidates, with the best among them."""
    space = planted.flat()
    strategy = planted.build("local", space, 2)
    rng = generator(3, 0)
    state, sizes = strategy.initial(), []
    for ordinal in range(1500):
        architecture = space.sample(rng)
        losses = planted.quality_and_cost(architecture, 0)
        state = strategy.fold(state, complete(ordinal, architecture, *losses))
        sizes.append(len(state.best))
    assert max(sizes) < 200
    assert len(state.log) == 1500
    points = np.array([t.losses for t in state.log])
    kept = np.array([t.losses for t in state.best])
    assert (points.min(axis=0) == kept.min(axis=0)).all()


def evaluated(planted, name, space, trials, losses_of, n_objectives, seed):
    """A search without repetition: every strategy has the same number of architectures."""
    strategy = planted.build(name, space, n_objectives, seed=seed)
    state, seen, tried = strategy.initial(), set(), []
    for ordinal in range(trials):
        proposal = propose_distinct(strategy, state, ordinal, [], seen)
        tried.append(proposal.architecture)
        seen.add(proposal.architecture.key)
        losses = losses_of(proposal.architecture)
        state = strategy.fold(state, complete(ordinal, proposal.architecture, *losses))
    return tried


@pytest.mark.parametrize("informed", [True, False], ids=["planted", "shuffled"])
@pytest.mark.parametrize("n_objectives", [1, 2])
def test_it_beats_random_search_on_a_planted_reward(planted, informed, n_objectives):
    """120 trials, 14 paired seeds: better in at least 12; with shuffled losses it is not.

    Sign test: were both alike, 12 of 14 would happen by chance with probability 0.0065.
    """
    space, wins = planted.flat(decisions=12, choices=4), 0
    for seed in range(14):
        noise = np.random.default_rng([seed, 7])

        def losses(architecture, seed=seed):
            if n_objectives == 1:
                return (-planted.reward(architecture, seed),)
            return planted.quality_and_cost(architecture, seed)

        def shown(architecture, losses=losses, noise=noise):
            return losses(architecture if informed else space.sample(noise))

        reached = {}
        for name in ("local", "random"):
            tried = evaluated(planted, name, space, 120, shown, n_objectives, seed)
            points = [losses(a) for a in tried]
            one = n_objectives == 1
            reached[name] = -min(points)[0] if one else hypervolume(points, (1.0, 1.0))
        wins += reached["local"] > reached["random"]
    assert (wins >= 12) == informed


def test_logs_are_values(planted):
    """Logs that grow out of one share their trials and see nothing of each other."""
    space = planted.flat()
    trials = planted.record(space, 30)
    start = grown(Log(), trials[:10])
    one, other = start, start
    for first, second in zip(trials[10:20], trials[20:], strict=True):
        one, other = one.append(first), other.append(second)
    for log, expected in (
        (start, trials[:10]),
        (one, trials[:20]),
        (other, trials[:10] + trials[20:]),
    ):
        assert list(log) == expected
        assert log[:] == tuple(expected)
        assert (log[-1], log[2:5]) == (expected[-1], tuple(expected[2:5]))
        keys = {t.architecture.key for t in expected}
        assert [log.has(t.architecture.key) for t in trials] == [
            t.architecture.key in keys for t in trials
        ]
    assert one != other
    assert other == grown(start, trials[20:])
    with pytest.raises(IndexError):
        start[10]
