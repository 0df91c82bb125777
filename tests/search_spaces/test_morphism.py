"""Networks that grow compute what they did; what could not is refused, with the reason."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from fakes.growing import OPERATORS, Ground, pairs

from search_spaces import Architecture, SpaceError, nas_bench_graph
from search_spaces.extensions import neighborhood
from search_spaces.morphism import morph, reachable

NEAR = 1e-10
GROUND = Ground()
# 16: as wide as some layers, to which the features are then added as they are.
GROUNDS = [Ground(7), Ground(16), Ground(8, graphs=True)]
every_ground = pytest.mark.parametrize(
    "ground", GROUNDS, ids=lambda g: f"{g.features}{'graphs' if g.graphs else 'nodes'}"
)


def refusal(ground: Ground, parent: Architecture, child: Architecture) -> str | None:
    return reachable(ground.space, ground.task, parent, child)


@every_ground
def test_a_child_computes_what_its_parent_does(ground: Ground) -> None:
    """Of 300 random pairs, all that are not refused, to 1e-10; of every connectivity some."""
    seen: Counter[tuple[object, bool]] = Counter()
    for seed, (parent, child) in enumerate(pairs(ground, 300)):
        if refusal(ground, parent, child) is not None:
            continue
        before, after = ground.grown(parent, child, seed)
        assert ground.difference(before, after) < NEAR, (parent, child)
        connected = child.choices.get("jk.mode", child.choices.get("connectivity"))
        seen[connected, parent.choices["depth"] != child.choices["depth"]] += 1
    assert len(seen) > 7, seen


@every_ground
def test_other_children_of_the_same_shape_do_not(ground: Ground) -> None:
    """The control: weights of their own; and the parent's, with its last layer's disturbed."""
    for parent, child in pairs(ground, 20, seed=1):
        if refusal(ground, parent, child) is None:
            before, after = ground.grown(parent, child)
            assert ground.difference(before, ground.network(child, seed=99)) > 1e-3
            with torch.no_grad():
                list(after.parameters())[-1].add_(0.1)
            assert ground.difference(before, after) > 1e-3


def test_in_single_precision_to_1e_5() -> None:
    for parent, child in pairs(GROUND, 60, seed=2):
        if refusal(GROUND, parent, child) is None:
            before = GROUND.network(parent).float()
            generator = torch.Generator().manual_seed(0)
            state = morph(GROUND.space, GROUND.task, parent, child, before.state_dict(), generator)
            assert all(t.dtype in (torch.float32, torch.int64) for t in state.values())
            after = GROUND.space.network(child, GROUND.task).eval()
            after.load_state_dict(state)
            x, edges = GROUND.inputs
            with torch.no_grad():
                expected, found = before(x.float(), edges), after(x.float(), edges)
            assert (expected - found).abs().max() < 1e-5 * (1 + expected.abs().max())


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_every_operator_can_become_wider(operator: str, normalization: str) -> None:
    """However layers are connected, and with the statistics of batches that there are."""
    for connectivity in ("plain", "residual", "dense"):
        layer = {"operator": operator, "normalization": normalization}
        parent = GROUND.architecture(layer, layer, connectivity=connectivity)
        wide = layer | {"width": 24}
        child = GROUND.architecture(wide, layer | {"width": 16}, connectivity=connectivity)
        before, after = GROUND.grown(parent, child)
        assert GROUND.difference(before, after) < NEAR


IDENTITIES = ("sage", "graph", "tag", "cheb", "arma", "transformer", "linear")


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_layer_can_be_added_where_its_operator_can_be_the_identity(
    operator: str, at: int
) -> None:
    """What propagates whatever its weights are cannot; `arma` has a root weight, so it can."""
    layers: list[dict[str, Any]] = [{}, {}]
    parent = GROUND.architecture(*layers, pre_layers=1)
    layers.insert(at, {"operator": operator})
    child = GROUND.architecture(*layers, pre_layers=1)
    reason = refusal(GROUND, parent, child)
    if operator in IDENTITIES:
        assert reason is None
        assert GROUND.difference(*GROUND.grown(parent, child)) < NEAR
    else:
        assert reason is not None
        assert f'operator "{operator}": with no weights does it give a node\'s own input' in reason


@pytest.mark.parametrize("operator", OPERATORS)
def test_what_is_added_to_its_input_need_only_be_silent(operator: str) -> None:
    """So every operator can be a new layer of a residual network, below layer normalization too."""
    parent = GROUND.architecture({}, {}, connectivity="residual")
    new = {"operator": operator, "normalization": "layer", "activation": "elu"}
    child = GROUND.architecture({}, {}, new, connectivity="residual")
    assert GROUND.difference(*GROUND.grown(parent, child)) < NEAR


def test_new_channels_are_copies_and_their_readers_are_divided() -> None:
    """Of Net2Wider's own words, in a network of linear maps."""
    ground = Ground(options=(("operators", ("linear",)), ("heads", None), ("hops", None)))
    parent = ground.architecture({"operator": "linear"})
    child = ground.architecture({"operator": "linear", "width": 24})
    before, after = (n.state_dict() for n in ground.grown(parent, child))
    first, last = "body.layers.0.operator.linear.weight", "output.operator.linear.weight"
    old, new = before[first], after[first]
    assert torch.equal(new[:8], old)
    copied = [int((old == row).all(dim=1).nonzero()) for row in new]
    assert copied[:8] == list(range(8))
    for j, source in enumerate(copied):
        divided = before[last][:, source] / copied.count(source)
        torch.testing.assert_close(after[last][:, j], divided, rtol=1e-12, atol=0)


