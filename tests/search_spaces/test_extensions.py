"""Extensions: what they add to a space, and what of it identifies the space."""

from dataclasses import replace

import pytest
import torch
from fakes import shifting, space, stretching
from torch import Tensor, nn

from search_spaces import (
    Architecture,
    Choice,
    Decision,
    SearchSpace,
    SpaceError,
    SpaceExtension,
    Task,
)
from search_spaces.parts import Part

TASK = Task("node_classification", 3, 2, 5, 8, 1, 2, 2, 1, "accuracy", "made up")


def base() -> SearchSpace:
    return space.build(TASK, kinds=("plain",), widths=(4,), levels=2)


def extended(*extensions: SpaceExtension) -> SearchSpace:
    made = base()
    for extension in extensions:
        made = made.extended(extension)
    return made


STRETCH = stretching.build(base(), TASK)
SHIFT = shifting.build(base(), TASK)


def outputs(of: SearchSpace, stretch: int, shift: int) -> Tensor:
    chosen: dict[str, Choice] = {"kind": "plain", "width": 4, "a": 0, "b": 0, "train.lr": 0.1}
    architecture = of.architecture({**chosen, "stretch": stretch, "shift": shift})
    torch.manual_seed(0)
    network = of.network(architecture, TASK)
    torch.manual_seed(1)
    made: Tensor = network(torch.randn(5, 3), torch.zeros(2, 0, dtype=torch.int64))
    return made.detach()


def test_transforms_run_in_the_order_in_which_they_were_added() -> None:
    """Stretched and then shifted, or shifted and then stretched."""
    one, other = extended(STRETCH, SHIFT), extended(SHIFT, STRETCH)
    plain = outputs(one, 1, 1) - 1
    torch.testing.assert_close(outputs(one, 3, 2), 3 * plain + 2)
    torch.testing.assert_close(outputs(other, 3, 2), 3 * (plain + 2))


def test_the_order_is_part_of_what_the_space_is() -> None:
    one, other = extended(STRETCH, SHIFT), extended(SHIFT, STRETCH)
    assert one.name == "fake+stretched+shifted"
    assert len({one.digest, other.digest, base().digest}) == 3
    same = [a.choices for a in (next(iter(one)), next(iter(other)))]
    assert same[0] == same[1]
    assert next(iter(one)).key != next(iter(other)).key


def test_a_space_has_the_decisions_of_both() -> None:
    assert extended(STRETCH, SHIFT).size() == 9 * base().size()
    assert base().size() == base().extended(STRETCH).size() / 3


def test_the_version_of_an_extension_is_the_spaces_too() -> None:
    one, other = extended(STRETCH), extended(replace(STRETCH, version=2))
    assert (base().versions, one.versions, other.versions) == (1, [1, 1], [1, 2])
    assert one.digest != other.digest
    assert one.digest == extended(STRETCH).digest


def test_a_decision_of_a_name_that_is_taken_is_refused() -> None:
    taken = SpaceExtension("again", (Decision("width", (1, 2)),), stretching.stretched)
    with pytest.raises(SpaceError, match="width"):
        base().extended(taken)
    with pytest.raises(SpaceError, match="stretch"):
        extended(STRETCH, STRETCH)


def test_a_fact_that_two_bring_is_refused() -> None:
    facts = {"doubled": stretching.doubled}
    both = replace(STRETCH, facts=facts), replace(SHIFT, facts=facts)
    with pytest.raises(SpaceError, match=r'"shifted" brings the fact "doubled" a second time'):
        extended(*both)
    assert set(extended(both[0], SHIFT).facts) == {"doubled"}


def test_its_decisions_may_need_those_of_the_space() -> None:
    decision = Decision("stretch", (1, 2), {"a": (1,)})
    made = base().extended(SpaceExtension("some", (decision,), only_some))
    assert {a.choices.get("stretch") for a in made} == {None, 1, 2}
    assert all(("stretch" in a.choices) == (a.choices["a"] == 1) for a in made)
    unknown = Decision("stretch", (1, 2), {"depth": (1,)})
    with pytest.raises(SpaceError, match="depth"):
        base().extended(SpaceExtension("some", (unknown,), only_some))


def only_some(network: nn.Module, architecture: Architecture, task: Task) -> nn.Module:
    return network


def no_parts(architecture: Architecture, task: Task) -> tuple[Part, ...]:
    return ()


def test_what_a_network_is_put_together_from_is_not_told_of_a_transformed_one() -> None:
    """Its parts would leave out what the transform does."""
    with_parts = replace(base(), parts=no_parts)
    assert with_parts.parts is not None
    assert with_parts.extended(STRETCH).parts is None


def _named(network: nn.Module, name: str) -> nn.Module:
    network.left = (*getattr(network, "left", ()), name)  # type: ignore[assignment]
    return network


def _leaves_first(network: nn.Module, architecture: Architecture) -> nn.Module:
    del architecture
    return _named(network, "first")


def _leaves_last(network: nn.Module, architecture: Architecture) -> nn.Module:
    del architecture
    return _named(network, "last")


def test_what_leaves_is_undone_from_the_last_extension_on() -> None:
    """In a copy: the network that was trained stays as it is; without any, it is the one itself."""
    of = extended(replace(STRETCH, deploy=_leaves_first), replace(SHIFT, deploy=_leaves_last))
    architecture = next(iter(of))
    network = of.network(architecture, TASK)
    left = of.deployed(network, architecture)
    assert left.left == ("last", "first")
    assert not hasattr(network, "left")
    assert extended(STRETCH).deployed(network, architecture) is network
