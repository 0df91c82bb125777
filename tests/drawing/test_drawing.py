"""Architectures drawn: who reads whom, every decision, and no markup but our own."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from torch import nn

from nas import drawing
from nas.contracts.graphs import graph_set, node_graph
from nas.contracts.test_space import unsaid
from nas.drawing._layout import Metrics, layout
from search_spaces import Architecture, Decision, SearchSpace, Task, gnn, plugins
from search_spaces.nas_bench_graph import LINKS, NODES, cell
from search_spaces.picture import Box, Picture

TASK, GRAPHS = node_graph().task, graph_set().task
TAG = "{http://www.w3.org/2000/svg}"


def layers(depth: int, connectivity: str, **more: Any) -> Architecture:
    """So many layers; `more` with `__` for dots."""
    choices: dict[str, Any] = {"depth": depth, "connectivity": connectivity}
    for i in range(depth):
        own = {"operator": "gcn", "width": 8, "normalization": "none", "activation": "relu"}
        choices |= {f"layer{i}.{name}": choice for name, choice in own.items()}
    choices |= {"pre.layers": 0, "post.layers": 0, "output.operator": "linear"}
    choices |= {name.replace("__", "."): choice for name, choice in more.items()}
    return Architecture("gnn", choices)


def arrows(picture: Picture) -> set[tuple[str, str]]:
    """By the names of boxes; sums by a + and what number they have."""
    names = [box.name or f"{box.title}{place}" for place, box in enumerate(picture.boxes)]
    return {(names[source], names[target]) for source, target in picture.arrows}


CONNECTED: Mapping[str, set[tuple[str, str]]] = {
    "plain": {("layer0", "layer1"), ("layer1", "output")},
    "residual": {
        ("layer0", "+2"),
        ("input", "+2"),
        ("+2", "layer1"),
        ("layer1", "+4"),
        ("+2", "+4"),
        ("+4", "output"),
    },
    "dense": {("layer0", "layer1"), ("input", "layer1"), ("layer1", "output")},
    "jk": {("layer0", "layer1"), ("layer0", "jk"), ("layer1", "jk"), ("jk", "output")},
}


@pytest.mark.parametrize("connectivity", CONNECTED)
def test_arrows_are_the_networks(connectivity: str) -> None:
    """Each connectivity has its own, and nothing else differs."""
    more = {"jk__mode": "cat"} if connectivity == "jk" else {}
    found = arrows(drawing.picture(layers(2, connectivity, **more)))
    assert found == {("input", "layer0"), *CONNECTED[connectivity]}


def test_text_is_boxes_and_lines() -> None:
    """As it is printed, and in ASCII where a terminal has no other characters."""
    residual = layers(1, "residual")
    assert drawing.text(residual, TASK).splitlines() == [
        "   ┌─ input ──────────────┐",
        "   │ 6 features           │",
        "   │ 90 nodes · 446 edges │",
        "   └───────────┬──────────┘",
        "               ├─────────────────┐",
        "               ▼                 │",
        "┌─ layer0 ───────────────────┐   │",
        "│ gcn                        │   │",
        "│ width 8 · norm none · relu │   │",
        "└──────────────┬─────────────┘   │",
        "               ├─────────────────┘",
        "               ▼",
        "             ( + )",
        "               ▼",
        "         ┌─ output ──┐",
        "         │ linear    │",
        "         │ 3 classes │",
        "         └───────────┘",
        "besides: depth 1, connectivity residual, pre.layers 0, post.layers 0",
    ]
    plain = drawing.text(residual, TASK, encoding="ascii")
    assert plain.isascii()
    assert [len(line) for line in plain.splitlines()] == [
        len(line) for line in drawing.text(residual, TASK).splitlines()
    ]


def test_what_is_too_wide_is_a_list() -> None:
    """One line a box with what it reads, and no line of the drawing."""
    deep = layers(40, "dense")
    text = drawing.text(deep, width=80)
    assert "│" not in text
    assert "  1  layer0, gcn, width 8 · norm none · relu  <- 0" in text.splitlines()
    assert "│" in drawing.text(deep, width=1000)


def test_a_layer_that_is_skipped_is_noted() -> None:
    """It is not in the network, and so in no box."""
    picture = drawing.picture(layers(2, "plain", layer0__operator="skip"))
    assert [box.name for box in picture.boxes] == ["input", "layer1", "output"]
    assert "layer0.operator skip" in picture.notes[0]


@pytest.mark.parametrize("links", LINKS)
def test_cells_have_the_networks_leaves(links: str) -> None:
    """What is joined is what the network joins, skips of the cell's input left out."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        operators = {name: str(rng.choice(["gcn", "linear", "skip"])) for name in NODES}
        one = Architecture("nas_bench_graph", {"links": links, **operators})
        picture = drawing.picture(one, TASK)
        joins = [i for i, box in enumerate(picture.boxes) if box.name == "cell"]
        target = joins[0] if joins else len(picture.boxes) - 1
        drawn = [source for source, reader in picture.arrows if reader == target]
        assert len(drawn) == _leaves(cell(one.choices) or ()), one


def _leaves(trees: tuple[Any, ...]) -> int:
    return sum(_leaves(below) or 1 for _, below in trees)


