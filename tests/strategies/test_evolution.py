"""Aging evolution: who leaves, who breeds, what a child is, and that it finds what is planted."""

from collections import Counter

import numpy as np
import pytest

from nas.strategies import Finished, StrategyError
from nas.strategies._base import generator
from search_spaces import Decision, SearchSpace
from search_spaces.equivalence import Equivalence
from search_spaces.morphism import reachable


def complete(ordinal, architecture, *losses):
    return Finished(ordinal, architecture, "complete", losses)


def run(planted, strategy, cycles, loss_of, remove_worst=False):
    """The population after each cycle, as sets of ordinals."""
    state, seen = strategy.initial(), []
    for ordinal in range(cycles):
        architecture = planted.propose(strategy, state, ordinal).architecture
        child = complete(ordinal, architecture, loss_of(ordinal, architecture))
        if remove_worst and len(state) == strategy.population:
            everybody = (*state, child)
            worst = max(everybody, key=lambda t: t.losses[0])
            state = tuple(t for t in everybody if t is not worst)
        else:
            state = strategy.fold(state, child)
        seen.append({t.ordinal for t in state})
    return seen


def test_a_lucky_individual_leaves_with_age(planted):
    """An unbeatable measurement is gone after P cycles; by removing the worst it never goes."""
    strategy = planted.build("evolution", planted.flat(), population=20, sample=5)
    lucky = 7

    def loss_of(ordinal, architecture):
        return -1e9 if ordinal == lucky else -planted.reward(architecture, 0)

    aging = run(planted, strategy, 100, loss_of)
    assert all((lucky in living) == (lucky <= at < lucky + 20) for at, living in enumerate(aging))
    assert all(len(living) == min(at + 1, 20) for at, living in enumerate(aging))
    control = run(planted, strategy, 100, loss_of, remove_worst=True)
    assert all(lucky in living for living in control[lucky:])


def test_a_child_differs_from_its_parent_in_one_decision(planted):
    """With every ancestor equal, the parent is known; decisions switched on do not count."""
    space = planted.conditional()
    strategy = planted.build("evolution", space, population=4)
    rng = generator(5, 0)
    for ordinal in range(50):
        parent = space.sample(rng)
        state = planted.folded(strategy, [complete(i, parent, 0.0) for i in range(4)])
        child = planted.propose(strategy, state, ordinal).architecture
        changed = [n for n in parent.choices if n in child.choices]
        assert sum(parent.choices[n] != child.choices[n] for n in changed) == 1


def alike(choices):
    """The order of the decisions does not matter."""
    return tuple(sorted(choices.values()))


def test_a_child_is_another_architecture_where_descriptions_are_equivalent(planted):
    """Some descriptions of parent and child differ in one decision, and they are never the same.

    The control is crossover with a second parent, whose children can be farther off.
    """
    names = tuple(f"d{i}" for i in range(4))
    asked = tuple(Decision(name, tuple(range(5))) for name in names)
    space = SearchSpace(
        "alike", 1, asked, planted.no_network, equivalence=Equivalence(names, alike)
    )
    rng = generator(6, 0)

    def differences(crossover):
        strategy = planted.build("evolution", space, population=2, sample=9, crossover=crossover)
        for ordinal in range(60):
            best, other = space.sample(rng), space.sample(rng)
            people = [complete(0, best, 0.0), complete(1, other, 0.0 if crossover else 9.0)]
            child = planted.propose(strategy, planted.folded(strategy, people), ordinal)
            mine, theirs = Counter(alike(child.architecture.choices)), Counter(alike(best.choices))
            yield (mine - theirs).total()

    assert set(differences(0.0)) == {1}
    assert max(differences(1.0)) > 1


def test_a_sample_of_one_is_a_random_walk(planted):
    """Every individual breeds as often; with a sample of ten, the best breeds most.

    Chi-square with 9 degrees of freedom, limit 27.9: false alarm once in 1000 seeds.
    """
    space = planted.flat(decisions=30, choices=4)
    rng = generator(1, 0)
    people = [complete(i, space.sample(rng), float(i)) for i in range(10)]

    def chi_square(sample):
        strategy = planted.build("evolution", space, population=10, sample=sample)
        state = planted.folded(strategy, people)
        parents = Counter()
        for ordinal in range(500):
            child = np.array(space.encode(planted.propose(strategy, state, ordinal).architecture))
            near = [int((child != space.encode(p.architecture)).sum()) for p in people]
            assert min(near) == 1
            parents[near.index(1)] += 1
        return sum((parents[i] - 50) ** 2 / 50 for i in range(10))

    assert chi_square(1) < 27.9
    assert chi_square(10) > 100


def test_the_tournament_prefers_feasible_then_near_feasible(planted):
    """Feasible and measured, pruned, nearly feasible, far off; failed ones do not even join."""
    space = planted.flat(decisions=30)
    rng = generator(2, 0)
    ranks = [
        Finished(0, space.sample(rng), "infeasible", (-9.0,), 2.0),
        Finished(1, space.sample(rng), "infeasible", None, 0.1),
        Finished(2, space.sample(rng), "pruned", None),
        complete(3, space.sample(rng), 5.0),
        complete(4, space.sample(rng), 1.0),
    ]
    for size in range(1, 6):
        people = ranks[:size]
        strategy = planted.build("evolution", space, population=size, sample=60)
        state = planted.folded(strategy, people)
        failed = Finished(9, space.sample(rng), "failed", None)
        assert strategy.fold(state, failed) == state
        child = np.array(space.encode(planted.propose(strategy, state, 1).architecture))
        assert (child != space.encode(people[-1].architecture)).sum() == 1