def choices(**others: Any) -> Architecture:
    return GROUND.architecture({}, {}, **others)


@pytest.mark.parametrize(
    ("parent", "child", "says"),
    [
        (
            GROUND.architecture({"normalization": "layer"}),
            GROUND.architecture({"normalization": "layer", "width": 16}),
            'layer0: normalization "layer": with copies of channels it computes something else',
        ),
        (
            GROUND.architecture({}),
            GROUND.architecture({}, {"normalization": "layer"}),
            'layer1: normalization "layer": with no weights does it keep all',
        ),
        (
            GROUND.architecture({"activation": "sigmoid"}),
            GROUND.architecture({"activation": "sigmoid"}, {"activation": "sigmoid"}),
            'layer1.activation: "sigmoid" changes what comes out of "sigmoid"',
        ),
        (
            choices(connectivity="residual"),
            GROUND.architecture({}, {}, {"activation": "sigmoid"}, connectivity="residual"),
            'layer2.activation: "sigmoid" of 0 is added',
        ),
        (
            GROUND.architecture({"width": 16}),
            GROUND.architecture({"width": 8}),
            "layer0.width: 16 channels become 8: none is left out",
        ),
        (
            GROUND.architecture({"width": 16}),
            GROUND.architecture({"width": 16}, {"width": 8}),
            "layer1.width: the new layer has 8 channels and is to pass on 16",
        ),
        (choices(), GROUND.architecture({}), "depth: 2 layers become 1: none is left out"),
        (
            choices(),
            GROUND.architecture({"operator": "gcn"}, {}),
            "layer0.operator: sage in the parent, gcn in the child",
        ),
        (
            choices(),
            GROUND.architecture({"activation": "elu"}, {}),
            "layer0.activation: relu in the parent, elu in the child",
        ),
        (choices(), choices(connectivity="dense"), "connectivity: plain in the parent, dense in"),
        (choices(), choices(post_layers=1), "post.layers: 0 in the parent, 1 in the child"),
        (
            choices(connectivity="jk", jk_mode="cat"),
            choices(connectivity="jk", jk_mode="max"),
            "jk.mode: cat in the parent, max in the child",
        ),
        (
            GROUND.architecture({"width": 8}, {"width": 16}, connectivity="residual"),
            GROUND.architecture({"width": 16}, {"width": 16}, connectivity="residual"),
            "layer1.shortcut: with equal widths there is no map, which the parent has",
        ),
        (
            GROUND.architecture({}, {}, pre_layers=1, connectivity="jk", jk_mode="max"),
            GROUND.architecture({}, {}, {}, pre_layers=1, connectivity="jk", jk_mode="max"),
            "",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_cannot_be_reached_is_refused_with_the_reason(
    parent: Architecture, child: Architecture, says: str
) -> None:
    """The last one can: the control."""
    reason = refusal(GROUND, parent, child)
    assert (reason is None) == (not says)
    assert says in (reason or "")
    if says:
        generator, state = torch.Generator(), GROUND.network(parent).state_dict()
        with pytest.raises(SpaceError) as caught:
            morph(GROUND.space, GROUND.task, parent, child, state, generator)
        assert str(caught.value) == reason


def test_a_second_layer_is_no_shortcut_that_was_not_there() -> None:
    """From one layer to two of a residual network: the map of the first one's input may be 0."""
    narrow, wide = GROUND, Ground(8)
    for ground, says in ((narrow, None), (wide, "what is read would be added")):
        parent = ground.architecture({})
        child = ground.architecture({}, {}, connectivity="residual")
        reason = refusal(ground, parent, child)
        assert says in reason if says and reason else reason is None
        if says is None:
            assert ground.difference(*ground.grown(parent, child)) < NEAR


def test_the_recipe_may_differ() -> None:
    parent, child = choices(train_dropout=0.0), choices(train_dropout=0.5)
    assert GROUND.difference(*GROUND.grown(parent, child)) == 0


def test_spaces_that_say_nothing_of_their_networks_are_refused() -> None:
    space = nas_bench_graph.build(GROUND.task)
    one, other = (space.sample(np.random.default_rng(seed)) for seed in range(2))
    assert 'the space "nas_bench_graph" says nothing' in str(
        reachable(space, GROUND.task, one, other)
    )
    extended = GROUND.space.extended(neighborhood.build(GROUND.space, GROUND.task))
    grown = extended.sample(np.random.default_rng(0))
    assert "without extensions" in str(reachable(extended, GROUND.task, grown, grown))


def test_a_layer_that_is_left_out_is_refused() -> None:
    ground = Ground(options=(("operators", ("sage", "skip")), ("heads", None), ("hops", None)))
    parent = ground.architecture({}, {"operator": "skip"})
    assert reachable(ground.space, ground.task, parent, parent) == (
        'layer1.operator: with "skip" the layer is left out'
    )


@pytest.mark.parametrize(
    ("operator", "options", "widens", "identity"),
    [
        ("examples.plugins.operator", {"residual": 1.0}, True, True),
        ("examples.plugins.operator", {"residual": 0.5}, True, False),
        ("fakes.unsliced", {}, False, False),
        ("fakes.centered", {}, False, False),
    ],
)
def test_operators_from_outside_are_treated_as_they_deserve(
    operator: str, options: dict[str, Any], widens: bool, identity: bool
) -> None:
    """Found by trying: attention vectors, an identity by its residual, a mean over channels."""
    some = (("operators", ("sage", operator)), ("heads", None), ("hops", None))
    ground = Ground(options=some)
    layer = {"operator": operator, **options}
    parent = ground.architecture(layer)
    for child, can in (
        (ground.architecture(layer | {"width": 24}), widens),
        (ground.architecture(layer, layer), identity),
    ):
        reason = reachable(ground.space, ground.task, parent, child)
        assert (reason is None) == can
        if can:
            assert ground.difference(*ground.grown(parent, child)) < NEAR
        else:
            assert operator in str(reason)


def test_what_is_reachable_for_any_features_is_so_for_each() -> None:
    """Without a task, a child for which their number matters is refused, and no other."""
    refused = 0
    for parent, child in pairs(GROUND, 300, seed=5):
        unknown = reachable(GROUND.space, None, parent, child)
        known = [reachable(g.space, g.task, parent, child) for g in map(Ground, (7, 8, 16, 24))]
        if unknown is None:
            assert known == [None] * 4
        refused += unknown is not None and known == [None] * 4
    assert refused < 5
