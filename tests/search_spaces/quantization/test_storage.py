"""Networks whose weights are stored in as many bits as they have."""

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv

from search_spaces.errors import SpaceError
from search_spaces.quantization.bits import packed_bytes
from search_spaces.quantization.formats import FORMATS
from search_spaces.quantization.integers import edge_sum, product
from search_spaces.quantization.layers import Precision, quantize, quantized_weights, settled
from search_spaces.quantization.quantizers import ActivationQuantizer, Options
from search_spaces.quantization.storage import described, packed, stored_bytes, unpacked

EDGES = torch.tensor([[0, 1, 2, 3, 4, 0, 2], [1, 2, 3, 4, 0, 2, 0]])
LOW = [name for name in FORMATS if name != "32"]


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = GCNConv(7, 6)
        self.second = GATConv(6, 5)
        self.last = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.last(self.second(self.first(x, EDGES).relu(), EDGES))
        return scores


def made(name: str, options: Options | None = None, activation: str = "32") -> Network:
    torch.manual_seed(0)
    weight, other = FORMATS[name], FORMATS[activation]
    precision = Precision(weight, other, weight, other, other, other)
    network = Network()
    quantize(network, precision, options or Options())
    return network.eval()


def features() -> Tensor:
    return torch.randn(5, 7, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("scales", ["observed", "learned"])
@pytest.mark.parametrize("name", LOW)
def test_weights_come_back_exactly(name: str, scales: str) -> None:
    network = made(name, Options(scales=scales))  # type: ignore[arg-type]
    tensors, how = packed(network), described(network)
    assert {*how} == {weight for weight, _, _ in quantized_weights(network)} != set()
    expected = network(features())
    deployed = settled(network)
    deployed.load_state_dict(unpacked(tensors, how))
    assert torch.equal(deployed(features()), expected)
    # Control: one bit of the last byte of one weight is seen.
    tensors["last.weight"].view(torch.uint8).view(-1)[0] ^= 1
    deployed.load_state_dict(unpacked(tensors, how))
    assert not torch.equal(deployed(features()), expected)


@pytest.mark.parametrize("granularity", ["channel", "tensor"])
@pytest.mark.parametrize("name", LOW)
def test_bytes_are_known_without_weights(name: str, granularity: str) -> None:
    options = Options(granularity=granularity)  # type: ignore[arg-type]
    with torch.device("meta"):
        known = packed(made(name, options))
    tensors = packed(made(name, options))
    assert stored_bytes(made(name, options)) == sum(t.nbytes for t in tensors.values())
    assert {n: (t.shape, t.dtype) for n, t in known.items()} == {
        n: (t.shape, t.dtype) for n, t in tensors.items()
    }
    bits = FORMATS[name].bits
    assert tensors["last.weight"].nbytes == packed_bytes(15, bits)
    assert tensors["last.weight.scale"].numel() == (3 if granularity == "channel" else 1)


def test_what_is_not_quantized_stays_as_it_is() -> None:
    network = made("4")
    state, tensors = network.state_dict(), packed(network)
    for name in ("first.bias", "second.bias", "last.bias"):
        assert torch.equal(tensors[name], state[name])
    network = made("32")
    assert described(network) == {}
    assert packed(network).keys() == network.state_dict().keys()


@pytest.mark.parametrize("keep_vars", [False, True])
def test_a_state_has_full_precision(keep_vars: bool) -> None:
    """What a checkpoint keeps is not rounded: training goes on from it."""
    network = made("4")
    state = network.state_dict(keep_vars=keep_vars)
    for name, parameter in network.named_parameters():
        assert torch.equal(state[name], parameter)
    assert not torch.equal(state["first.lin.weight"], network.first.lin.weight)
    other = made("4")
    other.first.lin.reset_parameters()
    other.load_state_dict(state)
    assert torch.equal(other.first.lin._parameters["weight"], state["first.lin.weight"])


def test_incomplete_weights_are_refused() -> None:
    network = made("4")
    tensors, how = packed(network), described(network)
    scale = tensors.pop("last.weight.scale")
    with pytest.raises(SpaceError, match=r"lack last\.weight\.scale"):
        unpacked(tensors, how)
    tensors |= {"last.weight.scale": scale, "last.weight": torch.zeros(3, dtype=torch.uint8)}
    with pytest.raises(SpaceError, match="expected 8 bytes for 15 integers of 4 bits, got 3"):
        unpacked(tensors, how)


# Of the largest value; the sums of a layer have a few more roundings than one product.
TOLERANCES = {torch.float64: 1e-14, torch.float32: 2e-6}


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("scheme", ["affine", "symmetric", "fixed_point"])
@pytest.mark.parametrize("bits", ["8", "4", "ternary", "binary"])
def test_integers_compute_what_a_fake_quantized_layer_does(
    bits: str, scheme: str, dtype: torch.dtype
) -> None:
    """A linear map, then a message passing whose messages are quantized; see `integers`."""
    torch.manual_seed(0)
    network = nn.ModuleDict({"linear": nn.Linear(12, 6), "conv": GCNConv(6, 4, normalize=False)})
    precision = Precision(*[FORMATS[bits]] * 6)
    quantize(network, precision, Options(scheme=scheme))  # type: ignore[arg-type]
    network.to(dtype)
    x = torch.randn(5, 12, dtype=dtype)
    for _ in range(3):
        network["conv"](network["linear"](x).relu(), EDGES)
    network.eval()

    expected = network["linear"](x)
    got = by_integers(network["linear"], x) + network["linear"].bias
    assert_near(got, expected)
    # Each step from the same input: a difference in the last bit may be another integer later.
    hidden = expected.relu().detach()
    conv = network["conv"]
    assert_near(by_integers(conv.lin, hidden), conv.lin(hidden))
    quantizer = conv.aggr_module.message_quantizer
    messages = conv.lin(hidden).detach()[EDGES[0]]
    sums = edge_sum(quantizer.codes(messages), EDGES[1], 5).dequantized()
    after: ActivationQuantizer = conv.aggr_module.aggregation_quantizer
    assert_near(sums, torch.zeros_like(sums).index_add(0, EDGES[1], quantizer(messages)))
    exact = torch.zeros_like(sums).index_add(0, EDGES[1], quantizer(messages))
    assert_near(after(exact) + conv.bias, conv(hidden, EDGES))


def by_integers(module: nn.Module, x: Tensor) -> Tensor:
    """A linear map without its bias, in integers."""
    [(_, weight, quantizer)] = quantized_weights(module)
    read = module.get_submodule("input_quantizer").codes(x)
    return product(read, quantizer.codes(weight)).dequantized()


def assert_near(got: Tensor, expected: Tensor) -> None:
    got, expected = got.detach(), expected.detach()
    assert got.dtype == expected.dtype
    assert float((got - expected).abs().max()) <= TOLERANCES[got.dtype] * float(
        expected.abs().max()
    )
