"""Choosing before training: what SynFlow conserves, what needs data, and layers that are gone."""

from dataclasses import replace

import pytest
import torch
from fakes import sparse
from torch import Tensor, nn

from evaluators.datasets import Dataset
from search_spaces.sparsity import scores
from search_spaces.sparsity.network import Sparse

BARE = {"normalization": ["none"], "depth": [3], "width": [32]}
LINEAR = BARE | {"operators": ["linear"], "output": ["linear"]}


def other_data(seed: int, dataset: Dataset = sparse.DATASET) -> Dataset:
    """The same graph with other features and labels."""
    rng = torch.Generator().manual_seed(seed)
    y = dataset.y[torch.randperm(dataset.y.numel(), generator=rng)]
    return replace(dataset, x=torch.randn(dataset.x.shape, generator=rng), y=y)


def layer_sums(network: Sparse) -> Tensor:
    """Of SynFlow's scores [layers], in double precision."""
    network.double()
    weights = network.weights()
    inputs = (sparse.DATASET.x.double(), sparse.DATASET.edge_index)
    found = scores.synflow(network, weights, inputs)
    return torch.stack([score.sum() for score in found.values()])


@pytest.mark.parametrize("operator", ["linear", "gcn"])
def test_what_flows_through_each_layer_is_the_same(operator: str) -> None:
    """Of maps without biases, with ReLU; and what they are is put back."""
    given = LINEAR | {"operators": [operator], "output": [operator]}
    network = sparse.network(given, method="synflow", weight_density=0.5)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    sums = layer_sums(network)
    assert sums.numel() == 4
    assert sums[0] > 0
    torch.testing.assert_close(sums, sums[0].expand_as(sums), rtol=1e-12, atol=0)
    after = network.float().state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert network.training


def test_what_is_too_much_for_single_precision_is_not_for_double() -> None:
    """Sixty layers; what the network is, is put back. The control: single precision alone."""
    deep = LINEAR | {"depth": [60], "width": [128]}
    network = sparse.network(deep, method="synflow", weight_density=0.5)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    inputs = (sparse.DATASET.x, sparse.DATASET.edge_index)
    sums = [s.sum() for s in scores.synflow(network, network.weights(), inputs).values()]
    assert sums[0] > torch.finfo(torch.float32).max
    torch.testing.assert_close(torch.stack(sums), sums[0].expand(61), rtol=1e-9, atol=0)
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    with torch.no_grad():
        for weight in network.weights().values():
            weight.fill_(1e37)
    with pytest.raises(OverflowError, match="use another method"):
        scores.synflow(network, network.weights(), inputs)


def chosen(method: str, dataset: Dataset, given: dict[str, object], **options: object) -> Sparse:
    network = sparse.network(given, dataset, method=method, **options)
    sparse.begin(network, network.settles_after + 1, dataset)
    return network


@pytest.mark.parametrize("density", [0.02, 0.01, 0.006])
def test_no_layer_is_empty_where_magnitude_empties_some(density: float) -> None:
    """At once and over all, where a layer of few inputs begins with larger weights."""
    given = LINEAR | {"width": [64]}
    left = sparse.left(chosen("synflow", sparse.DATASET, given, weight_density=density))
    assert min(left.values()) > 0
    network = sparse.network(given, method="magnitude", weight_density=density, over_epochs=1)
    sparse.begin(network, 2)
    emptied = sparse.left(network)
    assert sum(emptied.values()) == sum(left.values())
    assert min(emptied.values()) == 0


@pytest.mark.parametrize("edges", [1.0, 0.7])
def test_only_synflow_needs_no_data(edges: float) -> None:
    """The control is SNIP, and GraSP."""
    options = {"weight_density": 0.3, "edge_density": edges}
    for method in ("synflow", "snip", "grasp"):
        one, other = (
            sparse.masks(chosen(method, dataset, {}, **options))
            for dataset in (other_data(0), other_data(1))
        )
        same = [torch.equal(one[name], other[name]) for name in one]
        assert all(same) if method == "synflow" else not any(same[:2])


