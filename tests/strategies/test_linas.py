"""LINAS: ahead where there is something to learn, honest where there is not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from nas.constraints import parse
from nas.pareto import hypervolume
from nas.strategies import Finished, Objective, Problem, linas
from nas.strategies._base import generator
from nas.strategies._batch import improving, spreading
from nas.strategies._distinct import propose_distinct
from nas.strategies._inner import order
from nas.strategies._predictors import Predictors
from nas.strategies._rounds import _predicted
from search_spaces import Task, features, nas_bench_graph

SEEDS = range(5)


@pytest.fixture(scope="module")
def bi_objective(planted):
    """16 decisions of 4 choices: an error with pairwise terms against a cost."""
    space = planted.flat(decisions=16, choices=4)

    def losses(architecture):
        return planted.quality_and_cost(architecture, 0)

    return space, losses


def volumes(strategy, losses_of, count, at):
    """Hypervolumes after so many distinct evaluations, and how many there were in all."""
    state, seen, measured, calls = strategy.initial(), set(), [], 0
    for ordinal in range(count):
        proposal = propose_distinct(strategy, state, ordinal, [], seen)
        true, shown = losses_of(proposal.architecture)
        calls += 1
        measured.append(true)
        seen.add(proposal.architecture.key)
        state = strategy.fold(state, Finished(ordinal, proposal.architecture, "complete", shown))
    return [hypervolume(np.array(measured[:n]), (1.0, 1.0)) for n in at], calls


def test_ahead_of_nsga2_with_fewer_evaluations(planted, bi_objective):
    """The worst of 5 seeds after 100 evaluations beats the best of NSGA-II after 250."""
    space, losses = bi_objective
    ours, theirs = [], []
    for seed in SEEDS:
        for name, count, found in (("linas", 100, ours), ("nsga2", 250, theirs)):
            strategy = planted.build(name, space, 2, seed=seed)
            (volume,), calls = volumes(strategy, lambda a: (losses(a),) * 2, count, [count])
            assert calls == count
            found.append(volume)
    assert min(ours) > max(theirs)


def test_shuffled_labels_teach_nothing(planted, bi_objective):
    """Control: shown the losses of other architectures, it is not ahead of random search."""
    space, losses = bi_objective
    ahead = []
    for seed in SEEDS:
        noise = np.random.default_rng([seed, 7])

        def shown(a, noise=noise):
            return losses(a), losses(space.sample(noise))

        found = [
            volumes(planted.build(name, space, 2, seed=seed), shown, 100, [100])[0][0]
            for name in ("linas", "random")
        ]
        ahead.append(found[0] / found[1] - 1)
    assert np.mean(ahead) < 0.05


def noted(strategy, losses_of, count):
    """One worker's search: (proposal, losses) of each trial."""
    state, trials = strategy.initial(), []
    for ordinal in range(count):
        proposal = planted_proposal(strategy, state, ordinal)
        losses = losses_of(proposal.architecture)
        trials.append((proposal, losses))
        state = strategy.fold(state, Finished(ordinal, proposal.architecture, "complete", losses))
    return trials


def planted_proposal(strategy, state, ordinal, pending=()):
    rng = generator(strategy.problem.seed, ordinal)
    return strategy.propose(state, ordinal, list(pending), rng)


def test_better_than_random_on_a_planted_reward(planted):
    """60 evaluations each, 5 paired seeds: better in all."""
    space = planted.flat(decisions=8, choices=6)
    for seed in SEEDS:
        best = {
            name: max(
                planted.reward(a, seed)
                for a in planted.search(
                    planted.build(name, space, seed=seed),
                    60,
                    lambda a, _, seed=seed: (-planted.reward(a, seed),),
                )
            )
            for name in ("linas", "random")
        }
        assert best["linas"] > best["random"]


