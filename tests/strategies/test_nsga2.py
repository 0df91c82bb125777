"""NSGA-II: elitism, generations out of order, and that it beats random search on two objectives."""

import numpy as np
import pytest

from nas.pareto import front, hypervolume
from nas.strategies import Finished
from nas.strategies._base import generator


def test_the_hypervolume_of_the_parents_never_decreases(planted):
    """As long as front 0 fits into the population, nothing good is lost."""
    space = planted.flat(decisions=16, choices=4)
    strategy = planted.build("nsga2", space, 2, population=40)
    state, volumes = strategy.initial(), []
    for ordinal in range(600):
        architecture = planted.propose(strategy, state, ordinal).architecture
        losses = planted.quality_and_cost(architecture, 0)
        state = strategy.fold(state, Finished(ordinal, architecture, "complete", losses))
        if state.parents and not state.children:
            points = [t.losses for t in state.parents]
            assert len(front(points)) < 40, "front 0 has to fit for the law to hold"
            volumes.append(hypervolume(points, (1.0, 1.0)))
    assert len(volumes) == 15
    assert volumes == sorted(volumes)
    assert volumes[-1] > volumes[0]


def test_survivors_are_never_dominated_by_those_who_left(planted):
    """Elitist truncation: no one left out of the next parents dominates one of them."""
    space = planted.flat()
    rng = generator(3, 0)
    strategy = planted.build("nsga2", space, 2, population=10)
    points = np.round(rng.random((20, 2)), 1)
    trials = [
        Finished(i, space.sample(rng), "complete", tuple(map(float, p)))
        for i, p in enumerate(points)
    ]
    parents = planted.folded(strategy, trials).parents
    left = [t.losses for t in trials if t not in parents]
    assert len(parents) == 10
    for gone in np.array(left):
        for parent in parents:
            assert not ((gone <= parent.losses).all() and (gone < parent.losses).any())


def test_feasible_trials_displace_infeasible_ones(planted):
    """Constraint domination: any feasible trial outlives any infeasible one, failed ones go."""
    space = planted.flat()
    rng = generator(4, 0)
    bad = [Finished(i, space.sample(rng), "infeasible", (0.0, 0.0), 1.0 + i) for i in range(4)]
    failed = [Finished(4 + i, space.sample(rng), "failed", None) for i in range(9)]
    good = [Finished(20 + i, space.sample(rng), "complete", (9.0, 9.0)) for i in range(3)]
    last = Finished(30, space.sample(rng), "pruned", None)
    strategy = planted.build("nsga2", space, 2, population=4)
    state = planted.folded(strategy, bad + failed)
    assert [t.ordinal for t in state.parents] == [0, 1, 2, 3]
    state = planted.folded(strategy, [*bad, *failed, *good, last])
    assert [t.ordinal for t in state.parents] == [20, 21, 22, 30]


def test_late_results_of_older_generations_join(planted):
    """Eight workers whose results come late: generations still turn over and hold their size."""
    space = planted.flat(decisions=16)
    strategy = planted.build("nsga2", space, 2, population=10)
    rng = np.random.default_rng(0)
    state, running, generations = strategy.initial(), [], 0
    for ordinal in range(200):
        pending = [a for _, a in running]
        running.append((ordinal, planted.propose(strategy, state, ordinal, pending).architecture))
        if len(running) == 8:
            number, architecture = running.pop(int(rng.integers(8)))
            losses = planted.quality_and_cost(architecture, 0)
            state = strategy.fold(state, Finished(number, architecture, "complete", losses))
            assert len(state.parents) in (0, 10)
            generations += not state.children
    assert generations == 19