def test_grasp_is_by_how_much_the_flow_of_gradients_falls() -> None:
    """Where a little of an entry is taken away: by finite differences, up to a common scale."""
    network = sparse.network(LINEAR, method="grasp", weight_density=0.5).double()
    values = dict(network.weights())
    x, edge_index = sparse.DATASET.x.double(), sparse.DATASET.edge_index

    def loss(temperature: float) -> Tensor:
        logits = network(x, edge_index)[sparse.DATASET.train] / temperature
        return nn.functional.cross_entropy(logits, sparse.DATASET.y[sparse.DATASET.train])

    def flow() -> float:
        found = scores.gradients(values, loss(scores.TEMPERATURE))
        return sum(float(g.square().sum()) for g in found.values())

    found, share, ratios = scores.grasp(values, loss), 1e-5, []
    for name, value in values.items():
        flat, score = value.data.view(-1), found[name].view(-1)
        for place in score.abs().topk(2).indices.tolist():
            entry, whole = flat[place].item(), flow()
            flat[place] = entry * (1 - share)
            ratios.append((whole - flow()) / float(score[place]))
            flat[place] = entry
    assert ratios == pytest.approx([ratios[0]] * len(ratios), rel=1e-3)
    assert ratios[0] > 0


RESIDUAL = {"depth": [4], "connectivity": ["residual"], "width": [8], "pre_layers": [1]}


def ticket(dataset: Dataset = sparse.DATASET, seed: int = 0, **given: object) -> Sparse:
    network = sparse.network(
        RESIDUAL | given, dataset, seed=seed, method="layer_ticket", weight_density=0.5
    )
    sparse.begin(network, 1, dataset)
    return network


def left_layers(network: Sparse) -> list[int]:
    found: list[int] = network.sparsity.kept.layers.tolist()  # type: ignore[union-attr, operator]
    return found


def test_layers_that_went_are_no_part_of_the_network() -> None:
    """What is left has the weights that it began with, and computes with no others."""
    whole = sparse.network(RESIDUAL, method="layer_ticket", weight_density=0.5)
    before = {name: tensor.clone() for name, tensor in whole.named_parameters()}
    network = ticket()
    kept = left_layers(network)
    assert len(kept) == 2
    assert len(network.body.layers) == 2  # type: ignore[arg-type]
    after = dict(network.named_parameters())
    gone = {i: sum(t.numel() for n, t in before.items() if f"layers.{i}." in n) for i in range(4)}
    assert all(gone.values())
    total = sum(t.numel() for t in before.values())
    assert sum(t.numel() for t in after.values()) == total - sum(
        n for i, n in gone.items() if i not in kept
    )
    for name, tensor in after.items():
        parts = name.split(".")
        if parts[:2] == ["body", "layers"]:
            parts[2] = str(kept[int(parts[2])])
        assert torch.equal(tensor, before[".".join(parts)])


def test_which_layers_go_is_a_matter_of_the_data() -> None:
    """With the same data, the control, the same ones go."""
    found = {tuple(left_layers(ticket(other_data(seed)))) for seed in range(8)}
    assert len(found) > 1
    assert left_layers(ticket(other_data(0))) == left_layers(ticket(other_data(0)))


def test_only_what_keeps_its_width_may_go() -> None:
    """Without a perceptron before it the first layer maps features to another width."""
    found = {tuple(left_layers(ticket(other_data(seed), pre_layers=[0]))) for seed in range(6)}
    assert all(kept[0] == 0 for kept in found)
    # Control: with one it may go.
    free = {tuple(left_layers(ticket(other_data(seed)))) for seed in range(6)}
    assert any(kept[0] != 0 for kept in free)


def test_where_none_may_go_all_stay() -> None:
    network = sparse.network(
        RESIDUAL | {"connectivity": ["plain", "residual"]},
        method="layer_ticket",
        weight_density=0.5,
    )
    sparse.begin(network, 1)
    assert len(network.body.layers) == 4  # type: ignore[arg-type]