def test_phases_rounds_and_ranks_are_noted(planted):
    """Random ones at first, then rounds of the batch with their share of exploration."""
    space = planted.flat()
    strategy = planted.build("linas", space, startup=15, batch=5, exploration=0.2)
    trials = noted(strategy, lambda a: (-planted.reward(a, 0),), 40)
    notes = [proposal.note for proposal, _ in trials]
    assert [note["round"] for note in notes] == [0] * 15 + [1 + i // 5 for i in range(25)]
    assert all(note["phase"] == "startup" for note in notes[:15])
    assert {note["phase"] for note in notes[20:]} == {"predicted", "exploration"}
    assert sum(note["phase"] == "exploration" for note in notes[15:]) == 5
    assert notes[-1]["kendall_tau"] > 0.3


def test_it_falls_back_where_nothing_is_to_be_learned(planted):
    """Pure noise: most proposals after the startup are the fall-back's, and say so."""
    space, falls = planted.flat(), []
    for seed in range(4):
        noise = np.random.default_rng(seed)
        strategy = planted.build("linas", space, seed=seed)
        trials = noted(strategy, lambda _, noise=noise: (float(noise.random()),), 70)
        late = [proposal.note["phase"] for proposal, _ in trials[20:]]
        falls.append(late.count("fallback") / len(late))
    assert np.mean(falls) > 0.5


def test_a_killed_study_goes_on_in_the_middle_of_a_round(planted):
    """A fresh object with the record alone proposes what the old one does, with any pending."""
    space = planted.conditional()
    strategy = planted.build("linas", space, 2)
    trials = planted.record(space, 60, 2)
    state = strategy.initial()
    for ordinal, finished in enumerate(trials):
        waiting = [t.architecture for t in trials[ordinal : ordinal + 3]]
        here = planted.propose(strategy, state, ordinal, waiting)
        if ordinal % 13 == 8:
            fresh = planted.build("linas", space, 2)
            again = planted.folded(fresh, trials[:ordinal])
            assert planted.propose(fresh, again, ordinal, waiting) == here
        state = strategy.fold(state, finished)


@pytest.fixture
def no_features():
    """Nothing remembered of any architecture, as in a process that has just begun."""
    features.features_of.cache_clear()
    yield
    features.features_of.cache_clear()


@pytest.mark.parametrize("space_name", ["cell", "conditional"])
def test_what_the_process_has_seen_before_makes_no_difference(
    planted, monkeypatch, no_features, space_name
):
    """A resumed study numbers the parts of architectures anew, and forgets others: same rounds.

    The numbers are different, or the comparison would show nothing.
    """
    task = Task("node_classification", 6, 3, 90, 200, 1, 30, 30, 30, "accuracy", "")
    space = nas_bench_graph.build(task) if space_name == "cell" else planted.conditional()
    trials = []
    for ordinal in range(60):
        architecture = space.sample(generator(5, ordinal))
        worth = planted.reward(architecture, 0)
        trials.append(Finished(ordinal, architecture, "complete", (-worth, worth**2)))
    found, numbers = [], []
    for before, remembered in ((0, 50_000), (400, 50_000), (400, 30)):
        features.features_of.cache_clear()
        monkeypatch.setattr(features, "_MOST_REMEMBERED", remembered)
        known = features.features_of(space)
        for ordinal in range(before):
            known.counts(space.sample(generator(6, ordinal)))
        strategy = planted.build("linas", space, 2)
        state = planted.folded(strategy, trials)
        found.append([planted.propose(strategy, state, ordinal) for ordinal in range(60, 75)])
        numbers.append(known.counts(trials[-1].architecture).parts.tolist())
    assert found[0] == found[1] == found[2]
    assert numbers[0] != numbers[1]
    assert {p.note["phase"] for p in found[0]} >= {"predicted"}


def test_many_workers_get_different_architectures(planted):
    """With a whole batch pending, and the next one too, no proposal repeats."""
    space = planted.flat()
    strategy = planted.build("linas", space)
    state = planted.folded(strategy, planted.record(space, 40))
    pending = []
    for ordinal in range(40, 65):
        pending.append(planted.propose(strategy, state, ordinal, pending).architecture)
    assert len({a.key for a in pending}) == 25


def cost(architecture):
    return float(np.mean([float(c) for c in architecture.choices.values()]))


def test_a_known_objective_is_computed_and_never_learned(planted):
    """The record contradicts the facts, as it would after a change of units: facts count."""
    space = planted.flat(decisions=8)
    objectives = (Objective("error", "minimize"), Objective("cost", "minimize"))
    asked = []

    def facts(architecture):
        asked.append(architecture)
        return {"cost": cost(architecture)}

    problem = Problem(space, objectives, 0, known=("cost",), facts=facts)
    strategy = linas.build(problem, exploration=0.0)
    trials = noted(strategy, lambda a: (1 - planted.reward(a, 0), 3 - cost(a)), 60)
    assert asked
    proposed = [p for p, _ in trials if p.note["phase"] == "predicted"]
    assert len(proposed) >= 30
    assert all(set(p.note) == {"phase", "round", "kendall_tau.error"} for p in proposed)
    assert np.mean([cost(p.architecture) for p in proposed]) < 1.2
    assert min(cost(p.architecture) for p in proposed) < 0.3
    learned = linas.build(replace(problem, known=()), exploration=0.0)
    trials = noted(learned, lambda a: (1 - planted.reward(a, 0), 3 - cost(a)), 60)
    assert np.mean([cost(p.architecture) for p, _ in trials[20:]]) > 1.2


def test_objectives_that_are_all_known_need_no_measurement(planted):
    """Nothing to learn: it proposes the cheapest from the first round on."""
    space = planted.flat(decisions=8)
    problem = Problem(
        space,
        (Objective("cost", "minimize"),),
        0,
        known=("cost",),
        facts=lambda a: {"cost": cost(a)},
    )
    trials = noted(linas.build(problem, exploration=0.0), lambda _: (0.0,), 30)
    assert min(cost(p.architecture) for p, _ in trials) < 0.3
    assert "kendall_tau" not in trials[-1][0].note


def test_known_constraints_are_kept(planted):
    """Whatever the phase, and although the best rewards are beyond the bound."""
    space = planted.flat(decisions=8)
    problem = Problem(
        space,
        (Objective("reward", "maximize"),),
        0,
        constraints=(parse("cost <= 1.2"),),
        known=("cost",),
        facts=lambda a: {"cost": cost(a)},
    )
    trials = noted(linas.build(problem), lambda a: (-cost(a),), 50)
    assert all(cost(p.architecture) <= 1.2 for p, _ in trials)
    assert max(cost(p.architecture) for p, _ in trials) > 1.1


def test_what_cannot_be_built_is_not_proposed(planted):
    """Architectures without facts are left out of the inner search."""
    space = planted.flat(decisions=6)
    problem = Problem(
        space,
        (Objective("error", "minimize"), Objective("cost", "minimize")),
        0,
        known=("cost",),
        facts=lambda a: None if a.choices["d0"] == 0 else {"cost": cost(a)},
    )
    trials = noted(linas.build(problem, exploration=0.0), lambda a: (cost(a), cost(a)), 40)
    assert all(p.architecture.choices["d0"] != 0 for p, _ in trials[20:])


def test_measured_constraints_are_learned(planted):
    """Half of the space is infeasible, and rewarded: proposals keep away from it."""
    space = planted.flat(decisions=8)
    strategy = planted.build("linas", space, exploration=0.0)
    state, broken = strategy.initial(), []
    for ordinal in range(60):
        architecture = planted.propose(strategy, state, ordinal).architecture
        violation = 0.3 * (architecture.choices["d0"] > 1)
        outcome = "infeasible" if violation else "complete"
        broken.append(violation > 0)
        losses = (-cost(architecture) - violation,)
        state = strategy.fold(state, Finished(ordinal, architecture, outcome, losses, violation))
    assert np.mean(broken[:20]) > 0.3
    assert np.mean(broken[30:]) < 0.1


def test_a_batch_is_diverse():
    """Of two candidates that are good together only one is taken before another hope."""
    rng = np.random.default_rng(0)
    shared, other = rng.normal(size=(2, 500))
    draws = np.stack([shared - 0.5, shared - 0.5 + 1e-3, other, np.full(500, 5.0)], axis=1)
    assert improving(draws, 0.0, 4) == [0, 2, 1, 3]
    points = np.array([[0.0, 1.0], [0.01, 0.99], [1.0, 0.0], [0.5, 0.5], [2.0, 2.0]])
    chosen = spreading(np.repeat(points[None], 4, axis=0), np.array([[0.0, 1.0]]), 4)
    assert chosen[:2] == [2, 3]
    assert 4 not in chosen


def test_the_first_of_a_batch_has_the_largest_expected_improvement():
    """The closed form for independent normal losses, s (z Phi(z) + phi(z)) with z = (best - m) / s.

    The candidates are far enough apart for 20,000 draws; the last one has the best mean.
    """
    means, spreads, best = np.array([0.5, 1.0, 0.2, -0.05]), np.array([1.0, 0.1, 0.5, 0.01]), 0.0
    z = (best - means) / spreads
    gains = spreads * (z * norm.cdf(z) + norm.pdf(z))
    drawn = np.random.default_rng(0).normal(means, spreads, (20_000, 4))
    assert improving(drawn, best, 1) == [int(gains.argmax())] == [0]
    assert np.maximum(best - drawn, 0).mean(axis=0) == pytest.approx(gains, abs=0.01)
    assert improving(drawn, 9.0, 1) == [3], "where all improve, the mean counts"


def test_the_inner_order_is_constrained_domination():
    """Feasible first, by rank, the lonely first; then by violation; also where none is feasible."""
    losses = np.array([[0, 4], [1, 3], [1.1, 2.9], [4, 0], [5, 5], [0, 0], [0, 0]], dtype=float)
    violations = np.array([0, 0, 0, 0, 0, 2.0, 1.0])
    assert order(losses, violations, 9).tolist() == [0, 3, 2, 1, 4, 6, 5]
    assert order(losses, violations + 1, 9).tolist()[-2:] == [6, 5]
    assert order(losses[:0], violations[:0], 9).tolist() == []


def test_where_nothing_is_feasible_the_nearest_are_tried(planted):
    """A bound that only one measured architecture keeps: the batch violates it least of all."""
    space = planted.flat(14, 4)

    def cost(architecture):
        return float(np.mean([float(c) for c in architecture.choices.values()]))

    problem = Problem(
        space,
        (Objective("reward", "maximize"),),
        0,
        constraints=(parse("cost <= 0.0"),),
        known=("cost",),
        facts=lambda a: {"cost": cost(a)},
    )
    rng = np.random.default_rng(0)
    # The reward is highest where the bound is broken most.
    trials = [
        Finished(i, a, "infeasible", (-cost(a),), cost(a))
        for i, a in enumerate(space.sample(rng) for _ in range(30))
    ]
    trials.append(Finished(50, space.decode([0] * 14), "complete", (0.0,)))
    predictors = Predictors(problem, trials)
    predictors._learn()
    known = {trial.architecture.key for trial in trials}
    found = [cost(a) for a in _predicted(predictors, known, 10, np.random.default_rng(1))]
    assert max(found[:10]) <= min(found[10:])
