"""What a candidate takes over from its parent: the weights of layers that are alike, no others."""

from collections.abc import Callable
from typing import Any

import pytest
import tiny
import torch
from torch import nn
from torch_geometric.nn import BatchNorm, SAGEConv

from evaluators import Job
from evaluators.checkpoint import parents
from evaluators.inheritances._base import Parent
from evaluators.inheritances.alike import inherit, signatures
from evaluators.run import run
from search_spaces import Architecture, gnn

TASK = tiny.node_graph().task
LAYER = {"operator": "gcn", "width": 16, "normalization": "none", "activation": "relu"}
REST = {"pre.layers": 0, "post.layers": 0, "output.operator": "linear"}


def space() -> Any:
    return gnn.build(TASK, operators=("gcn", "gat", "sage", "graph", "skip"), depth=(1, 2, 3))


def network(*layers: dict[str, Any], **choices: Any) -> nn.Module:
    """A network of the space `gnn`; layers and choices say what is not as in LAYER and REST."""
    made: dict[str, Any] = {"depth": len(layers), **REST}
    if len(layers) > 1:
        made["connectivity"] = "plain"
    for i, layer in enumerate(layers):
        whole = layer if layer.get("operator") == "skip" else LAYER | layer
        made |= {f"layer{i}.{name}": choice for name, choice in whole.items()}
    architecture = space().architecture(made | {n.replace("_", "."): c for n, c in choices.items()})
    return space().network(architecture, TASK)


# What they are is not looked at: their modules are.
ANY = Architecture("any", {})


def taken_over(parent: nn.Module, child: nn.Module) -> set[str]:
    """The names of the child's tensors that come from the parent, whose own are all 7."""
    weights = {name: torch.full_like(t, 7) for name, t in parent.state_dict().items()}
    before = {name: tensor.clone() for name, tensor in child.state_dict().items()}
    inherit(child, ANY, Parent(ANY, weights, signatures(parent)))
    found = set()
    for name, tensor in child.state_dict().items():
        if (tensor == 7).all():
            found.add(name)
        else:
            assert torch.equal(tensor, before[name]), "a tensor is taken over as a whole or not"
    return found


def of(prefix: str, module: nn.Module) -> set[str]:
    return {name for name in module.state_dict() if name.startswith(prefix)}


def test_an_equal_network_takes_over_everything():
    """The control of all that follows."""
    parent, child = (
        network({}, {"operator": "gat", "heads": 2}),
        network({}, {"operator": "gat", "heads": 2}),
    )
    assert taken_over(parent, child) == set(child.state_dict())


@pytest.mark.parametrize(
    "change",
    [
        {"activation": "elu"},
        {"operator": "graph", "aggregation": "sum"},
        {"operator": "gat", "heads": 1},
        {"width": 32},
    ],
    ids=str,
)
def test_an_unlike_layer_takes_over_nothing(change: dict[str, Any]):
    """Another activation, operator or width; the layer before and, but for a width, after does."""
    child = network({}, change, {})
    found = taken_over(network({}, {}, {}), child)
    assert not found & of("body.layers.1.", child)
    assert of("body.layers.0.", child) <= found
    assert (of("body.layers.2.", child) <= found) == ("width" not in change)


def test_the_same_shapes_with_another_activation_share_nothing():
    """All tensors have the same names and shapes, and would have been copied by these alone."""
    parent, child = network({"activation": "tanh"}), network({"activation": "relu"})
    assert {n: t.shape for n, t in parent.state_dict().items()} == {
        n: t.shape for n, t in child.state_dict().items()
    }
    assert taken_over(parent, child) == of("output.", child)


