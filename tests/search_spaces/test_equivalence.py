"""Spaces in which different choices describe the same architecture, over random equivalences."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import nn

from search_spaces import Architecture, Decision, SearchSpace, SpaceError, SpaceExtension, Task
from search_spaces.equivalence import Equivalence

FALSE_ALARM = 1e-6
LAW = settings(derandomize=True, max_examples=40)
SEEDS = st.integers(0, 2**32 - 1)


def build_nothing(architecture: Architecture, task: Task) -> nn.Module:
    return nn.Identity()


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Two or three decisions whose sum, modulo a number, is all that matters; others beside."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=2, max_size=3))
    modulus = draw(st.integers(2, 5))
    nothing = draw(st.booleans()) and sum(sizes) > len(sizes)

    def form(choices: dict[str, int]) -> int | None:
        total = sum(choices.values())
        return None if nothing and total == 0 else total % modulus

    about = [Decision(f"same{i}", tuple(range(size))) for i, size in enumerate(sizes)]
    beside = [Decision("beside", ("a", "b")), Decision("train.lr", (0.1, 0.2), role="recipe")]
    names = tuple(d.name for d in about)
    return SearchSpace(
        "random", 1, tuple(about + beside), build_nothing, equivalence=Equivalence(names, form)
    )


def meaning(space: SearchSpace, architecture: Architecture) -> tuple[object, ...]:
    """What the choices stand for, found without the space's own classes."""
    about = {name: architecture.choices[name] for name in space.equivalence.decisions}
    rest = {n: c for n, c in architecture.choices.items() if n not in about}
    return space.equivalence.form(about), tuple(sorted(rest.items()))


@LAW
@given(spaces(), SEEDS)
def test_equal_keys_are_equal_meanings(space: SearchSpace, seed: int) -> None:
    """Whatever way an architecture is made, its key is that of its meaning."""
    by_meaning = {meaning(space, a): a for a in space}
    assert len(by_meaning) == len(list(space)) == space.size(with_recipe=True)
    assert space.size() * 2 == space.size(with_recipe=True)
    rng = np.random.default_rng(seed)
    first, second = space.sample(rng), space.sample(rng)
    made = [first, second, space.crossover(first, second, rng)]
    made += [space.decode(rng.integers(0, 99, len(space.decisions)).tolist()) for _ in range(5)]
    if space.mutable(first):
        made += [space.mutate(first, rng) for _ in range(5)]
    made += space.neighbors(first, rng)
    for architecture in made:
        assert architecture == by_meaning[meaning(space, architecture)]
        assert space.decode(space.encode(architecture)) == architecture
        assert space.architecture(architecture.choices) == architecture


@LAW
@given(spaces(), SEEDS)
def test_neighbors_are_one_decision_of_some_description_away(space: SearchSpace, seed: int) -> None:
    """Exactly those, found here by trying every change of every description; mutants are among
    them, and neither is the architecture itself.
    """
    rng = np.random.default_rng(seed)
    architecture = space.sample(rng)
    names = [d.name for d in space.decisions]
    expected = set()
    for description in np.ndindex(*(len(d.choices) for d in space.decisions)):
        choices = {d.name: d.choices[i] for d, i in zip(space.decisions, description, strict=True)}
        if meaning(space, Architecture("x", choices)) != meaning(space, architecture):
            continue
        for name in names:
            for choice in space.by_name[name].choices:
                try:
                    expected.add(space.architecture({**choices, name: choice}))
                except SpaceError:
                    assert meaning(space, Architecture("x", {**choices, name: choice}))[0] is None
    neighbors = space.neighbors(architecture, rng)
    assert set(neighbors) == expected - {architecture}
    assert len(set(neighbors)) == len(neighbors)
    if neighbors:
        assert {space.mutate(architecture, rng) for _ in range(20)} <= set(neighbors)


def doubled(choices: dict[str, int]) -> int:
    """Four descriptions of one architecture, one each of three others."""
    return max(0, choices["same"] - 3)


def test_sampling_is_uniform_over_architectures_and_not_over_descriptions() -> None:
    """One architecture in four is drawn a quarter of the time although it has most descriptions."""
    decisions = (Decision("same", tuple(range(7))), Decision("beside", ("a", "b")))
    about = Equivalence(("same",), doubled)
    space = SearchSpace("s", 1, decisions, build_nothing, equivalence=about)
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(4000)]
    counts = [drawn.count(a) for a in space]
    assert len(counts) == 8
    assert chisquare(counts).pvalue > FALSE_ALARM
    flat = SearchSpace("s", 1, decisions, build_nothing)
    control = [doubled(dict(flat.sample(rng).choices)) for _ in range(4000)]
    assert chisquare([control.count(i) for i in range(4)]).pvalue < FALSE_ALARM


def same_network(network: nn.Module, architecture: Architecture, task: Task) -> nn.Module:
    return network


def test_jobs_travel_without_the_classes() -> None:
    """A space that has been searched is as small a file as a new one, and the same space."""
    about = Equivalence(("same",), doubled)
    new = SearchSpace(
        "s", 1, (Decision("same", tuple(range(7))),), build_nothing, equivalence=about
    )
    fresh = len(pickle.dumps(new))
    assert new.size() == 4
    assert "_classes" in vars(new)
    assert abs(len(pickle.dumps(new)) - fresh) < 200
    assert pickle.loads(pickle.dumps(new)).size() == 4  # noqa: S301 - our own, a line ago


def no_form(choices: dict[str, int]) -> None:
    return None


def test_equivalences_that_cannot_be() -> None:
    """Each is refused with the decision, or the number, that is wrong."""
    free = Decision("free", (0, 1))
    bound = Decision("bound", (0, 1), needs={"free": (1,)})
    wide = tuple(Decision(f"d{i}", tuple(range(11))) for i in range(6))
    cases = [
        ((free, bound), ("bound",), doubled, '"bound"'),
        ((free, bound), ("free",), doubled, '"free"'),
        ((free,), ("other",), doubled, '"other"'),
        (wide, tuple(d.name for d in wide), doubled, "1,000,000"),
        ((free,), ("free",), no_form, "no description"),
    ]
    for decisions, names, form, message in cases:
        about = Equivalence(names, form)
        space = SearchSpace("s", 1, decisions, build_nothing, equivalence=about)
        with pytest.raises(SpaceError, match=message):
            space.size()


def test_extensions_keep_the_equivalence() -> None:
    """Bits beside a cell: the cells that were the same still are."""
    about = Equivalence(("same",), doubled)
    space = SearchSpace(
        "s", 1, (Decision("same", tuple(range(7))),), build_nothing, equivalence=about
    )
    bits = SpaceExtension("bits", (Decision("bits", (4, 8)),), same_network)
    assert space.size() == 4
    assert space.extended(bits).size() == len(list(space.extended(bits))) == 8
