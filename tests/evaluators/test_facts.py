"""Parameters, multiply-accumulates and peak memory, against counts made by hand."""

import time

import pytest
import tiny
import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv

from evaluators.facts import CandidateError, facts
from search_spaces import Architecture, Decision, SearchSpace, Task, plugins
from search_spaces.extensions import quantization


class Linear(nn.Module):
    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.linear(x)


class ValueDependent(Linear):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        looped = edge_index[0] == edge_index[1]
        return self.linear(x)[: int(looped.sum()) + x.size(0)]


def make(architecture: Architecture, task: Task) -> nn.Module:
    kinds = {"linear": Linear, "values": ValueDependent}
    kind = str(architecture.choices["kind"])
    if kind in kinds:
        return kinds[kind](task.n_features, task.n_classes)
    if kind == "heads":
        return GATConv(task.n_features, 5, heads=2, add_self_loops=False)
    out_features = task.n_features if kind == "skip" else task.n_classes
    return plugins.load("operator", kind).build(task.n_features, out_features)


OPERATORS = plugins.names("operator")
KINDS = ("linear", "values", "heads", *(o for o in OPERATORS if o != "linear"))
SPACE = SearchSpace("counted", 1, (Decision("kind", KINDS),), make)
TASK = tiny.node_graph().task
N, E, F, C = TASK.n_nodes, TASK.n_edges, TASK.n_features, TASK.n_classes


# Weights, x, edge_index (64 bits each) and the output.
LINEAR_BYTES = 4 * (F * C + C + N * F + N * C) + 8 * 2 * E


@pytest.mark.parametrize(("kind", "more"), [("linear", 0), ("values", E + 8)])
def test_a_linear_map(kind: str, more: int):
    """N * F * C, and F * C + C parameters; also where shapes depend on the values of the graph.

    There, a mask of the edges and their number are alive beside the output.
    """
    counted = facts(SPACE, SPACE.architecture({"kind": kind}), TASK)
    assert counted == {
        "params": F * C + C,
        "macs": N * F * C,
        "peak_memory_bytes": LINEAR_BYTES + more,
        "model_bytes": 4 * (F * C + C),
        "buffer_bytes": 4 * N * F,
        "bit_operations": 32 * 32 * N * F * C,
    }


@pytest.mark.parametrize(("weight", "activation"), [(8, 8), (4, 8), (2, 16), ("binary", 4)])
def test_few_bits(weight: int | str, activation: int):
    """A gcn operator of C channels: the map, messages with self-loops, degrees in 32 bits."""
    extension = quantization.build(
        SPACE, TASK, weight_bits=(weight,), activation_bits=(activation,)
    )
    space = SPACE.extended(extension)
    known = facts(space, space.fill(lambda d: d.choices[0], {"kind": "gcn"}), TASK)
    bits = 1 if weight == "binary" else int(weight)
    degrees, messages = 32 * (E + N), activation * (E + N) * C
    assert known["bit_operations"] == bits * activation * N * F * C + messages + degrees
    # Features and messages in their bits, and what counts degrees in 32.
    assert known["buffer_bytes"] == max(activation * max(N * F, (E + N) * C), 32 * (E + N)) / 8
    packed, scales, bias, ranges = -(-F * C * bits // 8), 4 * C, 4 * C, 4 * 2 * 3
    assert known["model_bytes"] == packed + scales + bias + ranges
    plain = facts(SPACE, SPACE.architecture({"kind": "gcn"}), TASK)
    assert known["macs"] == plain["macs"]
    assert known["bit_operations"] < plain["bit_operations"]


def test_two_gcn_layers():
    """Each layer: the product, the degrees (E + N), and E + N messages of its width."""
    architecture = tiny.SPACE.architecture({"kind": "gcn", "width": 8})
    product = N * F * 8 + N * 8 * C
    gathered = 2 * (E + N) + (E + N) * (8 + C)
    counted = facts(tiny.SPACE, architecture, TASK)
    assert counted["params"] == F * 8 + 8 + 8 * C + C
    assert counted["macs"] == product + gathered


@pytest.mark.parametrize("operator", ["gcn", "gat"])
def test_equal_layers_have_weights_of_their_own(operator: str):
    """As many as the network that is trained has, though without values layers are made alike."""
    options = {"depth": [4], "operators": [operator], "width": [8], "pre_layers": [0]}
    space = plugins.load("space", "gnn").build(TASK, **options)
    architecture = space.fill(lambda decision: decision.choices[0])
    network = space.network(architecture, TASK)
    for _ in range(2):
        known = facts(space, architecture, TASK)
        assert known["params"] == sum(p.numel() for p in network.parameters())


def test_attention():
    """The product, and for each edge and head: a maximum, a sum, and a message of width 5."""
    counted = facts(SPACE, SPACE.architecture({"kind": "heads"}), TASK)
    assert counted["macs"] == N * F * 10 + E * 2 * (1 + 1 + 5)


BY_HAND = {
    "gcn": N * F * C + (E + N) * C + (E + N),  # map, messages with self-loops, degrees
    "gat": N * F * C + (E + N) * (1 + 1 + C),  # map, softmax: maximum and sum, messages
    "sage": 2 * N * F * C + E * F + E,  # two maps, mean over the features: sums and counts
    "gin": N * F * C + N * C * C + E * F,  # perceptron of two maps, sums of features
    # three maps, degrees, two propagations over the Laplacian with its diagonal
    "cheb": 3 * N * F * C + E + 2 * (E + N) * F,
}


@pytest.mark.parametrize("operator", BY_HAND)
def test_operators_by_hand(operator: str):
    """One head, two hops, the mean: the defaults."""
    assert facts(SPACE, SPACE.architecture({"kind": operator}), TASK)["macs"] == BY_HAND[operator]


def test_the_mean_graph():
    """A graph task is counted for one graph of mean size; the pool counts its sums and sizes."""
    task = tiny.graph_set().task
    nodes, edges = round(task.n_nodes / 60), round(task.n_edges / 60)
    architecture = tiny.SPACE.architecture({"kind": "gcn", "width": 8})
    layers = nodes * 4 * 8 + nodes * 8 * 2 + (edges + nodes) * (8 + 2 + 2)
    assert facts(tiny.SPACE, architecture, task)["macs"] == layers + nodes * 2 + nodes


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_size_of_the_graph_costs_nothing(operator: str):
    """Only shapes are computed: a graph of a million nodes is counted as fast as a small one."""
    big = Task("node_classification", 500, 9, 10**6, 10**7, 1, 5, 5, 5, "accuracy", "big")
    architecture = SPACE.architecture({"kind": operator})
    facts(SPACE, architecture, TASK)
    before, state = time.process_time(), torch.random.get_rng_state()
    counted = facts(SPACE, architecture, big)
    assert time.process_time() - before < 1.0
    assert counted["macs"] >= (0 if operator == "skip" else 10**6 * 500 * 9)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(("kind", "says"), [("raises", "divides by zero"), ("nobuild", "be built")])
def test_a_faulty_network_is_a_failure(kind: str, says: str):
    """It is data for the study, with the network's own message."""
    with pytest.raises(CandidateError, match=says) as caught:
        facts(tiny.SPACE, tiny.SPACE.architecture({"kind": kind, "width": 8}), TASK)
    assert caught.value.failure.kind == "error"
    assert "Traceback" in caught.value.failure.detail