def test_operators_with_tensors_of_the_same_shapes_share_nothing():
    """Attention in 2 heads and in 4, the mean and the maximum of neighbors."""
    two, one = (network({"operator": "gat", "heads": heads}) for heads in (2, 4))
    assert not taken_over(two, one) & of("body.", one)
    mean, most = (network({"operator": "sage", "aggregation": kind}) for kind in ("mean", "max"))
    assert {n: t.shape for n, t in mean.state_dict().items()} == {
        n: t.shape for n, t in most.state_dict().items()
    }
    assert not taken_over(mean, most) & of("body.", most)


@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_normalization_is_never_taken_over(normalization: str):
    """Neither its weights nor its statistics; the operator before it is."""
    layer = {"normalization": normalization}
    child = network(layer, {})
    found = taken_over(network(layer, {}), child)
    own = {name for name in child.state_dict() if "normalization" in name}
    assert own
    assert found == set(child.state_dict()) - own


def test_skip_connections_are_never_taken_over():
    """The shortcuts of a residual body, the maps of jumping knowledge."""
    wider = ({}, {"width": 32})
    for choices in ({"connectivity": "residual"}, {"connectivity": "jk", "jk_mode": "max"}):
        child = network(*wider, **choices)
        own = {n for n in child.state_dict() if "shortcuts" in n or "maps" in n}
        assert own
        assert taken_over(network(*wider, **choices), child) == set(child.state_dict()) - own


def test_a_layer_may_move():
    """Where a layer before it becomes a skip, a layer finds its weights at its old place."""
    same = {"width": 16}
    parent = network({}, {"activation": "tanh"}, {"operator": "sage", "aggregation": "mean"} | same)
    child = network({}, {"operator": "skip"}, {"operator": "sage", "aggregation": "mean"} | same)
    found = taken_over(parent, child)
    assert of("body.layers.1.", child) <= found
    assert of("body.layers.0.", child) <= found


def test_perceptrons_need_the_same_place_and_shape():
    """`pre` does not become `post`."""
    parent = network({}, pre_layers=1, pre_width=16)
    child = network({}, pre_layers=1, pre_width=16, post_layers=1, post_width=16)
    found = taken_over(parent, child)
    assert of("pre.", child) <= found
    assert not found & of("post.", child)
    narrow = network({}, pre_layers=1, pre_width=32)
    assert not taken_over(parent, narrow) & of("pre.", narrow)


class Unsigned(nn.Module):
    """A network of somebody else's, with a parameter of its own and no signatures."""

    def __init__(self, aggregation: str, heads: int = 1) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(heads))
        self.first = SAGEConv(6, 8, aggr=aggregation)
        self.norm = BatchNorm(8)
        self.last = nn.Linear(8, 3)


def test_networks_without_signatures():
    """Same place, class and sizes; PyG's normalizations stay, too."""
    child = Unsigned("mean")
    assert taken_over(Unsigned("mean"), child) == of("first.", child) | of("last.", child) | {
        "scale"
    }
    child = Unsigned("max")
    assert taken_over(Unsigned("mean"), child) == of("last.", child) | {"scale"}
    child = Unsigned("mean", heads=2)
    assert taken_over(Unsigned("mean"), child) == of("first.", child) | of("last.", child)


def test_a_parent_without_signatures_gives_nothing():
    """A checkpoint of a version that did not keep them."""
    parent, child = network({}), network({})
    before = {name: tensor.clone() for name, tensor in child.state_dict().items()}
    inherit(child, ANY, Parent(ANY, parent.state_dict(), {}))
    assert all(torch.equal(before[name], t) for name, t in child.state_dict().items())


def test_a_checkpoint_keeps_signatures(make_job: Callable[..., Job]):
    """Those of the network as it was built, whatever the dropout it is trained with."""
    job = make_job(tiny.node_graph(), options={"dropout": 0.5})
    (evaluation,) = run([job])
    assert evaluation.artifact is not None
    (parent,) = parents(evaluation.artifact, job.architecture)
    assert parent.signatures == signatures(
        tiny.SPACE.network(job.architecture, tiny.node_graph().task)
    )
    assert parent.signatures
