"""What flows in flows out: SynFlow on networks of the space, whatever they are made of."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from fakes import sparse
from torch import Tensor, nn
from torch_geometric.nn import GraphNorm

from search_spaces.message_passing import ACTIVATIONS, NORMALIZATIONS, Matching
from search_spaces.sparsity import scores
from search_spaces.sparsity.methods import synflow
from search_spaces.sparsity.network import Sparse

# Of each operator the tensors that all paths through it have to pass, those of one pass together.
PASSES: Mapping[str, Sequence[Sequence[str]]] = {
    "appnp": [["linear"]],
    "arma": [["init_weight", "root_weight"]],
    "cheb": [["lins.0", "lins.1", "lins.2"]],
    "gat": [["lin"]],
    "gatv2": [["lin_l"], ["lin_r"]],
    "gcn": [["lin"]],
    "gin": [["nn.0"], ["nn.2"]],
    "graph": [["lin_rel", "lin_root"]],
    "linear": [["linear"]],
    "sage": [["lin_l", "lin_r"]],
    "sg": [["lin"]],
    "tag": [["lins.0", "lins.1", "lins.2"]],
    "transformer": [["lin_value", "lin_skip"], ["lin_key"], ["lin_query"]],
}
CONNECTED: Sequence[Mapping[str, list[Any]]] = (
    {"connectivity": ["plain"]},
    {"connectivity": ["residual"]},
    {"connectivity": ["residual"], "pre_layers": [1]},
    {"connectivity": ["dense"]},
    {"connectivity": ["jk"], "jk.mode": ["cat"]},
    {"connectivity": ["jk"], "jk.mode": ["max"]},
)
INPUTS = (sparse.DATASET.x, sparse.DATASET.edge_index)
DEPTH, FEW = 3, 0.006


def made(number: int, operator: str, method: str, density: float, **given: Any) -> Sparse:
    """One of many networks: normalizations, activations and connections are gone through."""
    norms, activations = list(NORMALIZATIONS), list(ACTIVATIONS)
    many: dict[str, Any] = {
        "depth": [DEPTH],
        "width": [64],
        "operators": [operator],
        "output": [operator if operator not in ("cheb", "tag") else "gcn"],
        "normalization": [norms[number % len(norms)]],
        "activation": [activations[number % len(activations)]],
        **CONNECTED[number % len(CONNECTED)],
        **given,
    }
    if operator in ("appnp", "cheb", "sg", "tag"):
        many["hops"] = [2]
    mode = many.pop("jk.mode", ["cat"])[0]
    space = sparse.pruned(sparse.space(given=many), method=method, weight_density=density)
    torch.manual_seed(number)
    choices = {"jk.mode": mode} if many["connectivity"] == ["jk"] else {}
    network = space.network(sparse.first(space, **choices), sparse.DATASET.task)
    assert isinstance(network, Sparse)
    return network


def cuts(network: Sparse, operator: str, output: str) -> Iterator[list[str]]:
    """Tensors that together no path gets around, by name."""
    known = set(network.weights())

    def of(place: str, kind: str) -> Iterator[list[str]]:
        for names in PASSES[kind]:
            full = [f"{place}.operator.{n}" for n in names]
            yield [n for n in (*full, *(f"{n}.weight" for n in full)) if n in known]

    yield from of("output", output)
    body: Any = network.body
    connectivity = type(body).__name__
    for i in range(DEPTH):
        beside: list[str] = []
        if connectivity == "Residual":
            if not isinstance(body.shortcuts[i], Matching):
                continue
            beside = [f"body.shortcuts.{i}.weight"]
        is_last, is_first = i == DEPTH - 1, i == 0
        # Dense networks are read by the last layer, which reads the features, too; where all layers
        # are read the first one is on every path.
        if (connectivity == "Dense" and not is_last) or (
            connectivity == "JumpingKnowledge" and not is_first
        ):
            continue
        for names in of(f"body.layers.{i}", operator):
            # Only what flows has a way around.
            is_aside = any(
                n.endswith(("lin_r.weight", "key.weight", "query.weight")) for n in names
            )
            yield [*names, *([] if is_aside and len(names) == 1 else beside)]


def sums(network: Sparse, found: Mapping[str, Tensor], *given: str) -> Tensor:
    parts = cuts(network, *given)
    return torch.stack([torch.stack([found[n].sum() for n in names]).sum() for names in parts])


def output_of(operator: str) -> str:
    return "gcn" if operator in ("cheb", "tag") else operator


CASES = [(len(CONNECTED) * i + j, op) for i, op in enumerate(PASSES) for j in range(6)]


@pytest.mark.parametrize(("number", "operator"), CASES)
def test_all_cuts_have_the_same_flow(number: int, operator: str) -> None:
    """Of each operator with each connection; normalizations and activations go round."""
    network = made(number, operator, "synflow", 0.5).double()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    x, edge_index = INPUTS
    found = scores.synflow(network, network.weights(), (x.double(), edge_index))
    assert all(bool((score >= 0).all()) for score in found.values())
    flows = sums(network, found, operator, output_of(operator))
    assert flows[0] > 0
    torch.testing.assert_close(flows, flows[0].expand_as(flows), rtol=1e-9, atol=0)
    assert all(torch.equal(before[n], t) for n, t in network.state_dict().items())


def test_the_flow_is_the_sum_over_all_paths() -> None:
    """By hand: absolute weights and the normalized graph, of a GCN with tanh and LayerNorm."""
    given = {"normalization": ["layer"], "activation": ["tanh"], "connectivity": ["plain"]}
    network = made(0, "gcn", "synflow", 0.5, **given).double()
    x, edge_index = INPUTS
    nodes = x.size(0)
    graph = torch.zeros(nodes, nodes, dtype=torch.float64)
    one = torch.ones((), dtype=torch.float64)
    edges = edge_index[:, edge_index[0] != edge_index[1]]
    graph.index_put_((edges[1], edges[0]), one, accumulate=True)
    graph += torch.eye(nodes, dtype=torch.float64)
    scale = graph.sum(1).rsqrt()
    out = torch.ones_like(x, dtype=torch.float64)
    for weight in network.weights().values():
        out = scale[:, None] * (graph @ (scale[:, None] * (out @ weight.detach().abs().T)))
    found = scores.synflow(network, network.weights(), (x.double(), edge_index))
    for score in found.values():
        torch.testing.assert_close(score.sum(), out.sum(), rtol=1e-9, atol=0)


@contextmanager
def _as_it_is(_: nn.Module) -> Iterator[list[Tensor]]:
    yield []


@pytest.mark.parametrize(
    ("operator", "normalization", "activation"),
    [("gcn", "layer", "relu"), ("gcn", "none", "tanh")],
)
def test_a_network_as_it_is_conserves_nothing(
    operator: str, normalization: str, activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: of LayerNorm and tanh each alone."""
    given = {"normalization": [normalization], "activation": [activation]}
    network = made(0, operator, "synflow", 0.5, connectivity=["plain"], **given).double()
    inputs = (INPUTS[0].double(), INPUTS[1])
    flows = sums(network, scores.synflow(network, network.weights(), inputs), operator, operator)
    assert flows.max() / flows.min() == pytest.approx(1)
    monkeypatch.setattr(scores, "linearized", _as_it_is)
    flows = sums(
        network, scores.synflow(network, network.weights(), inputs), operator, operator
    ).abs()
    assert not flows.max() / flows.min() < 1.0001


