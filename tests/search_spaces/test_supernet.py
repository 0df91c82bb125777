"""A supernet: every architecture's weights are slices of one set, views of it, and complete."""

from collections.abc import Iterator

import pytest
import torch
from fakes import elastic
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.slicing import Subnets
from search_spaces import Architecture, SearchSpace, SpaceError, gnn, nas_bench_graph
from search_spaces.extensions import neighborhood
from search_spaces.slices import Block
from search_spaces.supernet import Supernet

SEVERAL = pytest.mark.parametrize("share", [False, True], ids=["own", "shared"])
GRAPHS = pytest.mark.parametrize("graphs", [False, True], ids=["nodes", "graphs"])
NAMES = pytest.mark.parametrize("name", sorted(elastic.SPACES))


@NAMES
@GRAPHS
@SEVERAL
def test_a_slice_names_every_parameter_and_no_other(name: str, graphs: bool, share: bool) -> None:
    """With the shapes of the network that is built, and out of what `initial` has."""
    net = elastic.supernet(name, graphs=graphs, share=share)
    weights = elastic.weights(net)
    for architecture in elastic.sampled(net, 10):
        network = net.space.network(architecture, net.task)
        expected = {n: tuple(p.shape) for n, p in network.named_parameters()}
        found = {n: tuple(p.shape) for n, p in net.weights(weights, architecture).items()}
        assert found == expected, architecture
        for block in blocks(net, architecture):
            assert tuple(weights[block.name].shape) == block.shape


@pytest.mark.parametrize("name", ["few", "outside"])
def test_what_is_made_is_needed(name: str) -> None:
    """Every tensor of `initial` is some architecture's, and each dimension in its full length."""
    net = elastic.supernet(name)
    made = {n: list(w.shape) for n, w in net.initial().items()}
    used = {n: [0] * len(lengths) for n, lengths in made.items()}
    for connectivity in net.space.by_name["connectivity"].choices:
        deep = {"depth": 3, "connectivity": connectivity}
        less = {"depth": 2, "connectivity": connectivity}
        for architecture in elastic.sampled(net, 200, **deep) + elastic.sampled(net, 40, **less):
            for block in blocks(net, architecture):
                cut = {one.dim: one.each * one.groups for one in block.cuts}
                lengths = [cut.get(dim, length) for dim, length in enumerate(block.shape)]
                pairs = zip(used[block.name], lengths, strict=True)
                used[block.name] = [max(pair) for pair in pairs]
    assert used == made


def blocks(net: Supernet, architecture: Architecture) -> list[Block]:
    return [block for own in net.slices(architecture).values() for block in own.blocks]


@NAMES
@GRAPHS
@SEVERAL
def test_an_extracted_network_computes_what_its_slice_does(
    name: str, graphs: bool, share: bool
) -> None:
    """To 1e-6 in float64: the slice by the engine where that reads it, else by the modules."""
    net = elastic.supernet(name, graphs=graphs, share=share)
    batches, weights = elastic.batches(graphs=graphs), elastic.weights(net)
    subnets = Subnets(net, batches)
    units = batches.dataset.val.nonzero()[:, 0]
    for architecture in elastic.sampled(net, 10, seed=1):
        slice_ = subnets.evaluated(weights, architecture, units)
        network = subnets.network(weights, architecture)
        batch = batches.of(units)
        with torch.no_grad():
            alone = batch.select(network(*batch.inputs))
        torch.testing.assert_close(alone, slice_, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["every", "outside"])
def test_other_weights_give_other_outputs(name: str) -> None:
    """The control: of another seed, and of the same with channels in another order."""
    net = elastic.supernet(name)
    subnets, weights = Subnets(net, elastic.batches()), elastic.weights(net)
    other, units = elastic.weights(net, seed=1), elastic.dataset().val.nonzero()[:, 0]
    turned = {n: w.flip(0) if w.dim() and w.size(0) > 1 else w for n, w in weights.items()}
    for architecture in elastic.sampled(net, 5):
        slice_ = subnets.evaluated(weights, architecture, units)
        for wrong in (other, turned):
            found = subnets.evaluated(wrong, architecture, units)
            assert not torch.allclose(found, slice_, rtol=1e-3, atol=1e-3), architecture


@NAMES
@SEVERAL
def test_slices_are_views(name: str, share: bool) -> None:
    """Each block of each tensor has the supernet's own storage; a copy would not."""
    net = elastic.supernet(name, share=share)
    weights = elastic.weights(net)
    for architecture in elastic.sampled(net, 10):
        for block in blocks(net, architecture):
            view = block.view(weights)
            shared = weights[block.name].untyped_storage().data_ptr()
            assert view.untyped_storage().data_ptr() == shared
            assert view.clone().untyped_storage().data_ptr() != shared


def layers(net: Supernet, width: int, operator: str = "gcn", **given: object) -> Architecture:
    """One layer of this width, as little as possible around it."""
    choices = {"depth": 1, "pre.layers": 0, "post.layers": 0, "layer0.width": width}
    (one,) = elastic.sampled(net, 1, **choices, **{"layer0.operator": operator, **given})
    return one


