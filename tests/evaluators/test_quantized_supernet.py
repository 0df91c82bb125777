"""Supernets of networks with few bits: bits are one more elastic dimension."""

import math

import numpy as np
import pytest
import torch

from evaluators._batches import Batches
from evaluators.preparations import supernet
from evaluators.slicing import Subnets
from nas.contracts import graphs
from search_spaces import SearchSpace, SpaceError, gnn
from search_spaces.extensions import quantization
from search_spaces.quantization.layers import activation_quantizers, quantized_weights
from search_spaces.supernet import Supernet

DATASET = graphs.node_graph()
TASK = DATASET.task
BATCHES = Batches(DATASET)
PLAIN = gnn.build(
    TASK, depth=[1, 2], operators=["gcn", "gat"], width=[4, 8], heads=[1, 2], post_layers=[0]
)
UNITS = torch.arange(TASK.n_nodes)


def extended(**given: object) -> SearchSpace:
    bits = {"weight_bits": (2, 4, 32), "activation_bits": (4, 8), **given}
    return PLAIN.extended(quantization.build(PLAIN, TASK, **bits))  # type: ignore[arg-type]


@pytest.mark.parametrize("per_layer", [False, True])
def test_a_slice_is_its_network(per_layer: bool):
    """Extracted and recalibrated it gives what it was evaluated with; its bits are its own."""
    space = extended(per_layer=per_layer)
    shared = Supernet(space, TASK)
    subnets = Subnets(shared, BATCHES)
    torch.manual_seed(0)
    weights = shared.initial()
    rng = np.random.default_rng(0)
    for architecture in (space.sample(rng) for _ in range(8)):
        network = subnets.network(weights, architecture)
        evaluated = subnets.evaluated(weights, architecture, UNITS)
        with torch.no_grad():
            assert torch.equal(network(DATASET.x, DATASET.edge_index), evaluated)
        for _, weight, quantizer in quantized_weights(network):
            assert quantizer.codes(weight).values.unique().numel() <= 2**quantizer.format.bits
        assert all(float(q.range_high) > 0 for _, q in activation_quantizers(network))
    one = space.sample(rng)
    few, many = (
        space.fill(
            lambda d, bits=bits: (
                one.choices.get(d.name, bits) if not d.name.endswith("weight_bits") else bits
            )
        )
        for bits in ("2", "32")
    )
    assert not torch.equal(
        subnets.evaluated(weights, few, UNITS), subnets.evaluated(weights, many, UNITS)
    )


def test_it_is_trained():
    """All bits together, by the sandwich rule too; what is shared is in full precision."""
    for rule in ("fair", "sandwich"):
        training = supernet.prepare(
            extended(),
            BATCHES,
            0,
            epochs=30,
            steps=3,
            rule=rule,
            samples=0,  # type: ignore[arg-type]
        )
        losses = [training.epoch(number)["train_loss"] for number in range(1, 16)]
        assert all(map(math.isfinite, losses))
        assert min(losses[-3:]) < losses[0]
        first = next(iter(training.weights.values()))
        assert first.unique().numel() > 2**4


def test_what_needs_a_network_of_its_own_is_refused():
    """The message names the option."""
    for given in ({"scales": ("learned",)}, {"protection": ("degree",)}):
        space = extended(**given)
        with pytest.raises(SpaceError, match=next(iter(given))):
            Supernet(space, TASK)