@pytest.mark.parametrize("informed", [True, False], ids=["planted", "shuffled"])
def test_it_beats_random_search_on_two_objectives(planted, informed):
    """300 trials, 14 paired seeds: more hypervolume in at least 12; not with shuffled losses.

    Sign test: were both alike, 12 of 14 would happen by chance with probability 0.0065.
    """
    space, wins = planted.flat(decisions=16, choices=4), 0
    for seed in range(14):
        noise = np.random.default_rng([seed, 7])

        def losses_of(architecture, ordinal, seed=seed, noise=noise):
            shown = architecture if informed else space.sample(noise)
            return planted.quality_and_cost(shown, seed)

        volume = {}
        for name in ("nsga2", "random"):
            tried = planted.search(planted.build(name, space, 2, seed=seed), 300, losses_of)
            points = [planted.quality_and_cost(a, seed) for a in tried]
            volume[name] = hypervolume(points, (1.0, 1.0))
        wins += volume["nsga2"] > volume["random"]
    assert (wins >= 12) == informed


def test_parents_are_the_best_front_of_all_that_was_seen(planted):
    """Points with duplicates: front 0 of the parents is the brute-force Pareto set, if it fits."""
    space = planted.flat()
    for seed in range(10):
        rng = generator(seed, 1)
        points = [tuple(map(float, p)) for p in rng.integers(0, 7, (60, 2))]
        trials = [Finished(i, space.sample(rng), "complete", p) for i, p in enumerate(points)]
        strategy = planted.build("nsga2", space, 2, population=20)
        parents = [t.losses for t in planted.folded(strategy, trials).parents]
        best = [
            p for p in points if not any(q != p and all(map(float.__le__, q, p)) for q in points)
        ]
        assert len(best) <= 20
        assert sorted(parents[i] for i in front(parents)) == sorted(best)


def zdt1(space, architecture):
    """ZDT1 (Zitzler, Deb and Thiele, 2000) on a grid; its best front is 1 - sqrt(first loss)."""
    x = np.array(space.encode(architecture)) / 9
    g = 1 + 9 * x[1:].mean()
    return float(x[0]), float(g * (1 - np.sqrt(x[0] / g)))


@pytest.mark.parametrize("informed", [True, False], ids=["zdt1", "shuffled"])
def test_zdt1_is_solved_better_than_by_random_search(planted, informed):
    """400 trials, 5 seeds: the worst has 1 more hypervolume than random search's best.

    The reference is (1.1, 8), the limit 8.4. With shuffled losses, no such thing.
    """
    space = planted.flat(decisions=12, choices=10)
    volume = {"nsga2": [], "random": []}
    for seed in range(5):
        noise = np.random.default_rng([seed, 7])

        def losses_of(architecture, ordinal, noise=noise):
            return zdt1(space, architecture if informed else space.sample(noise))

        for name, reached in volume.items():
            tried = planted.search(planted.build(name, space, 2, seed=seed), 400, losses_of)
            reached.append(hypervolume([zdt1(space, a) for a in tried], (1.1, 8.0)))
    assert (min(volume["nsga2"]) > max(volume["random"]) + 1) == informed, volume


@pytest.mark.parametrize("aware", [True, False], ids=["constrained", "ignored"])
def test_a_constraint_is_learned(planted, aware):
    """A bound that one in fifty random architectures keeps: many of the last 100 proposals do.

    The control is the same search that is never told of the violation.
    """
    space = planted.flat(decisions=12, choices=4)
    strategy = planted.build("nsga2", space, 2, population=20)
    state, kept = strategy.initial(), []
    for ordinal in range(300):
        architecture = planted.propose(strategy, state, ordinal).architecture
        excess = sum(architecture.choices.values()) / 12 - 0.75
        kept.append(excess <= 0)
        told = max(0.0, excess) if aware else 0.0
        losses = (-planted.reward(architecture, 0), -sum(architecture.choices.values()) / 36)
        outcome = "infeasible" if told else "complete"
        state = strategy.fold(state, Finished(ordinal, architecture, outcome, losses, told))
    assert sum(kept[:20]) <= 4
    assert (sum(kept[-100:]) > 30) == aware, sum(kept[-100:])
