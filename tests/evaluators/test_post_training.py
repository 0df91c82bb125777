"""Trained networks brought to few bits without training: rounding, and rounding that is learned."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, global_add_pool

from evaluators._flex_round import FlexRounding
from evaluators.post_training import Block, _calls, _in_order, flex_round, round_to_nearest
from search_spaces.errors import SpaceError
from search_spaces.quantization.deciding import ALL, precision
from search_spaces.quantization.layers import (
    Precision,
    Quantized,
    activation_quantizers,
    quantized_weights,
    settled,
)
from search_spaces.quantization.quantizers import Options, WeightQuantizer
from search_spaces.quantization.storage import described, packed, unpacked

OPTIONS = Options(observer="percentile")
STEPS = 60


def bits(weight: str, activation: str = "8") -> Precision:
    names = {"weight_bits": weight, "activation_bits": activation}
    return precision({f"quantization.{name}": value for name, value in names.items()}, ALL)


class Network(nn.Module):
    """Of nodes, or of graphs; its parts in another order than they are called."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(8, 3)
        self.second = GATConv(16, 4, heads=2)
        self.first = GCNConv(12, 16)
        self.norm = nn.BatchNorm1d(16)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor, edge_index: Tensor, *graphs: Tensor) -> Tensor:
        hidden = self.dropout(self.norm(self.first(x, edge_index)).relu())
        hidden = self.second(hidden, edge_index).relu()
        if graphs:
            hidden = global_add_pool(hidden, graphs[0], size=graphs[1].size(0))
        scores: Tensor = self.last(hidden)
        return scores


def batch(seed: int, graphs: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(40, 12, generator=generator)
    edge_index = torch.randint(20, (2, 150), generator=generator)
    if not graphs:
        return x, edge_index
    return x, edge_index, torch.arange(40) // (40 // graphs), torch.zeros(graphs)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    made = Network()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for seed in range(3):
            made(*batch(seed))
    return made.eval()


@pytest.fixture(scope="module")
def rounded(network: Network) -> nn.Module:
    return round_to_nearest(network, bits("3"), OPTIONS, [batch(0)])


@pytest.fixture(scope="module")
def learned(network: Network) -> nn.Module:
    return flex_round(network, bits("3"), OPTIONS, [batch(0)], steps=STEPS)


def weights(network: nn.Module) -> dict[str, tuple[Tensor, WeightQuantizer]]:
    return {name: (w.detach(), q) for name, w, q in quantized_weights(network)}


def test_only_ranges_are_observed(network: Network, rounded: nn.Module) -> None:
    """Each activation has a range; weights, and what else a network has, stay as they were."""
    quantizers = [*activation_quantizers(rounded)]
    assert len(quantizers) == 8
    assert all(q.range_low < q.range_high and not q.training for _, q in quantizers)
    state = rounded.state_dict()
    before = network.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in before.items())
    assert {type(m) for m in network.modules()}.isdisjoint(Quantized.__subclasses__())
    # In evaluation the network does not depend on chance, nor on how often it was called.
    assert torch.equal(rounded(*batch(0)), rounded(*batch(0)))
    # Control: a mode of training for all of it would have moved the normalization.
    moved = round_to_nearest(network, bits("3"), OPTIONS, [batch(0)]).train()
    moved(*batch(0))
    assert not torch.equal(moved.state_dict()["norm.running_mean"], before["norm.running_mean"])


@pytest.mark.parametrize("scheme", ["affine", "symmetric", "fixed_point"])
@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_it_begins_as_round_to_nearest(network: Network, scheme: Any, granularity: Any) -> None:
    options = Options(scheme=scheme, granularity=granularity)
    found = weights(round_to_nearest(network, bits("4"), options, [batch(0)]))
    assert {*found} >= {"first.lin.weight", "second.lin.weight", "second.att_src", "last.weight"}
    for weight, quantizer in found.values():
        rounding = FlexRounding(quantizer, weight)
        assert torch.equal(rounding(weight), quantizer(weight))
        # Control: it would be seen.
        rounding.each.data.fill_(0.2)
        assert not torch.equal(rounding(weight), quantizer(weight))


def test_large_weights_are_moved_more_easily(network: Network, rounded: nn.Module) -> None:
    """dW'/dS2 = -W where W is within the grid: proportional to its size."""
    weight, quantizer = weights(rounded)["first.lin.weight"]
    rounding = FlexRounding(quantizer, weight)
    rounding(weight).sum().backward()
    inside = weight.abs() < quantizer.codes(weight).scale * 2.9
    assert inside.float().mean() > 0.5
    assert rounding.each.grad is not None
    torch.testing.assert_close(rounding.each.grad[inside], -weight[inside], rtol=1e-5, atol=1e-7)