def test_crossover_takes_from_two_parents(planted):
    """With crossover, children differ in several decisions, each of which some parent has."""
    space = planted.flat(decisions=12, choices=4)
    zeros, ones = space.decode([0] * 12), space.decode([1] * 12)
    strategy = planted.build("evolution", space, population=2, sample=1, crossover=1.0)
    state = planted.folded(strategy, [complete(0, zeros, 0.0), complete(1, ones, 0.0)])
    mixed = 0
    for ordinal in range(40):
        choices = list(planted.propose(strategy, state, ordinal).architecture.choices.values())
        assert sum(c not in (0, 1) for c in choices) <= 1
        mixed += 3 <= choices.count(0) <= 9
    assert mixed > 5


@pytest.mark.parametrize("informed", [True, False], ids=["planted", "shuffled"])
def test_it_beats_random_search_on_a_planted_reward(planted, informed):
    """300 trials, 14 paired seeds: better in at least 12; with shuffled losses it is not.

    Sign test: were both alike, 12 of 14 would happen by chance with probability 0.0065.
    """
    space, wins = planted.flat(decisions=12, choices=6), 0
    for seed in range(14):
        noise = np.random.default_rng([seed, 7])

        def losses_of(architecture, ordinal, seed=seed, noise=noise):
            shown = architecture if informed else space.sample(noise)
            return (-planted.reward(shown, seed),)

        best = {}
        for name in ("evolution", "random"):
            tried = planted.search(planted.build(name, space, seed=seed), 300, losses_of)
            best[name] = max(planted.reward(a, seed) for a in tried)
        wins += best["evolution"] > best["random"]
    assert (wins >= 12) == informed


def sage(space, width, depth=1, **choices):
    """Layers of `sage` and ReLU, plain."""
    given = {"depth": depth, "connectivity": "plain", "pre.layers": 0, "post.layers": 0, **choices}
    for i in range(depth):
        layer = {"operator": "sage", "width": width, "normalization": "none", "activation": "relu"}
        given |= {f"layer{i}.{name}": choice for name, choice in layer.items()}
    return space.fill(lambda d: d.choices[0], given)


def children(planted, inherit, count=60, people=None):
    """What is proposed of one parent, trial 3."""
    space = planted.networks(depth=(1, 2), operators=("sage", "gcn"), hops=None)
    strategy = planted.build("evolution", space, population=1, sample=1, inherit=inherit)
    parent = complete(3, sage(space, 16), 0.0) if people is None else people(space)
    state = planted.folded(strategy, [parent])
    return space, parent, [planted.propose(strategy, state, ordinal) for ordinal in range(count)]


def test_without_inheritance_nothing_is_noted(planted):
    """As before there was any: the control of what follows."""
    _, _, proposals = children(planted, "none")
    assert {(p.inherit, len(p.note)) for p in proposals} == {(None, 0)}


def test_a_child_starts_from_its_parent_where_layers_are_alike(planted):
    _, _, proposals = children(planted, "alike")
    assert {(p.inherit, p.inherit_by, p.note["parent"]) for p in proposals} == {(3, "alike", 3)}
    _, _, fresh = children(planted, "none")
    assert [p.architecture for p in fresh] == [p.architecture for p in proposals]


def test_a_child_starts_from_its_parent_where_that_can_grow_into_it(planted):
    """The others begin anew, and say why."""
    space, parent, proposals = children(planted, "morphism")
    grown = [p for p in proposals if p.inherit is not None]
    anew = [p for p in proposals if p.inherit is None]
    assert grown
    assert anew
    for p in grown:
        assert (p.inherit, p.inherit_by, dict(p.note)) == (3, "morphism", {"parent": 3})
        assert reachable(space, None, parent.architecture, p.architecture) is None
    for p in anew:
        reason = reachable(space, None, parent.architecture, p.architecture)
        assert dict(p.note) == {"parent": 3, "new weights": reason}
    said = " ".join(str(p.note["new weights"]) for p in anew)
    assert "layer0.operator: sage in the parent, gcn in the child" in said
    assert "pre.layers: 0 in the parent, 1 in the child" in said


def test_who_was_never_trained_leaves_nothing(planted):
    """An infeasible parent that broke a bound on what is known of it."""

    def infeasible(space):
        return Finished(3, sage(space, 16), "infeasible", None, 0.5)

    _, _, proposals = children(planted, "morphism", people=infeasible)
    assert {p.inherit for p in proposals} == {None}
    assert {p.note["new weights"] for p in proposals} == {
        "the parent broke a bound before it was trained"
    }


def test_growing_is_refused_for_spaces_that_say_nothing_of_their_networks(planted):
    """By the option; to inherit where layers are alike is not."""
    planted.build("evolution", planted.flat(), inherit="alike")
    said = r'inherit: "morphism" is for spaces of networks that grow, got "flat"'
    with pytest.raises(StrategyError, match=said):
        planted.build("evolution", planted.flat(), inherit="morphism")