def test_coefficients_of_attention_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nodes differ, behind a GCN; the control is what flows through a softmax."""
    given = {"depth": [2], "operators": ["gcn", "gat"], "normalization": ["none"]}
    space = sparse.pruned(sparse.space(given=given), method="synflow", weight_density=0.5)
    torch.manual_seed(0)
    chosen = sparse.first(space, **{"layer1.operator": "gat"})
    network = space.network(chosen, sparse.DATASET.task).double()
    assert isinstance(network, Sparse)
    inputs = (INPUTS[0].double(), INPUTS[1])
    found = scores.synflow(network, network.weights(), inputs)
    flows = torch.stack([score.sum() for score in found.values()])
    torch.testing.assert_close(flows, flows[0].expand_as(flows), rtol=1e-9, atol=0)
    monkeypatch.setattr(scores, "linearized", _as_it_is)
    found = scores.synflow(network, network.weights(), inputs)
    flows = torch.stack([score.sum() for score in found.values()])
    assert flows.max() / flows.min() > 1.01


@pytest.mark.parametrize("operator", PASSES)
def test_no_cut_is_empty(operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 0.6 %, with one of the connections; in fewer steps, which take less time."""
    monkeypatch.setattr(synflow, "STEPS", 25)
    number = list(PASSES).index(operator)
    network = made(number, operator, "synflow", FEW)
    sparse.begin(network, 1)
    left = sparse.left(network)
    assert sum(left.values()) == round(FEW * sum(w.numel() for w in network.weights().values()))
    for names in cuts(network, operator, output_of(operator)):
        assert sum(left[n] for n in names) > 0, names


