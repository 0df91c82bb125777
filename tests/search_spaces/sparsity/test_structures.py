"""Units, heads and layers that are gone: what is left computes what it did where they were 0."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from fakes import sparse
from torch import Tensor, nn

from search_spaces import SearchSpace, gnn
from search_spaces.extensions import quantization
from search_spaces.sparsity.network import Sparse

OPERATORS = ("gcn", "gat", "gatv2", "sage", "gin", "tag", "transformer", "linear")
HAVE_HEADS = ("gat", "gatv2", "transformer")
CONNECTIVITIES = ("plain", "dense", "residual", "cat", "max")
X, EDGES = sparse.DATASET.x.double(), sparse.DATASET.edge_index


def given(operator: str, connectivity: str) -> dict[str, Any]:
    of = {"cat": ["jk"], "max": ["jk"]}.get(connectivity, [connectivity])
    heads = {"heads": [4]} if operator in HAVE_HEADS else {}
    return {
        "operators": [operator],
        "output": [operator],
        "normalization": ["none"],
        "connectivity": of,
        "depth": [3],
        "pre_layers": [1],
        "post_layers": [1],
        **heads,
    }


def made(
    options: dict[str, Any],
    structure: str,
    density: float = 0.5,
    method: str = "random",
    *,
    seed: int = 0,
    **choices: Any,
) -> Sparse:
    """Untrained, in double precision."""
    space = sparse.pruned(
        sparse.space(given=options), method=method, weight_density=density, structure=structure
    )
    torch.manual_seed(seed)
    network = space.network(sparse.first(space, **choices), sparse.DATASET.task)
    assert isinstance(network, Sparse)
    return network.double()


def shrunk(network: Sparse) -> Sparse:
    """It is changed."""
    network.train()
    network.begin_epoch(network.settles_after + 1, lambda: loss(network))
    return network.eval()


def loss(network: Sparse) -> Tensor:
    logits = network(X, EDGES)[sparse.DATASET.train]
    return nn.functional.cross_entropy(logits, sparse.DATASET.y[sparse.DATASET.train])


def output(network: nn.Module) -> Tensor:
    with torch.no_grad():
        out: Tensor = network.eval()(X, EDGES)
    return out


def without_the_rest(network: Sparse, kept: dict[str, Tensor]) -> None:
    """Set to 0 every entry that the smaller network has not.

    Which these are is found by numbering all of them, and looking at which numbers are left.
    """
    state = {n: t for n, t in network.state_dict().items() if not n.startswith("sparsity.")}
    sizes = [t.numel() for t in state.values()]
    starts = np.cumsum([0, *sizes])
    numbered = {
        name: (1.0 + start + torch.arange(t.numel(), dtype=torch.float64)).view(t.shape)
        for (name, t), start in zip(state.items(), starts, strict=False)
    }
    source = network.source
    small = source.built(source.smaller()).double()
    source.selected(numbered, small, kept)
    left = torch.cat([t.detach().flatten() for t in small.state_dict().values()]).long() - 1
    assert left.unique().numel() == left.numel()
    is_left = torch.zeros(int(starts[-1]), dtype=torch.bool).index_fill(0, left, True)
    with torch.no_grad():
        for (name, tensor), start in zip(state.items(), starts, strict=False):
            tensor.mul_(is_left[start : start + tensor.numel()].view(tensor.shape))
            assert network.state_dict()[name].data_ptr() == tensor.data_ptr()


def temper(network: Sparse, kept: dict[str, Tensor], structure: str) -> None:
    """Attention of transformers is divided by the root of a head's width, which is smaller now."""
    if structure != "units":
        return
    for name, module in network.named_modules():
        if type(module).__name__ == "TransformerConv" and "layers" in name:
            number = name.split(".")[2]
            width = kept[f"layer{number}"].numel() / 4
            with torch.no_grad():
                for parameter in module.lin_query.parameters():  # type: ignore[union-attr]
                    parameter.mul_((module.out_channels / width) ** 0.5)  # type: ignore[operator]


