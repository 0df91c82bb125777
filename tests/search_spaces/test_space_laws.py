"""The laws of decisions, architectures and spaces, over random conditional spaces."""

import pickle
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import nn

from search_spaces import Architecture, Decision, SearchSpace, SpaceError, Task

# A sampler that is uniform fails a test here, with fresh seeds, once in a million runs.
FALSE_ALARM = 1e-6
# The same examples on every run, and no bound on the time of one.
LAW = settings(derandomize=True, max_examples=60)


def build_nothing(architecture: Architecture, task: Task) -> nn.Module:
    """Spaces of these tests are never built."""
    return nn.Identity()


CHOICES = st.one_of(
    st.lists(st.integers(-5, 99), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from("abcde"), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 1e-3]), min_size=1, max_size=3, unique=True),
)


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Up to six decisions, each needing up to two of those before; handed over in any order."""
    decisions: list[Decision] = []
    for i in range(draw(st.integers(1, 6))):
        recipe = draw(st.booleans())
        allowed = [d for d in decisions if recipe or d.role != "recipe"]
        parents: list[Decision] = []
        if allowed:
            parents = draw(st.lists(st.sampled_from(allowed), max_size=2, unique=True))
        needs = {
            p.name: tuple(draw(st.lists(st.sampled_from(p.choices), min_size=1, unique=True)))
            for p in parents
        }
        name = f"train.r{i}" if recipe else f"layer{i}.x"
        choices = tuple(draw(CHOICES))
        decisions.append(Decision(name, choices, needs, role="recipe" if recipe else "structure"))
    return SearchSpace("random", 1, tuple(draw(st.permutations(decisions))), build_nothing)


SEEDS = st.integers(0, 2**32 - 1)


@LAW
@given(spaces())
def test_size_is_the_number_of_architectures(space: SearchSpace) -> None:
    """Counting agrees with enumerating, with the recipe and without."""
    every = list(space)
    assert space.size(with_recipe=True) == len(every)
    assert space.size() == len({a.structure_key for a in every})


@LAW
@given(spaces())
def test_equal_keys_are_equal_architectures(space: SearchSpace) -> None:
    """No two architectures of a space share a key, a value or a vector."""
    every = list(space)
    assert len({a.key for a in every}) == len(set(every)) == len(every)
    assert len({space.encode(a) for a in every}) == len(every)


@LAW
@given(spaces())
def test_decode_undoes_encode(space: SearchSpace) -> None:
    """decode(encode(a)) == a, and the key is the same."""
    for architecture in space:
        back = space.decode(space.encode(architecture))
        assert (back, back.key) == (architecture, architecture.key)


@LAW
@given(spaces(), st.data())
def test_decode_takes_any_integers(space: SearchSpace, data: st.DataObject) -> None:
    """Whatever the vector, the architecture is one of the space."""
    n = len(space.decisions)
    vector = data.draw(st.lists(st.integers(-(10**9), 10**9), min_size=n, max_size=n))
    architecture = space.decode(vector)
    assert space.architecture(architecture.choices) == architecture
    with pytest.raises(SpaceError, match=f"has {n} decisions, got a vector of {n + 1}"):
        space.decode([*vector, 0])


@LAW
@given(spaces(), SEEDS)
def test_a_mutation_changes_one_active_decision(space: SearchSpace, seed: int) -> None:
    """Of the decisions active before, one has another choice; others only come or go."""
    rng = np.random.default_rng(seed)
    parent = space.sample(rng)
    assume(space.mutable(parent))
    child = space.mutate(parent, rng)
    both = parent.choices.keys() & child.choices.keys()
    assert len([name for name in both if parent.choices[name] != child.choices[name]]) == 1
    assert space.architecture(child.choices) == child


@LAW
@given(spaces(), SEEDS)
def test_a_child_takes_every_choice_from_a_parent(space: SearchSpace, seed: int) -> None:
    """Crossover invents nothing but what neither parent decides."""
    rng = np.random.default_rng(seed)
    first, second = space.sample(rng), space.sample(rng)
    child = space.crossover(first, second, rng)
    assert space.architecture(child.choices) == child
    for name, choice in child.choices.items():
        have = {p.choices[name] for p in (first, second) if name in p.choices}
        assert choice in have or not have


def test_both_parents_have_their_say() -> None:
    """Where both decide, each is followed half of the time, decision by decision."""
    decisions = tuple(Decision(f"layer{i}.x", (0, 1)) for i in range(3))
    space = SearchSpace("bits", 1, decisions, build_nothing)
    first, second = (space.architecture({d.name: bit for d in decisions}) for bit in (0, 1))
    rng = np.random.default_rng(0)
    children = Counter(space.crossover(first, second, rng).key for _ in range(2000))
    assert len(children) == 8
    assert chisquare(list(children.values())).pvalue > FALSE_ALARM


@LAW
@given(spaces(), SEEDS)
def test_sampling_keeps_what_is_given(space: SearchSpace, seed: int) -> None:
    """Given choices stay while they are active; the same generator gives the same architecture."""
    wanted = space.sample(np.random.default_rng(seed))
    assert space.sample(np.random.default_rng(seed)) == wanted
    assert space.sample(np.random.default_rng(seed + 1), wanted.choices) == wanted


def test_a_given_integer_becomes_the_number_that_is_offered() -> None:
    """1 is given for 1.0, as TOML files do: the key is that of 1.0."""
    space = SearchSpace("s", 1, (Decision("x", (0.5, 1.0)),), build_nothing)
    key = space.architecture({"x": 1.0}).key
    assert space.architecture({"x": 1}).key == key
    assert space.sample(np.random.default_rng(0), {"x": 1}).key == key


@LAW
@given(spaces())
def test_values_survive_pickling(space: SearchSpace) -> None:
    """Spaces, decisions and architectures come back equal, and as immutable as they were."""
    back = pickle.loads(pickle.dumps(space))  # noqa: S301 - our own bytes
    assert (back, back.digest) == (space, space.digest)
    for architecture in list(space)[:3]:
        copy = pickle.loads(pickle.dumps(architecture))  # noqa: S301 - our own bytes
        assert (copy, hash(copy), copy.key) == (architecture, hash(architecture), architecture.key)
        with pytest.raises(TypeError):
            copy.choices["new"] = 1
        assert Architecture.from_json(architecture.to_json()) == architecture


CONDITIONAL = SearchSpace(
    "conditional",
    1,
    (
        Decision("depth", (1, 2, 3)),
        Decision("layer1.operator", ("gcn", "gat"), {"depth": (2, 3)}),
        Decision("layer1.heads", (1, 2, 4, 8), {"layer1.operator": ("gat",)}),
        Decision("layer2.width", (16, 32), {"depth": (3,)}),
    ),
    build_nothing,
)


def least_p_value(space: SearchSpace, architectures: Iterable[Architecture]) -> float:
    """Of the chi-square tests that each decision, where it is active, is uniform."""
    drawn = list(architectures)
    p_values = []
    for decision in space.decisions:
        active = [a.choices[decision.name] for a in drawn if decision.name in a.choices]
        counts = Counter(active)
        p_values.append(chisquare([counts[c] for c in decision.choices]).pvalue)
    return min(p_values) * len(p_values)


def test_sampling_is_uniform_over_each_active_decision() -> None:
    """Parents first: each decision is uniform wherever it is asked, however many below it."""
    rng = np.random.default_rng(0)
    drawn = [CONDITIONAL.sample(rng) for _ in range(3000)]
    assert least_p_value(CONDITIONAL, drawn) > FALSE_ALARM
    # The control: uniform over whole architectures favors the deep, and is told apart.
    every = list(CONDITIONAL)
    drawn = [every[int(i)] for i in rng.integers(len(every), size=3000)]
    assert least_p_value(CONDITIONAL, drawn) < FALSE_ALARM


def test_mutation_is_uniform_over_decisions() -> None:
    """Each decision that is active, and has another choice, is as likely to change."""
    rng = np.random.default_rng(0)
    parent = CONDITIONAL.architecture({"depth": 2, "layer1.operator": "gat", "layer1.heads": 1})
    changed: Counter[str] = Counter()
    for _ in range(3000):
        child = CONDITIONAL.mutate(parent, rng)
        changed.update(n for n, c in parent.choices.items() if child.choices.get(n, c) != c)
    assert changed.keys() == parent.choices.keys()
    assert chisquare(list(changed.values())).pvalue > FALSE_ALARM