def test_a_step_on_one_slice_is_seen_by_those_that_overlap() -> None:
    """And by no other: another operator's, and the channels that only wider ones have."""
    net = elastic.supernet("few")
    weights = {n: w.requires_grad_() for n, w in net.initial().items()}
    of = {"layer0.normalization": "none", "output.operator": "linear"}
    narrow, wide = layers(net, 8, **of), layers(net, 32, **of)
    other = layers(net, 32, "sage", **of)
    seen = [wide, other]
    before = [{n: w.detach().clone() for n, w in net.weights(weights, one).items()} for one in seen]
    sum(w.square().sum() for w in net.weights(weights, narrow).values()).backward()
    with torch.no_grad():
        for weight in weights.values():
            if weight.grad is not None:
                weight -= 0.1 * weight.grad
    after = [net.weights(weights, one) for one in seen]
    moved = (
        after[0]["body.layers.0.operator.lin.weight"]
        != before[0]["body.layers.0.operator.lin.weight"]
    )
    leading = torch.arange(32).view(4, 8)[:, :2].flatten()
    assert moved[leading].all()
    assert moved.any(1).sum() == 8
    operator = [n for n in before[1] if ".operator." in n and n.startswith("body")]
    assert operator
    assert all(torch.equal(after[1][n], before[1][n]) for n in operator)


@settings(max_examples=9)
@given(st.sampled_from([(8, 16), (8, 32), (16, 32)]), st.sampled_from([1, 2, 4]))
def test_each_head_of_a_narrower_layer_is_a_part_of_the_same_head(
    widths: tuple[int, int], heads: int
) -> None:
    """Of the wider one, from its first channel on; the others' channels are in no other head."""
    net = elastic.supernet("few")
    narrow, wide = (layers(net, w, "gat", **{"layer0.heads": heads}) for w in widths)
    # Each channel holds its own number.
    numbered = {
        n: torch.arange(32.0, dtype=torch.float64)[:, None].expand(w.shape)
        if n == "layer0.gat.lin.weight<features"
        else w
        for n, w in elastic.weights(net).items()
    }
    rows = [
        net.weights(numbered, one)["body.layers.0.operator.lin.weight"][:, 0].view(heads, -1)
        for one in (narrow, wide)
    ]
    for mine, theirs in zip(*rows, strict=True):
        assert set(mine.tolist()) < set(theirs.tolist())
        assert mine[0] == theirs[0]
    assert len(set(rows[1].flatten().tolist())) == widths[1]


@SEVERAL
def test_operators_that_share_a_map_have_one_tensor(share: bool) -> None:
    """Where that is asked for, and that alone; else none."""
    net = elastic.supernet("few", share=share)
    of = {"layer0.normalization": "none"}
    gcn, gat = (
        {b.name for b in blocks(net, layers(net, 32, one, **of)) if b.name.startswith("layer0")}
        for one in ("gcn", "gat")
    )
    assert gcn & gat == ({"layer0.transform<features"} if share else set())
    assert len(gcn) == 2
    assert len(gat) >= 4


def test_a_slice_of_an_architecture_outside_is_refused() -> None:
    """By the decision and what it offers; its own are not."""
    net = elastic.supernet("few")
    inside = layers(net, 8)
    for name, choice in (("layer0.width", 12), ("layer0.operator", "tag")):
        outside = Architecture("gnn", {**inside.choices, name: choice})
        for ask in (net.slices, lambda one: net.extract(net.initial(), one)):
            with pytest.raises(SpaceError, match=f'"{name}" expected one of'):
                ask(outside)
    assert net.slices(inside)


def refused() -> Iterator[tuple[str, SearchSpace, str]]:
    task = elastic.NODES
    yield "skip", gnn.build(task, operators=["gcn", "skip"]), 'layer0.operator: "skip"'
    yield "recipe", gnn.build(task, operators=["gcn"], lr=[0.1, 0.01]), "train.lr: .*leave lr out"
    plain = gnn.build(task, operators=["gcn"])
    extended = plain.extended(neighborhood.build(plain, task))
    yield "extension", extended, f"{extended.extensions[0].decisions[0].name}.*neighborhood"
    yield "no slices", nas_bench_graph.build(task), "nas_bench_graph"


@pytest.mark.parametrize(("space", "says"), [pytest.param(s, w, id=n) for n, s, w in refused()])
def test_a_space_that_is_not_elastic_is_refused_by_its_decision(
    space: SearchSpace, says: str
) -> None:
    with pytest.raises(SpaceError, match=says):
        Supernet(space, elastic.NODES)


@pytest.mark.parametrize(
    ("operator", "says"),
    [
        ("fakes.unsliced", r'layer0\.operator: "fakes\.unsliced": twice has a dimension'),
        ("fakes.reshaped", r'layer\d\.operator: "fakes\.reshaped": shares is \[2\] long'),
    ],
)
def test_an_operator_without_slices_is_refused_by_its_decision(operator: str, says: str) -> None:
    """Before any of it is trained; one of ours in its place is not."""
    net = Supernet(gnn.build(elastic.NODES, operators=["gcn", operator]), elastic.NODES)
    with pytest.raises(SpaceError, match=says):
        net.initial()
    assert Supernet(gnn.build(elastic.NODES, operators=["gcn"]), elastic.NODES).initial()