def kept_by(network: Sparse) -> dict[str, Tensor]:
    return dict(network.sparsity.kept.named_buffers())


CASES = [
    (structure, operator, connectivity)
    for structure, operator, connectivity in itertools.product(
        ("units", "heads"), OPERATORS, CONNECTIVITIES
    )
    if structure == "units" or operator in HAVE_HEADS
]


@pytest.mark.parametrize(("structure", "operator", "connectivity"), CASES)
def test_the_smaller_network_computes_what_the_larger_does_without_the_rest(
    structure: str, operator: str, connectivity: str
) -> None:
    """The control: with the rest, it computes something else."""
    options = given(operator, connectivity)
    choices = {"jk.mode": connectivity} if connectivity in ("cat", "max") else {}
    network = made(options, structure, **choices)
    whole = output(network)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    small = output(shrunk(network))
    kept = kept_by(network)
    assert kept
    assert all(len(index) == 8 for index in kept.values())
    larger = made(options, structure, **choices)
    assert all(torch.equal(t, state[n]) for n, t in larger.state_dict().items())
    without_the_rest(larger, kept)
    temper(larger, kept, structure)
    torch.testing.assert_close(small, output(larger), rtol=1e-9, atol=1e-11)
    assert not torch.allclose(small, whole, atol=1e-3)