def test_blocks_are_taken_as_they_are_called(network: Network) -> None:
    rounded = round_to_nearest(network, bits("3"), OPTIONS, [batch(0)])
    assert _in_order(rounded, batch(0)) == ["first", "second", "last"]
    # A block whose weights stay as they are is none.
    assert _in_order(round_to_nearest(network, bits("32"), OPTIONS, [batch(0)]), batch(0)) == []


def errors(network: nn.Module, rounded: nn.Module) -> dict[str, float]:
    """Of each block, on what it is given."""
    found = {}
    for name in ("first", "second", "last"):
        targets = [call.output for call in _calls(network, name, [batch(0)])]
        block = rounded.get_submodule(name)
        found[name] = Block(block, _calls(rounded, name, [batch(0)]), targets).error()
    return found


def test_the_error_falls_below_that_of_rounding(
    network: Network, rounded: nn.Module, learned: nn.Module
) -> None:
    before, after = errors(network, rounded), errors(network, learned)
    assert all(0 < after[name] < 0.8 * before[name] for name in before), (before, after)
    # Control: nothing is gained where nothing is learned.
    unlearned = flex_round(network, bits("3"), OPTIONS, [batch(0)], steps=0)
    assert errors(network, unlearned) == before


def test_on_graphs_it_has_not_seen(network: Network) -> None:
    """Calibrated on some batches of graphs, it is nearer to the network on others too."""
    seen, unseen = [batch(s, graphs=4) for s in range(3)], batch(9, graphs=4)
    with torch.no_grad():
        exact = network(*unseen)
        nearest = round_to_nearest(network, bits("2"), OPTIONS, seen)(*unseen)
        flexible = flex_round(network, bits("2"), OPTIONS, seen, steps=STEPS)(*unseen)
    assert (flexible - exact).square().mean() < (nearest - exact).square().mean()


def test_weights_may_move_by_more_than_one_step(network: Network) -> None:
    """Which rounding up or down cannot do; large ones further than small ones."""
    weight, quantizer = weights(round_to_nearest(network, bits("8"), OPTIONS, [batch(0)]))[
        "last.weight"
    ]
    rounding = FlexRounding(quantizer, weight)
    target = 0.9 * weight
    optimizer = torch.optim.Adam([rounding.each], 0.01)
    for _ in range(40):
        optimizer.zero_grad()
        (rounding(weight) - target).square().sum().backward()
        optimizer.step()
    moved = (rounding.codes(weight) - quantizer.codes(weight).values).abs()
    assert moved.max() > 5
    large = weight.abs() > weight.abs().median()
    assert moved[large].mean() > moved[~large].mean()


def test_what_was_learned_is_kept_as_any_quantized_weight(learned: nn.Module) -> None:
    """Deployed, packed, and unpacked it computes the same, to the bit."""
    expected = learned(*batch(1))
    for weight, quantizer in weights(learned).values():
        assert type(quantizer) is WeightQuantizer
        codes = quantizer.codes(weight)
        assert torch.equal(codes.dequantized(), weight)
        assert torch.equal(quantizer(weight), weight)
        assert (codes.values >= codes.low).all()
        assert (codes.values <= codes.high).all()
    tensors, how = packed(learned), described(learned)
    deployed = settled(learned)
    assert torch.equal(deployed(*batch(1)), expected)
    deployed.load_state_dict(unpacked(tensors, how))
    assert torch.equal(deployed(*batch(1)), expected)
    # Control: other weights give something else.
    tensors["last.weight"] = tensors["last.weight"] ^ 1
    deployed.load_state_dict(unpacked(tensors, how))
    assert not torch.equal(deployed(*batch(1)), expected)


def test_it_is_the_same_each_time(network: Network) -> None:
    """Nothing is drawn, and whoever calls keeps random numbers and mode."""
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    twice = [flex_round(network, bits("2"), OPTIONS, [batch(0)], steps=5) for _ in range(2)]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not network.training
    first, second = (net.state_dict() for net in twice)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", ["binary", "ternary", "32"])
def test_what_cannot_be_divided_is_refused(network: Network, name: str) -> None:
    with pytest.raises(SpaceError, match=f'2 to 16 bits, got "{name}"; round them to nearest'):
        flex_round(network, bits(name), OPTIONS, [batch(0)])
    rounded = round_to_nearest(network, bits(name), OPTIONS, [batch(0)])
    assert rounded(*batch(0)).isfinite().all()


def test_scales_of_training_are_refused(network: Network) -> None:
    with pytest.raises(SpaceError, match='expected "observed", got "learned"'):
        round_to_nearest(network, bits("4"), Options(scales="learned"), [batch(0)])
