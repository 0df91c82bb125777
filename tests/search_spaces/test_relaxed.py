"""Relaxed networks: one-hot they are the networks of the space; else they lie between them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluators import Batches
from evaluators.datasets import Dataset
from nas.contracts import graphs
from search_spaces import SearchSpace, SpaceError, Task, gnn, nas_bench_graph
from search_spaces.relaxation import Relaxed, full, learned, most_parts, one_hot, relax
from search_spaces.relaxing import shuffled

NODES = graphs.node_graph()
GRAPHS = graphs.graph_set()


def wide_space(task: Task) -> SearchSpace:
    """With everything that a network may have."""
    return gnn.build(task, depth=[1, 2, 3], width=[8, 16], pre_layers=[0, 1, 2], post_layers=[0, 1])


def cells(task: Task) -> SearchSpace:
    return nas_bench_graph.build(task, width=[8])


def inputs_of(dataset: Dataset) -> tuple[Tensor, ...]:
    units = torch.arange(dataset.y.numel())
    inputs = Batches(dataset).of(units).inputs
    return tuple(x.double() if x.is_floating_point() else x for x in inputs)


def relaxed_of(space: SearchSpace, task: Task, parts: int = 1) -> tuple[Relaxed, dict[str, Tensor]]:
    torch.manual_seed(0)
    relaxed = relax(space, task, parts)
    return relaxed, {name: w.double() for name, w in relaxed.initial().items()}


def differences(dataset: Dataset, space: SearchSpace, count: int, shift: int = 0) -> list[float]:
    """Of one-hot mixtures from the networks of the same architectures, or of others."""
    relaxed, weights = relaxed_of(space, dataset.task)
    rng = np.random.default_rng(1)
    drawn = [space.sample(rng) for _ in range(count + shift)]
    inputs, found = inputs_of(dataset), []
    for one, other in zip(drawn, drawn[shift:], strict=False):
        network = relaxed.network(weights, one).train()
        with torch.no_grad():
            logits = relaxed.logits(weights, one_hot(space, other), inputs)
            found.append(float((logits - network(*inputs)).abs().max()))
    return found


@pytest.mark.parametrize("dataset", [NODES, GRAPHS], ids=["nodes", "graphs"])
@pytest.mark.parametrize("build", [wide_space, cells], ids=["gnn", "nas_bench_graph"])
def test_one_hot_it_is_the_network_with_the_same_weights(
    dataset: Dataset, build: Callable[[Task], SearchSpace]
) -> None:
    """However layers are connected; and not the network of another architecture."""
    space = build(dataset.task)
    assert max(differences(dataset, space, 24)) < 1e-12
    assert np.median(differences(dataset, space, 8, shift=1)) > 1e-3


def weighed(space: SearchSpace, seed: int) -> dict[str, Tensor]:
    """Probabilities of all decisions, drawn."""
    generator = torch.Generator().manual_seed(seed)
    return {
        d.name: torch.rand(len(d.choices), generator=generator, dtype=torch.float64).softmax(0)
        for d in space.decisions
    }


def narrow_space(task: Task) -> SearchSpace:
    return gnn.build(task, depth=[1, 2], width=[16, 32], heads=[1, 4], pre_layers=[0, 1])


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("dataset", [NODES, GRAPHS], ids=["nodes", "graphs"])
@pytest.mark.parametrize("build", [narrow_space, cells], ids=["gnn", "nas_bench_graph"])
def test_every_decision_and_every_weight_has_a_gradient(
    dataset: Dataset, build: Callable[[Task], SearchSpace], parts: int
) -> None:
    """What is learned is what counts: no choice is left out of the mixture."""
    task = dataset.task
    space = build(task)
    relaxed, weights = relaxed_of(space, task, parts)
    rows = {name: row.requires_grad_() for name, row in weighed(space, 0).items()}
    weights = {name: w.requires_grad_() for name, w in weights.items()}
    logits = relaxed.logits(weights, full(rows), inputs_of(dataset))
    (logits * torch.randn_like(logits)).sum().backward()  # type: ignore[no-untyped-call]
    for decision in learned(space):
        gradient = rows[decision.name].grad
        assert gradient is not None, decision.name
        # Equal ones would leave the softmax where it is.
        assert gradient.unique().numel() == gradient.numel(), decision.name
    reached = [name for name, w in weights.items() if w.grad is not None and bool(w.grad.any())]
    # A softmax over neighbors does not see what is added to all scores.
    assert len(reached) > 0.9 * len(weights)


def test_equal_operators_share_what_one_would_do() -> None:
    """A mixture of choices that compute the same is what each of them computes."""
    task = NODES.task
    space = gnn.build(task, depth=[2], operators=["linear"], width=[8], activation=["none", "relu"])
    relaxed, weights = relaxed_of(space, task)
    rows = weighed(space, 1)
    rows["layer0.activation"] = torch.tensor([1.0, 0.0], dtype=torch.float64)
    alone = {**full(rows), "layer0.activation": {0: torch.ones((), dtype=torch.float64)}}
    inputs = inputs_of(NODES)
    both = relaxed.logits(weights, full(rows), inputs)
    assert torch.allclose(both, relaxed.logits(weights, alone, inputs), atol=1e-13)
    rows["layer0.activation"] = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert not torch.allclose(both, relaxed.logits(weights, full(rows), inputs), atol=1e-3)


def test_channels_that_go_past_are_as_they_were() -> None:
    """Bit for bit, before they are shuffled; and shuffling can be undone."""
    task = NODES.task
    space = gnn.build(
        task,
        depth=[1],
        operators=["gcn"],
        width=[16],
        pre_layers=[0],
        activation=["tanh"],
        normalization=["none"],
        post_layers=[0],
    )
    relaxed, weights = relaxed_of(space, task, 4)
    inputs = inputs_of(NODES)
    read: list[Tensor] = []

    def drop(x: Tensor) -> Tensor:
        read.append(x)
        return x

    relaxed.logits(weights, full(weighed(space, 0)), inputs, drop)
    stem = torch.nn.functional.linear(inputs[0], weights["stem.weight"])
    # What the output reads is the layer, shuffled: 4 parts of 4 channels.
    whole = shuffled(read[-1], 4)
    assert torch.equal(shuffled(shuffled(stem, 4), 4), stem)
    assert torch.equal(whole[:, 4:], stem[:, 4:])
    assert not torch.equal(whole[:, :4], stem[:, :4])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lr": [0.01]}, "train.lr: a relaxed network"),
        ({"operators": ["gcn", "skip"]}, 'layer0.operator: "skip"'),
    ],
)
def test_what_cannot_be_relaxed_is_refused(options: dict[str, list[object]], said: str) -> None:
    """By the name of the decision."""
    space = gnn.build(NODES.task, **options)  # type: ignore[arg-type]
    with pytest.raises(SpaceError, match=said):
        relax(space, NODES.task)


def test_parts_that_do_not_divide_are_refused() -> None:
    """Of widths, and of heads."""
    space = gnn.build(NODES.task, operators=["gcn"], width=[10])
    with pytest.raises(SpaceError, match=r"layer0.width: 10 channels .* 4 parts"):
        relax(space, NODES.task, 4)
    space = gnn.build(NODES.task, operators=["gat"], width=[16], heads=[8])
    with pytest.raises(SpaceError, match=r"layer0.heads: .* among 8 heads"):
        relax(space, NODES.task, 4)


def test_cells_of_several_widths_are_refused() -> None:
    """And of one that cannot be divided."""
    with pytest.raises(SpaceError, match=r"width: .* got \[8, 16\]; give one"):
        relax(nas_bench_graph.build(NODES.task, width=[8, 16]), NODES.task)
    with pytest.raises(SpaceError, match=r"width: 8 channels .* 3 parts"):
        relax(cells(NODES.task), NODES.task, 3)


def test_parts_by_default_fit_the_widths() -> None:
    """Four, or two, or all channels where neither divides them."""
    of = {
        4: gnn.build(NODES.task, operators=["gcn"], width=[16, 32]),
        2: gnn.build(NODES.task, width=[16, 32]),
        1: gnn.build(NODES.task, operators=["gcn"], width=[16, 33]),
    }
    for parts, space in of.items():
        assert most_parts(space) == parts
        relax(space, NODES.task, parts)
    with pytest.raises(SpaceError):
        relax(of[2], NODES.task, 4)
