"""Outputs fitted anew: the ridge regression that is told of, of training labels and no others."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import elastic
from torch import Tensor, nn
from torch_geometric.nn import SGConv

from evaluators import Batches
from evaluators._faults import CandidateError
from evaluators.foreseeing import Floats
from evaluators.reading_out import ReadOut
from evaluators.slicing import Subnets
from search_spaces import Architecture
from search_spaces.supernet import Supernet

GRAPHS = pytest.mark.parametrize("graphs", [False, True], ids=["nodes", "graphs"])


def units(split: str, *, graphs: bool) -> Tensor:
    found: Tensor = getattr(elastic.dataset(graphs=graphs), split).nonzero()[:, 0]
    return found


def last_features(net: Supernet, architecture: Architecture, *, graphs: bool) -> Tensor:
    """[U, D] what the output of the extracted network is given, of all units, in order."""
    batches = elastic.batches(graphs=graphs)
    network = Subnets(net, batches).network(elastic.weights(net), architecture)
    seen: list[Tensor] = []

    def note(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0])

    network.get_submodule("output").register_forward_pre_hook(note)
    with torch.no_grad():
        network(*batches.of(torch.arange(batches.dataset.y.numel())).inputs)
    return seen[0]


def ridge(x: Tensor, y: Tensor, train: Tensor, val: Tensor) -> Tensor:
    """By the strength that misses least of units that are left out, which are, one by one."""
    centered = (x - x[train].mean(0)) / x[train].std(0, correction=0)
    columns = torch.cat([centered, torch.ones(len(x), 1, dtype=x.dtype)], 1).numpy()
    wanted = np.eye(int(y.max()) + 1)[y[train].numpy()]
    rows = columns[train.numpy()]

    def missed(strength: float) -> float:
        errors = [
            wanted[i] - rows[i] @ fitted(np.delete(rows, i, 0), np.delete(wanted, i, 0), pull)
            for pull in [strength * len(rows)]
            for i in range(len(rows))
        ]
        return float(np.square(errors).sum())

    best = min((0.001, 0.01, 0.1, 1.0), key=missed) * len(rows)
    return torch.from_numpy(columns[val.numpy()] @ fitted(rows, wanted, best))


def fitted(rows: Floats, wanted: Floats, pull: float) -> Floats:
    """Least squares with a row more for each coefficient, which pulls it to 0."""
    design = np.concatenate([rows, np.sqrt(pull) * np.eye(rows.shape[1])])
    targets = np.concatenate([wanted, np.zeros((rows.shape[1], wanted.shape[1]))])
    return np.linalg.lstsq(design, targets, rcond=None)[0]


@pytest.mark.parametrize("output", ["linear", "gcn"])
def test_it_is_a_ridge_regression_of_what_the_output_reads(output: str) -> None:
    """Propagated first, where the output's operator does that."""
    net, dataset = elastic.supernet("few"), elastic.dataset()
    train, val = units("train", graphs=False), units("val", graphs=False)
    read_out = ReadOut(Subnets(net, elastic.batches()))
    smooth = SGConv(1, 1, K=1)
    # No activation whose columns may be 0 everywhere.
    lively = {f"layer{i}.activation": "tanh" for i in range(3)} | {"post.layers": 0}
    for architecture in elastic.sampled(net, 6, **{"output.operator": output, **lively}):
        x = last_features(net, architecture, graphs=False)
        if output == "gcn":
            smooth.lin = nn.Identity()
            smooth.bias = None
            x = smooth(x, dataset.edge_index)
        found = read_out.logits(elastic.weights(net), architecture, val)
        torch.testing.assert_close(found, ridge(x, dataset.y, train, val), rtol=1e-5, atol=1e-6)


def test_of_graphs_it_is_one_of_what_is_read_out_of_their_nodes() -> None:
    net, dataset = elastic.supernet("few", graphs=True), elastic.dataset(graphs=True)
    train, val = units("train", graphs=True), units("val", graphs=True)
    read_out = ReadOut(Subnets(net, elastic.batches(graphs=True)))
    lively = {f"layer{i}.activation": "tanh" for i in range(3)} | {"post.layers": 0}
    for architecture in elastic.sampled(net, 6, **lively):
        x = last_features(net, architecture, graphs=True)
        found = read_out.logits(elastic.weights(net), architecture, val)
        torch.testing.assert_close(found, ridge(x, dataset.y, train, val), rtol=1e-5, atol=1e-6)


def test_what_is_not_finite_has_no_read_out() -> None:
    """It has diverged, in words, and is no fault of a program; finite weights have one."""
    net, val = elastic.supernet("few"), units("val", graphs=False)
    read_out = ReadOut(Subnets(net, elastic.batches()))
    weights = elastic.weights(net)
    spoiled = {name: weight * float("nan") for name, weight in weights.items()}
    (architecture,) = elastic.sampled(net, 1)
    with pytest.raises(CandidateError) as caught:
        read_out.logits(spoiled, architecture, val)
    assert caught.value.failure.kind == "divergence"
    assert read_out.logits(weights, architecture, val).isfinite().all()


@GRAPHS
def test_it_reads_labels_of_training_alone(graphs: bool) -> None:
    """Others may be anything, or not there."""
    net, dataset = elastic.supernet("few", graphs=graphs), elastic.dataset(graphs=graphs)
    weights, val = elastic.weights(net), units("val", graphs=graphs)
    other = (dataset.y + 1) % dataset.n_classes
    for architecture in elastic.sampled(net, 3):
        same, hidden, control = (
            ReadOut(Subnets(net, Batches(replace(dataset, y=y)))).logits(weights, architecture, val)
            for y in (
                dataset.y,
                torch.where(dataset.train, dataset.y, -1),
                torch.where(dataset.train, other, dataset.y),
            )
        )
        assert torch.equal(same, hidden)
        assert not torch.allclose(same, control)


@GRAPHS
def test_the_weights_of_the_output_do_not_matter(graphs: bool) -> None:
    """Those before it do; every operator as an output, and all connectivities, are read."""
    net, batches = elastic.supernet("every", graphs=graphs), elastic.batches(graphs=graphs)
    weights, val = elastic.weights(net), units("val", graphs=graphs)
    turned = {n: -w if n.startswith("output") else w for n, w in weights.items()}
    others = {n: w if n.startswith("output") else -w for n, w in weights.items()}
    read_out = ReadOut(Subnets(net, batches))
    for architecture in elastic.sampled(net, 10):
        one, same, control = (
            read_out.logits(some, architecture, val) for some in (weights, turned, others)
        )
        assert one.isfinite().all()
        assert torch.equal(one, same)
        assert not torch.allclose(one, control)


def test_weights_that_were_never_trained_tell_something() -> None:
    """More than their own output does: on planted classes, of all slices together."""
    net, dataset = elastic.supernet("few"), elastic.dataset()
    val, weights = units("val", graphs=False), elastic.weights(net)
    subnets = Subnets(net, elastic.batches())
    read_out = ReadOut(subnets)
    right = [0.0, 0.0]
    for architecture in elastic.sampled(net, 30):
        both = (
            read_out.logits(weights, architecture, val),
            subnets.evaluated(weights, architecture, val),
        )
        for i, logits in enumerate(both):
            right[i] += float((logits.argmax(1) == dataset.y[val]).double().mean()) / 30
    assert right[0] > right[1] + 0.1
    assert right[1] == pytest.approx(1 / 3, abs=0.1)
