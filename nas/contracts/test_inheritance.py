"""What every inheritance keeps: a network takes over what fits, and stays what it is."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evaluators import Parent
from evaluators.inheritances.alike import signatures
from nas.contracts import _signature, graphs, networks
from search_spaces import Architecture, UsageError, plugins
from search_spaces.growing import children
from search_spaces.plugins import Plugin

KIND = "inheritance"
DATASET = graphs.node_graph()
SPACE = networks.small_space(DATASET.task)


def built(architecture: Architecture, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return SPACE.network(architecture, DATASET.task)


def parent(architecture: Architecture) -> Parent:
    network = built(architecture, seed=1)
    weights, parts = network.state_dict(), signatures(network)
    return Parent(architecture, weights, parts, SPACE, DATASET.task)


def heir(plugin: Plugin, architecture: Architecture, of: Architecture) -> Mapping[str, Tensor]:
    """The weights of a network that has inherited."""
    network = built(architecture, seed=2)
    inherit = plugins.load(KIND, plugin.name).inherit
    inherit(network, architecture, parent(of), **plugin.options)
    with torch.no_grad():
        assert network(DATASET.x, DATASET.edge_index).isfinite().all()
    return network.state_dict()


def pairs(plugin: Plugin) -> list[tuple[Architecture, Architecture]]:
    """Children and parents, those that it does not refuse: any two, and what parents grow into."""
    rng = np.random.default_rng(0)
    asked = [(SPACE.sample(rng), SPACE.sample(rng)) for _ in range(12)]
    for _ in range(8):
        of = SPACE.sample(rng)
        asked += [(g.architecture, of) for g in children(SPACE, DATASET.task, of)[:3]]
    found, refused = [], ""
    for pair in asked:
        try:
            heir(plugin, *pair)
        except UsageError as error:
            refused = str(error)
            continue
        found.append(pair)
    if not found:
        pytest.skip(f"it is not for parents of this kind: {refused}")
    return found


def one(plugin: Plugin) -> Architecture:
    """An architecture of which it makes an heir."""
    return pairs(plugin)[0][0]


def test_it_is_called_as_inheritances_are(plugin: Plugin) -> None:
    """`inherit(network, architecture, parent, *, ...)`, each option with a type and told of."""
    _signature.check(KIND, plugin)


def test_the_heir_stays_what_it_is(plugin: Plugin) -> None:
    """Its tensors have the names, shapes and types that they had, whoever the parent is."""
    for child, of in pairs(plugin):
        fresh, weights = built(child, seed=2).state_dict(), heir(plugin, child, of)
        assert {n: (t.shape, t.dtype) for n, t in weights.items()} == {
            n: (t.shape, t.dtype) for n, t in fresh.items()
        }


def test_something_is_inherited(plugin: Plugin) -> None:
    """Of a parent of its own architecture: it is not what it was."""
    architecture = one(plugin)
    fresh = built(architecture, seed=2).state_dict()
    weights = heir(plugin, architecture, architecture)
    assert any(not torch.equal(weights[name], fresh[name]) for name in fresh)


def test_the_parent_keeps_its_own(plugin: Plugin) -> None:
    """Training the heir on changes nothing of it."""
    architecture = one(plugin)
    network, of = built(architecture, seed=2), parent(architecture)
    before = {name: tensor.clone() for name, tensor in of.weights.items()}
    plugins.load(KIND, plugin.name).inherit(network, architecture, of, **plugin.options)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert all(torch.equal(of.weights[name], tensor) for name, tensor in before.items())


def test_the_same_is_inherited_each_time(plugin: Plugin) -> None:
    """Equal networks of equal parents are equal heirs."""
    for child, of in pairs(plugin)[:4]:
        first, second = heir(plugin, child, of), heir(plugin, child, of)
        assert all(torch.equal(first[name], second[name]) for name in first)