@pytest.mark.parametrize(
    ("normalization", "activation"), [("layer", "relu"), ("none", "tanh"), ("batch", "sigmoid")]
)
def test_no_layer_is_empty_where_magnitude_empties_some(
    normalization: str, activation: str
) -> None:
    """Of a GCN, in which each layer is the only path; by magnitude the output is emptied."""
    given = {"normalization": [normalization], "activation": [activation]}
    plain = {"connectivity": ["plain"], "depth": [DEPTH], "width": [128]}
    left = {}
    for method in ("synflow", "magnitude"):
        network = made(0, "gcn", method, FEW, **given, **plain)
        with torch.no_grad():
            # As unequal as layers of other widths are.
            for i, weight in enumerate(network.weights().values()):
                weight.mul_((3.0, 0.3, 1.0, 0.3)[i])
        sparse.begin(network, network.settles_after + 1)
        left[method] = list(sparse.left(network).values())
    assert sum(left["synflow"]) == sum(left["magnitude"])
    assert min(left["synflow"]) > 0
    assert min(left["magnitude"]) == 0


def test_of_parallel_branches_one_may_be_empty() -> None:
    """Of SAGE, whose node has weights of its own; the flow goes through the other."""
    network = made(0, "sage", "synflow", 0.5, connectivity=["plain"])
    with torch.no_grad():
        for name, weight in network.weights().items():
            if name.endswith("lin_r.weight"):
                weight.mul_(1e-6)
    sparse.begin(network, 1)
    left = sparse.left(network)
    gone = [name for name, count in left.items() if count == 0]
    assert gone
    assert all(name.endswith("lin_r.weight") for name in gone)
    assert all(sum(left[n] for n in names) > 0 for names in cuts(network, "sage", "sage"))


class Outside(nn.Module):
    """What operators from outside do: functions, and normalization over the nodes of a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 5)
        self.norm, self.prelu = GraphNorm(8), nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.layer_norm(self.norm(self.first(x)), (8,))
        x = nn.functional.softplus(self.prelu(nn.functional.silu(x, inplace=True).tanh_()))
        return nn.functional.log_softmax(self.last(x), dim=-1)


def test_functions_of_operators_from_outside_let_pass_too() -> None:
    network = Outside()
    values = {"first": network.first.weight, "last": network.last.weight}
    found = scores.synflow(network, values, (torch.zeros(4, 6),))
    paths = float((values["last"].abs() @ values["first"].abs()).sum()) * 4
    assert [float(s.sum()) for s in found.values()] == pytest.approx([paths] * 2)
