"""Keys that never change, errors that say what to do, and imports that stay light."""

import os
import subprocess
import sys
from typing import Any

import pytest
from torch import nn

from search_spaces import Architecture, Decision, SearchSpace, SpaceError, SpaceExtension, Task

CHOICES = {"depth": 1, "layer0.operator": "gcn", "layer0.width": 16, "train.lr": 0.01}
KEY = "eef0b56c7635338ee33b2b123482de48"
STRUCTURE_KEY = "0c31e6cc7dd008fabb91defc3546df04"


def build_identity(architecture: Architecture, task: Task) -> nn.Module:
    return nn.Identity()


def space(*decisions: Decision) -> SearchSpace:
    return SearchSpace("s", 1, decisions, build_identity)


def test_the_key_is_this_one_for_good() -> None:
    """Stored studies are looked up by it: a change here orphans every one of them."""
    assert Architecture("gnn", CHOICES).key == KEY
    assert Architecture("gnn", CHOICES).structure_key == STRUCTURE_KEY


def test_the_order_of_choices_is_not_in_the_key() -> None:
    """Nor is the recipe in the key of the structure; everything else is."""
    backwards = Architecture("gnn", dict(reversed(CHOICES.items())))
    assert (backwards, backwards.key) == (Architecture("gnn", CHOICES), KEY)
    other = Architecture("gnn", {**CHOICES, "train.lr": 0.1})
    assert (other.key == KEY, other.structure_key) == (False, STRUCTURE_KEY)
    assert Architecture("other", CHOICES).key != KEY
    assert other.recipe == {"lr": 0.1}
    assert "train.lr" not in other.structure


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_key_is_the_same_in_every_process(hash_seed: str) -> None:
    """Whatever the seed of Python's hashes; and values need neither torch nor PyG."""
    code = (
        "import sys\n"
        "from search_spaces import Architecture\n"
        f"print(Architecture('gnn', {CHOICES!r}).key)\n"
        "print([m for m in ('torch', 'torch_geometric') if m in sys.modules])"
    )
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == [KEY, "[]"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "Layer 0"}, "lower-case words joined by dots, got 'Layer 0'"),
        ({"name": "train.lr"}, 'recipe decisions, and no others, are named "train...."'),
        ({"role": "recipe"}, 'has role recipe: recipe decisions, and no others, are named "train'),
        ({"role": "colour"}, "expected role structure, recipe or compression, got 'colour'"),
        ({"choices": ()}, '"x" has no choices; give at least one'),
        ({"choices": (1, 1.0)}, r"choices of one type .* got \[1, 1.0\]"),
        ({"choices": (True,)}, r"choices of one type .* got \[True\]"),
        ({"choices": (float("nan"),)}, "not finite"),
        ({"choices": (2, 2)}, "a choice is repeated"),
    ],
)
def test_a_broken_decision_is_refused(arguments: dict[str, Any], message: str) -> None:
    """With what was expected and what came."""
    with pytest.raises(SpaceError, match=message):
        Decision(**{"name": "x", "choices": (1, 2), **arguments})


A, B = Decision("a", (1, 2)), Decision("b", (1, 2), {"a": (1,)})
BROKEN_SPACES = {
    "twice": ((A, A), 'decision "a" is there twice'),
    "unknown": ((A, Decision("b", (1,), {"aa": (1,)})), 'not a decision; did you mean "a"'),
    "choice": ((A, Decision("b", (1,), {"a": (3,)})), r'needs "a" in \[3\]; its choices are'),
    "nothing": ((A, Decision("b", (1,), {"a": ()})), r'needs "a" in \[\]'),
    "cycle": ((B, Decision("a", (1,), {"b": (1,)})), "need each other in a cycle: b, a"),
    "recipe": (
        (Decision("train.a", (1,), role="recipe"), Decision("b", (1,), {"train.a": (1,)})),
        'shapes the network and cannot need "train.a"',
    ),
}


@pytest.mark.parametrize("case", BROKEN_SPACES)
def test_a_broken_space_is_refused(case: str) -> None:
    """With the decisions that contradict each other."""
    decisions, message = BROKEN_SPACES[case]
    with pytest.raises(SpaceError, match=message):
        space(*decisions)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"a": 1}, '"b" is active and has no choice; expected one of'),
        ({"a": 3}, r'"a" expected one of \[1, 2\], got 3'),
        ({"a": True, "b": 1}, r'"a" expected one of \[1, 2\], got true'),
        ({"a": 2, "b": 1}, r'"b" is not active here, it needs .*; leave it out'),
        ({"a": 2, "bb": 1}, 'no decision "bb"; did you mean "b"'),
    ],
)
def test_choices_that_do_not_fit_are_refused(choices: dict[str, Any], message: str) -> None:
    """Nothing is filled in or dropped silently."""
    with pytest.raises(SpaceError, match=message):
        space(A, B).architecture(choices)


def test_a_space_of_one_cannot_mutate() -> None:
    """There is nowhere to go."""
    import numpy as np

    alone = space(Decision("a", (1,)))
    with pytest.raises(SpaceError, match="nothing to mutate"):
        alone.mutate(next(iter(alone)), np.random.default_rng(0))


def wrap(network: nn.Module, architecture: Architecture, task: Task) -> nn.Module:
    return nn.Sequential(network, nn.Hardtanh(max_val=float(architecture.choices["bits"])))


def test_an_extension_adds_decisions_and_a_transform() -> None:
    """Any space can have bit widths: its size multiplies and its networks are transformed."""
    bits = Decision("bits", (4, 8), role="compression")
    extended = space(A, B).extended(SpaceExtension("bits", (bits,), wrap))
    assert extended.name == "s+bits"
    assert extended.size() == 2 * space(A, B).size()
    task = Task("node_classification", 3, 2, 9, 9, 1, 3, 3, 3, "accuracy", "f")
    network = extended.network(extended.architecture({"a": 2, "bits": 8}), task)
    assert isinstance(network, nn.Sequential)
    assert network[1].max_val == 8
    assert extended.digest != space(A, B).digest
