"""Which networks are made for a budget, and what stays as it was."""

import pytest

from nas.scaling.closing import WITHIN, Closing, repeated, step_of, widths_of
from nas.scaling.widening import template
from nas.setup import Setup
from search_spaces import Architecture

from .conftest import even, set_up_with


def widths(architecture: Architecture) -> list[int]:
    return [int(architecture.choices[name]) for name in widths_of(architecture)]


def test_layers_are_repeated_and_cut_off(surface: Setup) -> None:
    """The pattern of those that are there; decisions outside the layers stay."""
    base = even(surface, 2, 8, **{"layer1.width": 64}).choices
    deep = repeated(base, 5)
    assert [deep[f"layer{i}.width"] for i in range(5)] == [8, 64, 8, 64, 8]
    assert (deep["depth"], deep["output.operator"]) == (5, "linear")
    shallow = repeated(base, 1)
    assert "layer1.width" not in shallow
    assert repeated(base, 2) == dict(base)


def test_what_a_depth_brings_or_takes(surface: Setup) -> None:
    """One layer has nothing to connect; where there are two again, the first choice connects."""
    one = template(surface, even(surface, 3, 16), 1)
    assert "connectivity" not in one.choices
    assert template(surface, one, 2).choices["connectivity"] == "plain"


def test_heads_divide_every_width() -> None:
    """With eight of them only each eighth width can be, and the others are not tried."""
    setup = set_up_with(operators=["gat"], width=[64], heads=[8], depth=[3])
    base = even(setup, 3, 64)
    assert step_of(base) == 8
    budget = setup.facts(base)["macs"] * 0.4
    architecture, macs = Closing.of(setup).nearest(base, budget)
    assert all(width % 8 == 0 for width in widths(architecture))
    assert macs == pytest.approx(budget, rel=WITHIN)
    setup.space.network(architecture, setup.task)


def test_some_layers_go_before_others_where_one_factor_does_not_do() -> None:
    """Eight more in every layer is too much, so few have them; else all widths stay alike."""
    setup = set_up_with(operators=["gat"], width=[16], heads=[8], depth=[6])
    base = even(setup, 6, 16)
    at_16, at_24 = (
        Closing.of(setup).macs(Architecture("gnn", {**base.choices, **dict.fromkeys(names, width)}))
        for names, width in ((widths_of(base), 16), (widths_of(base), 24))
    )
    between, macs = Closing.of(setup).nearest(base, (at_16 + at_24) / 2)
    assert set(widths(between)) == {16, 24}
    assert macs == pytest.approx((at_16 + at_24) / 2, rel=WITHIN)
    assert set(widths(Closing.of(setup).nearest(base, at_24)[0])) == {24}


def test_the_narrowest_and_the_widest(surface: Setup) -> None:
    """Beyond what can be, the nearest: widths 1, and the widest that the space's option takes."""
    closing, base = Closing.of(surface), even(surface, 2, 16)
    assert widths(closing.nearest(base, 1.0)[0]) == [1, 1]
    assert widths(closing.nearest(base, 1e20)[0]) == [65_536, 65_536]


def test_everything_else_stays() -> None:
    """Operators, heads, activations and the recipe are those of the base."""
    setup = set_up_with(
        operators=["gat", "gcn"], heads=[2], activation=["elu"], lr=[0.1, 0.2], depth=[2]
    )
    base = even(setup, 2, 64, **{"layer1.operator": "gcn", "train.lr": 0.2})
    budget = setup.facts(base)["macs"] / 3
    scaled = Closing.of(setup).nearest(template(setup, base, 4), budget)[0].choices
    kept = {n: c for n, c in scaled.items() if not n.endswith(".width") and n != "depth"}
    assert kept.items() >= {n: c for n, c in base.choices.items() if n in kept}.items()
    assert [kept[f"layer{i}.operator"] for i in range(4)] == ["gat", "gcn", "gat", "gcn"]
    assert kept["train.lr"] == 0.2
