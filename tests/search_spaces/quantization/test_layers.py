"""Networks with quantizers in them: what is rounded, what is not, and what they leave as."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.contracts import graphs
from search_spaces import Architecture, SearchSpace, SpaceError, gnn, plugins
from search_spaces.extensions import quantization
from search_spaces.message_passing import ACTIVATIONS, NEVER_NEGATIVE
from search_spaces.quantization.formats import FORMATS
from search_spaces.quantization.layers import (
    Precision,
    activation_quantizers,
    quantize,
    quantized_weights,
    reads_sparse,
)
from search_spaces.quantization.quantizers import ActivationQuantizer, Options

DATASET = graphs.node_graph()
TASK = DATASET.task
SPACE = gnn.build(TASK, depth=[1, 2])
OPERATORS = [name for name in plugins.names("operator") if name != "skip"]


def extended(space: SearchSpace = SPACE, **given: object) -> SearchSpace:
    return space.extended(quantization.build(space, TASK, **given))  # type: ignore[arg-type]


def run(network: nn.Module) -> Tensor:
    with torch.no_grad():
        out: Tensor = network.eval()(DATASET.x, DATASET.edge_index)
    return out


def trained(space: SearchSpace, architecture: Architecture, steps: int = 3) -> nn.Module:
    torch.manual_seed(0)
    network = space.network(architecture, TASK).train()
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(DATASET.x, DATASET.edge_index), DATASET.y).backward()
        optimizer.step()
    return network


def operator(name: str, **formats: str) -> nn.Module:
    torch.manual_seed(0)
    module = plugins.load("operator", name).build(TASK.n_features, 8)
    return quantize(module, Precision(**{k: FORMATS[v] for k, v in formats.items()}), Options())


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("component", ["weight", "activation", "message", "aggregation"])
def test_a_format_that_is_ignored_is_noticed(name: str, component: str):
    """Three bits of each component alone change what every operator computes that has it."""
    plain = operator(name)
    few = operator(name, **{component: "3"})
    passes_messages = name != "linear"
    # `sg`, `appnp`: what they do to a node's own features first is no map.
    differs = not torch.equal(run(plain), run(few))
    assert differs == (passes_messages or component in ("weight", "activation"))
    assert type(plain).__name__ == type(operator(name)).__name__


@pytest.mark.parametrize("name", ["gat", "gatv2", "transformer"])
@pytest.mark.parametrize("component", ["attention", "attention_weight"])
def test_attention_has_a_precision_of_its_own(name: str, component: str):
    """Coefficients take at most 2^b values; vectors are there in GAT and GATv2."""
    few = operator(name, **{component: "3"})
    has = component == "attention" or name != "transformer"
    assert torch.equal(run(operator(name)), run(few)) != has
    if component != "attention":
        return
    seen = list[Tensor]()
    (quantizer,) = [module for _, module in activation_quantizers(few)]
    quantizer.register_forward_hook(lambda _module, _inputs, out: seen.append(out))
    run(few)
    assert 1 < seen[0].unique().numel() <= 2**3


@pytest.mark.parametrize("bits", ["binary", "ternary", "2"])
@pytest.mark.parametrize("name", ["sage", "tag"])
def test_a_gradient_passes_more_than_one_hop(name: str, bits: str):
    """Where messages are sent several times in one pass, ranges move in between."""
    few = operator(name, message=bits, aggregation=bits).train()
    few(DATASET.x, DATASET.edge_index).square().sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in few.parameters() if p.grad is not None)
    assert any(bool(p.grad.any()) for p in few.parameters() if p.grad is not None)


def test_thirty_two_bits_are_the_network_itself():
    """No quantizer, no class of its own: the engine trains it as any other."""
    space = extended(weight_bits=(32,), activation_bits=(32,))
    architecture = space.sample(np.random.default_rng(0))
    torch.manual_seed(0)
    network = space.network(architecture, TASK)
    plain = SPACE.architecture(
        {n: c for n, c in architecture.choices.items() if n in SPACE.by_name}
    )
    torch.manual_seed(0)
    own = SPACE.network(plain, TASK)
    assert [type(m) for m in network.modules()] == [type(m) for m in own.modules()]
    assert torch.equal(run(network), run(own))


@pytest.mark.parametrize("per_layer", [False, True])
def test_what_leaves_computes_the_same(per_layer: bool):
    """Over drawn architectures; weights have at most 2^b values, names of parameters stay."""
    space = extended(
        weight_bits=(32, 8, 4, 2, "ternary", "binary"),
        activation_bits=(32, 8, 4),
        output_bits=(32, 8),
        per_layer=per_layer,
    )
    rng = np.random.default_rng(1)
    for architecture in (space.sample(rng) for _ in range(12)):
        network = trained(space, architecture)
        before = copy.deepcopy(network.state_dict())
        leaves = space.deployed(network, architecture)
        assert torch.equal(run(network), run(leaves))
        assert all(torch.equal(before[n], t) for n, t in network.state_dict().items())
        for name, weight, quantizer in quantized_weights(network):
            rounded = leaves.state_dict()[name]
            codes = quantizer.codes(weight)
            assert torch.equal(codes.dequantized(), rounded)
            assert codes.values.unique().numel() <= 2**quantizer.format.bits
        plain = SPACE.architecture(
            {n: c for n, c in architecture.choices.items() if n in SPACE.by_name}
        )
        names = {name for name, _ in SPACE.network(plain, TASK).named_parameters()}
        assert {name for name, _ in network.named_parameters()} == names


@pytest.mark.parametrize("name", ["gcn", "gat", "gatv2", "transformer"])
@pytest.mark.parametrize("protected", [False, True])
def test_sparse_features_give_the_same(name: str, protected: bool):
    """As a matrix of few numbers, in training too, the gradients as well."""
    module = operator(name, weight="4", activation="4", message="8")
    assert reads_sparse(module)
    assert not reads_sparse(operator("sage", weight="4", activation="4"))
    x = DATASET.x * (DATASET.x > DATASET.x.median())
    if protected:
        from search_spaces.quantization.degree import protect

        protect(module, 0.3, 0.6)
    found = []
    # In double precision: sums over all nodes have an order that the processor's kernels choose.
    module, x = module.double(), x.double()
    for features in (x, x.to_sparse_csr()):
        own = copy.deepcopy(module).train()
        torch.manual_seed(0)
        out = own(features, DATASET.edge_index)
        out.square().sum().backward()
        found.append((out.detach(), [p.grad for p in own.parameters() if p.grad is not None]))
    torch.testing.assert_close(found[0], found[1])


def test_learned_scales_move():
    """LSQ: scales of weights and of activations are trained; observed ones are no parameters."""
    space = extended(weight_bits=(4,), activation_bits=(4,), scales=("learned",))
    architecture = space.sample(np.random.default_rng(0))
    few = trained(space, architecture, 1)
    scales = {n: p.detach().clone() for n, p in few.named_parameters() if n.endswith("scale")}
    more = trained(space, architecture, 4)
    moved = [not torch.equal(scales[n], p) for n, p in more.named_parameters() if n in scales]
    assert moved
    assert any(moved)
    observed = extended(weight_bits=(4,), activation_bits=(4,))
    network = observed.network(observed.sample(np.random.default_rng(0)), TASK)
    assert not any(name.endswith("scale") for name, _ in network.named_parameters())


def test_ranges_stay_in_evaluation():
    """And are in the state: a network that is loaded computes the same, on other numbers too."""
    quantizer = ActivationQuantizer(FORMATS["4"], Options())
    quantizer.train()(torch.linspace(-1, 3, 50))
    before = {name: t.clone() for name, t in quantizer.state_dict().items()}
    other = ActivationQuantizer(FORMATS["4"], Options())
    other.load_state_dict(before)
    x = torch.linspace(-10, 10, 77)
    assert torch.equal(quantizer.eval()(x), other.eval()(x))
    assert all(torch.equal(t, before[name]) for name, t in quantizer.state_dict().items())
    assert quantizer(x).unique().numel() <= 2**4


def test_activations_of_one_sign_alone_are_refused():
    """Where a function has both signs, or other bits can be chosen, the search decides."""
    of_one_sign = gnn.build(TASK, activation=["relu", "sigmoid"])
    with pytest.raises(SpaceError, match="never negative"):
        extended(of_one_sign, activation_bits=("binary",))
    extended(of_one_sign, activation_bits=("binary", 8))
    extended(gnn.build(TASK, activation=["relu", "tanh"]), activation_bits=("binary",))


@pytest.mark.parametrize("name", NEVER_NEGATIVE)
def test_what_is_never_negative_is_not(name):
    """And another function is, somewhere."""
    x = torch.linspace(-5, 5, 101)
    assert ACTIVATIONS[name]()(x).min() >= 0
    others = set(ACTIVATIONS) - set(NEVER_NEGATIVE)
    assert all(ACTIVATIONS[other]()(x).min() < 0 for other in others)


def test_decisions_stand_where_layers_do():
    """Of each layer, where it is; what follows what, where it has no list of its own."""
    space = extended(weight_bits=(2, 8), per_layer=True)
    names = {d.name: d for d in space.decisions if d.role == "compression"}
    assert names["quantization.layer1.weight_bits"].needs.keys() == {"layer1.operator"}
    assert names["quantization.pre.weight_bits"].needs == {"pre.layers": (1,)}
    assert "quantization.output.weight_bits" in names
    shared = extended(weight_bits=(2, 8))
    assert "quantization.weight_bits" in shared.by_name
    plain = gnn.build(TASK, operators=["gcn"])
    with pytest.raises(SpaceError, match="protect_low: expected none above protect_high"):
        extended(protection=("degree",), protect_low=(0.5,), protect_high=(0.1,))
    with pytest.raises(SpaceError, match="binarization: no list of bits"):
        extended(weight_bits=(4,), binarization=("bnn",))
    with pytest.raises(SpaceError, match="attention"):
        extended(plain, attention_bits=(8,))
    cells = plugins.load("space", "nas_bench_graph").build(TASK)
    with pytest.raises(SpaceError, match="per_layer"):
        extended(cells, per_layer=True)