@pytest.mark.parametrize("name", plugins.names("extension"))
def test_decisions_of_extensions_are_drawn(name: str) -> None:
    """With their own options; where a layer has some of its own, in its box."""
    space = gnn.build(TASK, depth=(2,), operators=("gcn", "gat"))
    options = {"per_layer": True} if name == "quantization" else {}
    space = space.extended(plugins.load("extension", name).build(space, TASK, **options))
    rng = np.random.default_rng(0)
    for _ in range(20):
        one = space.sample(rng)
        picture = drawing.picture(one, TASK)
        assert not unsaid(picture, one)
        assert picture == drawing.picture(one, TASK, space=space)
        if name == "quantization":
            layer = next(box for box in picture.boxes if box.name == "layer0")
            bits = one.choices["quantization.layer0.weight_bits"]
            assert f"weight_bits {bits}" in " · ".join(layer.told)


def test_a_decision_that_is_not_drawn_is_missed() -> None:
    """The control of the contract: it finds what is in no box and no note."""
    one = layers(1, "plain", train__lr=0.01)
    picture = drawing.picture(one)
    assert not unsaid(picture, one)
    less = Picture(picture.boxes[:1], (), picture.notes[:1])
    assert unsaid(less, one) == {n for n in one.choices if n.startswith(("layer0", "output"))} | {
        "train.lr"
    }


def _nothing(architecture: Architecture, task: Task) -> nn.Module:
    raise NotImplementedError


def _failing(architecture: Architecture, task: Task | None) -> Picture:
    raise KeyError("depth")


def _own(architecture: Architecture, task: Task | None) -> Picture:
    return Picture((Box("start", "a"), Box("end", "b")), ((0, 1),))


def test_spaces_of_ones_own_are_drawn_by_name() -> None:
    """Numbered steps follow each other by number; otherwise one box has all that is decided."""
    choices = {f"block{i}.kind": f"k{i}" for i in (0, 10, 2)} | {"free": 1, "train.lr": 0.1}
    picture = drawing.picture(Architecture("mine", choices))
    assert [box.name for box in picture.boxes] == ["input", "block0", "block2", "block10", "output"]
    assert picture.notes == ("besides: free 1", "trained with: lr 0.1")
    flat = drawing.picture(Architecture("mine", {"operator": "gat", "heads": 2}))
    assert [box.told for box in flat.boxes][1] == ("operator gat · heads 2",)


def test_a_space_says_how_it_is_drawn() -> None:
    """Its `draw` is used, extended too; one that fails falls back on the names of decisions."""
    decision = (Decision("x", (1, 2)),)
    extension = plugins.load("extension", "neighborhood")
    own = SearchSpace("mine", 1, decision, _nothing, draw=_own)
    for space in (own, own.extended(extension.build(own, TASK))):
        one = space.sample(np.random.default_rng(0))
        picture = drawing.picture(one, space=space)
        assert [box.title for box in picture.boxes] == ["a", "b"]
        assert picture.notes[0].startswith("besides: x ")
    failing = SearchSpace("mine", 1, decision, _nothing, draw=_failing)
    one = failing.sample(np.random.default_rng(0))
    assert drawing.picture(one, space=failing) == drawing.picture(one)


def test_svg_is_escaped_small_and_of_one_color() -> None:
    """Names from anywhere are text; colors are the page's, and no rule of it reaches the page."""
    evil = Architecture("<b>&\"'\x00", {"operator": "</text><script>alert(1)</script>\x08&"})
    image = drawing.svg(evil, GRAPHS)
    root = ElementTree.fromstring(image)  # noqa: S314 - our own
    assert not list(root.iter(f"{TAG}script"))
    words = [element.text for element in root.iter(f"{TAG}text")]
    assert "operator </text><script>alert(1)</script>&" in words
    typical = drawing.svg(layers(3, "jk", jk__mode="max"), TASK)
    assert len(typical) < 4_000
    assert typical._repr_svg_() == typical
    for element in ElementTree.fromstring(typical).iter():  # noqa: S314 - our own
        assert element.get("class") is None
        assert {element.get("fill"), element.get("stroke")} <= {None, "none", "currentColor"}
    assert typical.count("<style>") == typical.count("<style>svg:root{") == 1


def test_no_box_lies_on_another_and_no_line_on_a_box() -> None:
    """Whatever reads what, as long as boxes of several columns are joined in one place."""
    metrics = Metrics(column=2, lane=3, line=1)
    for one in (layers(5, "dense"), layers(5, "residual"), layers(4, "jk", jk__mode="cat")):
        picture = drawing.picture(one)
        placed = layout(picture, [(9, 3)] * len(picture.boxes), metrics)
        inside = {
            (x, y)
            for box in placed.boxes
            for x in range(box.x, box.x + box.width)
            for y in range(box.y, box.y + box.height)
        }
        assert len(inside) == sum(box.width * box.height for box in placed.boxes)
        for route in placed.routes:
            for (x, y), (next_x, next_y) in pairwise(route):
                cells = {
                    (at_x, at_y)
                    for at_x in range(min(x, next_x), max(x, next_x) + 1)
                    for at_y in range(min(y, next_y), max(y, next_y) + 1)
                }
                assert not (cells - {route[-1]}) & inside


def test_a_picture_has_boxes_and_leads_onward() -> None:
    """What a space's own `draw` can get wrong is said."""
    with pytest.raises(ValueError, match="at least one box"):
        Picture((), ())
    with pytest.raises(ValueError, match=r"earlier to a later of 1 boxes, got \(0, 0\)"):
        Picture((Box("a", "a"),), ((0, 0),))
