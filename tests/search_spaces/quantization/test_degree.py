"""Degree-Quant: who is protected, how often, and that nobody is in evaluation."""

import pytest
import torch

from search_spaces import plugins
from search_spaces.quantization.degree import probabilities, protect
from search_spaces.quantization.formats import FORMATS
from search_spaces.quantization.layers import Precision, activation_quantizers, quantize
from search_spaces.quantization.quantizers import Options

NODES = 60
# Node 0 hears from all, node 1 from a third, the others from one each.
EDGES = torch.tensor(
    [
        [*range(1, NODES), *range(2, 22), *range(1, NODES)],
        [*[0] * (NODES - 1), *[1] * 20, *[(i % (NODES - 1)) + 1 for i in range(1, NODES)]],
    ]
)
FEW = Precision(
    **dict.fromkeys(("weight", "activation", "message", "aggregation", "output"), FORMATS["2"])
)


def module(name: str = "gcn", low: float = 0.0, high: float = 0.0) -> torch.nn.Module:
    torch.manual_seed(0)
    made = quantize(plugins.load("operator", name).build(5, 4), FEW, Options())
    return protect(made, low, high)


def test_probabilities_rise_with_the_degree():
    """From `low` to `high`, by rank; equal degrees, equal probabilities; one of a regular graph."""
    p = probabilities(EDGES[1], NODES, 0.1, 0.3)
    degrees = torch.bincount(EDGES[1], minlength=NODES)
    order = degrees.argsort()
    assert (p[order].diff() >= 0).all()
    assert p[0] == pytest.approx(0.3)
    assert p.min() >= 0.1
    for degree in degrees.unique():
        assert p[degrees == degree].unique().numel() == 1
    ring = torch.arange(NODES)
    assert probabilities(ring, NODES, 0.1, 0.3).unique().numel() == 1


def test_it_protects_as_often_as_it_says():
    """Over many passes, within four standard errors; more where more is heard."""
    own, seen = module(low=0.1, high=0.5).train(), []
    x = torch.randn(NODES, 5)
    quantizer = next(q for _, q in activation_quantizers(own))
    quantizer.register_forward_hook(
        lambda q, _inputs, _out: seen.append(q.shield.protected.float())  # type: ignore[union-attr]
    )
    for _ in range(400):
        own(x, EDGES)
    share, p = torch.stack(seen).mean(0), probabilities(EDGES[1], NODES, 0.1, 0.5)
    assert ((share - p).abs() <= 4 * (p * (1 - p) / 400).sqrt()).all()
    assert share[0] > share[2:].max()


@pytest.mark.parametrize("name", ["gcn", "sage", "gat", "gin", "arma"])
def test_all_protected_is_full_precision_but_for_weights(name: str):
    """Bit for bit in training; in evaluation nobody is protected, whatever the probability."""
    x = torch.randn(NODES, 5)
    spared, rounded = module(name, 1.0, 1.0), module(name)
    torch.manual_seed(0)
    of_weights = Precision(weight=FORMATS["2"])
    weights_alone = quantize(plugins.load("operator", name).build(5, 4), of_weights, Options())
    assert torch.equal(spared.train()(x, EDGES), weights_alone.train()(x, EDGES))
    assert not torch.equal(rounded.train()(x, EDGES), weights_alone(x, EDGES))
    for made in (spared, rounded):
        made.load_state_dict(rounded.state_dict())
    assert torch.equal(spared.eval()(x, EDGES), rounded.eval()(x, EDGES))