@pytest.mark.parametrize("structure", ["units", "heads"])
@pytest.mark.parametrize("connectivity", ["residual", "max"])
def test_layers_that_are_added_keep_the_same(structure: str, connectivity: str) -> None:
    """And heads keep as many each; layers of another width have a choice of their own."""
    network = made(
        given("gat", connectivity) | {"width": [8, 16]},
        structure,
        **{"layer0.width": 16, "layer1.width": 8, "layer2.width": 16, "jk.mode": "max"},
    )
    assert shrunk(network) is network
    kept = kept_by(network)
    assert torch.equal(kept["layer0"], kept["layer2"])
    assert {n: k.numel() for n, k in kept.items() if n != "post"} == {
        n: k for n, k in {"pre": 4, "layer0": 8, "layer1": 4, "layer2": 8}.items() if n in kept
    }
    of_heads = (kept["layer0"] // 4).bincount(minlength=4).tolist()
    assert of_heads == ([2, 2, 2, 2] if structure == "units" else of_heads)
    assert structure == "units" or sorted(of_heads) == [0, 0, 4, 4]


def test_widths_that_become_equal_keep_their_maps() -> None:
    """Features as many as are left of what they are added to, and layers rounded to one."""
    options = given("gcn", "residual") | {"width": [12, 3, 2], "pre_layers": [0], "depth": [2]}
    for density, choices in (
        (0.5, {"layer0.width": 12, "layer1.width": 12}),
        (0.1, {"layer0.width": 3, "layer1.width": 2}),
    ):
        network = made(options, "units", density, **choices)
        whole = {n: t.clone() for n, t in network.state_dict().items()}
        small = output(shrunk(network))
        larger = made(options, "units", density, **choices)
        larger.load_state_dict({n: whole[n] for n in larger.state_dict()})
        without_the_rest(larger, kept_by(network))
        torch.testing.assert_close(small, output(larger), rtol=1e-9, atol=1e-11)
        again = made(options, "units", density, **choices, seed=1)
        again.load_state_dict(network.state_dict())
        assert torch.equal(output(again), small)
    assert isinstance(network.body.shortcuts[1], nn.Linear)  # type: ignore[union-attr, index]


def test_layers_left_out_are_no_layers() -> None:
    """A depth that has some, and one that has no other."""
    options = given("gcn", "residual") | {"operators": ["gcn", "skip"]}
    choices = {"layer0.operator": "gcn", "layer1.operator": "skip", "layer2.operator": "gcn"}
    for structure in ("units", "layers"):
        network = made(options, structure, **choices)
        before = output(network)
        small = output(shrunk(network))
        assert not torch.equal(small, before)
        assert len(network.body.layers) == (2 if structure == "units" else 1)  # type: ignore[arg-type]
    for connectivity in CONNECTIVITIES:
        none = {f"layer{i}.operator": "skip" for i in range(3)}
        more = {"jk.mode": connectivity} if connectivity in ("cat", "max") else {}
        network = made(
            given("gcn", connectivity) | {"operators": ["gcn", "skip"]}, "units", **none, **more
        )
        assert output(shrunk(network)).shape == (90, 3)


@pytest.mark.parametrize("method", ["random", "magnitude", "snip", "grasp", "synflow"])
@pytest.mark.parametrize("structure", ["units", "heads", "layers"])
def test_each_method_leaves_what_was_said(method: str, structure: str) -> None:
    """Of the weights that there were, by its own scores."""
    options = given("gat", "residual")
    network = made(options, structure, method=method)
    before = {name: tensor.clone() for name, tensor in network.named_parameters()}
    shrunk(network)
    after = dict(network.named_parameters())
    assert sum(t.numel() for t in after.values()) < sum(t.numel() for t in before.values())
    kept = kept_by(network)
    if structure == "layers":
        assert len(network.body.layers) == kept["layers"].numel() == 2  # type: ignore[arg-type]
        return
    assert all(index.numel() == 8 for index in kept.values())
    name = "body.layers.0.operator.lin.weight"
    rows, columns = kept["layer0"], kept["pre"]
    assert torch.equal(after[name], before[name][rows][:, columns])


def test_units_of_the_largest_sums_are_left() -> None:
    """Over all weights that write them, and over all that are added."""
    fewer: dict[str, Any] = {"pre_layers": [0], "depth": [2], "post_layers": [0]}
    options = given("gcn", "residual") | fewer
    network = made(options, "units", method="magnitude")
    weights = [t.detach() for n, t in network.weights().items() if "layers" in n or "short" in n]
    assert len(weights) == 3
    sums = sum(w.abs().sum(1) for w in weights)
    assert isinstance(sums, Tensor)
    shrunk(network)
    expected = sums.topk(8).indices.sort().values
    assert torch.equal(kept_by(network)["layer0"], expected)
    assert torch.equal(kept_by(network)["layer1"], expected)


def quantized(**options: Any) -> SearchSpace:
    base = gnn.build(
        sparse.DATASET.task, **{**sparse.PLAIN, **given("gat", "residual") | {"pre_layers": [0]}}
    )
    few = quantization.build(
        base, sparse.DATASET.task, weight_bits=[4], activation_bits=[8], scales=["learned"]
    )
    return sparse.pruned(base.extended(few), **options)


@pytest.mark.parametrize("structure", ["none", "units", "heads", "layers"])
def test_few_bits_are_rounded_of_what_is_left(structure: str) -> None:
    """What leaves has the bits that were said, and computes the same."""
    space = quantized(method="snip", weight_density=0.5, structure=structure)
    architecture = sparse.first(space)
    torch.manual_seed(0)
    network = space.network(architecture, sparse.DATASET.task)
    assert isinstance(network, Sparse)
    for _ in sparse.training(network, 3):
        pass
    with torch.no_grad():
        out = network.eval()(sparse.DATASET.x, sparse.DATASET.edge_index)
        leaves = space.deployed(network, architecture).eval()
        again = leaves(sparse.DATASET.x, sparse.DATASET.edge_index)
    torch.testing.assert_close(again, out)
    assert not isinstance(leaves, Sparse)
    weight = leaves.get_parameter("body.layers.0.operator.lin.weight").detach()
    assert len(weight[0].unique()) <= 16
    if structure == "none":
        name = "body.layers.0.operator.lin.weight"
        assert not weight[~network.sparsity.mask(name)].any()
        total = sum(m.numel() for m in sparse.masks(network).values())
        assert sum(sparse.left(network).values()) == round(0.5 * total)
    fresh = space.network(architecture, sparse.DATASET.task)
    fresh.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert torch.equal(fresh.eval()(sparse.DATASET.x, sparse.DATASET.edge_index), out)
