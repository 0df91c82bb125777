"""Weights and decisions of a relaxed network learn in turns, each from its own units."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from evaluators import Batches
from evaluators.datasets import Dataset
from evaluators.preparations import darts, pc_darts
from evaluators.preparations._bilevel import Bilevel, counting
from evaluators.preparations._unrolled import Tensors, adam_step, gradients, second_order
from nas.contracts import graphs
from search_spaces import PluginError, SearchSpace, SpaceError, gnn
from search_spaces.plugins import load

NODES, GRAPHS = graphs.node_graph(), graphs.graph_set()
RECIPE: Mapping[str, Any] = {"epochs": 3, "steps": 2, "architecture_lr": 0.1}


def space(dataset: Dataset, **options: Any) -> SearchSpace:
    asked: dict[str, Any] = {
        "depth": [1, 2],
        "operators": ["gcn", "sage", "linear"],
        "width": [8],
        "normalization": ["none"],
        "activation": ["tanh"],
        "aggregation": ["mean"],
        "post_layers": [0],
    }
    return gnn.build(dataset.task, **{**asked, **options})


def made(
    dataset: Dataset = NODES,
    name: str = "darts",
    seed: int = 0,
    of: SearchSpace | None = None,
    **options: Any,
) -> Bilevel:
    torch.manual_seed(seed)
    prepare = load("preparation", name).prepare
    given = {**RECIPE, **options}
    bilevel: Bilevel = prepare(of or space(dataset), Batches(dataset.seal()), seed, **given)
    return bilevel


def copied(tensors: Tensors) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def changed(one: Tensors, other: Tensors) -> list[str]:
    return [name for name in one if not torch.equal(one[name], other[name])]


def whole(dataset: Dataset = NODES) -> Any:
    """The batches of a step."""
    cut = Batches(dataset.seal())
    return cut.of(dataset.train.nonzero()[:, 0]), cut.of(dataset.val.nonzero()[:, 0])


@pytest.mark.parametrize("name", ["darts", "pc_darts"])
@pytest.mark.parametrize("order", ["first", "second"])
def test_each_step_moves_its_own(name: str, order: str) -> None:
    """A step of the weights leaves decisions bit for bit, and a step of decisions the weights."""
    bilevel = made(name=name, order=order)
    train, val = whole()
    weights, logits = copied(bilevel.weights), copied(bilevel.logits)
    bilevel.train(train, 1, 0)
    assert changed(bilevel.weights, weights)
    assert not changed(bilevel.logits, logits)
    weights = copied(bilevel.weights)
    bilevel.learn(train, val, 1, 0)
    assert not changed(bilevel.weights, weights)
    assert changed(bilevel.logits, logits)


@pytest.mark.parametrize("dataset", [NODES, GRAPHS], ids=["nodes", "graphs"])
def test_weights_see_no_validation_label(dataset: Dataset) -> None:
    """With other labels there a warm-up trains the same; with other training labels it does not."""

    def trained(**fields: Tensor) -> Tensors:
        bilevel = made(replace(dataset, **fields), warm_up_epochs=2)  # type: ignore[arg-type]
        for number in (1, 2):
            torch.manual_seed(number)
            bilevel.epoch(number)
        return bilevel.weights

    y, weights = dataset.y.clone(), trained()
    y[dataset.val] = (y[dataset.val] + 1) % dataset.n_classes
    assert not changed(trained(y=y), weights)
    y = dataset.y.clone()
    y[dataset.train] = (y[dataset.train] + 1) % dataset.n_classes
    assert changed(trained(y=y), weights)


def test_decisions_stay_in_the_warm_up_and_where_their_rate_is_zero() -> None:
    """And move after it."""
    bilevel = made(warm_up_epochs=2)
    begun = copied(bilevel.logits)
    for number in (1, 2):
        bilevel.epoch(number)
    assert not changed(bilevel.logits, begun)
    bilevel.epoch(3)
    assert changed(bilevel.logits, begun)
    still = made(architecture_lr=0.0)
    begun = copied(still.logits)
    still.epoch(1)
    assert not changed(still.logits, begun)


def test_edges_have_weights_of_their_own() -> None:
    """With `pc_darts`, of decisions about what is read; what counts is the softmax of the sum."""
    bilevel = made(name="pc_darts")
    assert {"edges/depth", "edges/connectivity"} <= bilevel.logits.keys()
    assert "edges/layer0.operator" not in bilevel.logits
    assert not any(
        name.startswith("edges/") for name in made(name="pc_darts", normalize_edges=False).logits
    )
    logits = {"depth": torch.tensor([0.3, 1.0]), "edges/depth": torch.tensor([2.0, -1.0])}
    product = logits["depth"].softmax(0) * logits["edges/depth"].softmax(0)
    assert torch.allclose(counting(logits)["depth"], product / product.sum())


def test_one_part_of_the_channels_is_darts() -> None:
    """Bit for bit, without weights of edges; with several parts it is not."""

    def losses(name: str, **options: Any) -> list[dict[str, float]]:
        bilevel, found = made(name=name, warm_up_epochs=0, **options), []
        for number in (1, 2, 3):
            torch.manual_seed(number)
            found.append(bilevel.epoch(number))
        return found

    one = losses("darts")
    assert losses("pc_darts", channel_parts=1, normalize_edges=False) == one
    assert losses("pc_darts", channel_parts=2, normalize_edges=False) != one


def unrolled(bilevel: Bilevel, train: Any, val: Any) -> tuple[Tensors, Tensors, Tensors]:
    """Through an explicit step by automatic differentiation; of the first and second order."""
    train_loss, val_loss = bilevel._train_loss(train, 1, 0), bilevel._val_loss(val, 1, 0)
    loss, logits = train_loss(bilevel.weights, bilevel.logits), bilevel.logits
    used = gradients(train_loss(bilevel.weights, logits), bilevel.weights)
    # Maps between equal widths are in no network, and have no gradient.
    names, weights = list(bilevel.weights), list(bilevel.weights.values())
    raw = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
    of = {n: g for n, g in zip(names, raw, strict=True) if g is not None}
    held = {n: g.detach() for n, g in of.items()}
    step = adam_step(bilevel._of_weights, {n: bilevel.weights[n] for n in of}, held)
    # The step that was taken, and how it depends on the gradient.
    moved = {n: step.weights[n] - step.slopes[n] * (g - g.detach()) for n, g in of.items()}
    rest = {n: w.detach() for n, w in bilevel.weights.items()}
    explicit = gradients(val_loss({**rest, **moved}, logits), logits)
    first = gradients(val_loss(rest, logits), logits)
    whole = adam_step(bilevel._of_weights, bilevel.weights, used)
    return explicit, first, second_order(val_loss, train_loss, bilevel.weights, logits, whole)[1]


def test_the_second_order_is_that_of_an_unrolled_step() -> None:
    """To a thousandth, momentum included, without kinks; the first order is further off."""
    smooth = space(NODES, pre_layers=[0], connectivity=["plain", "residual", "dense"])
    bilevel = made(of=smooth, order="second", dropout=0.0, lr=0.05)
    bilevel._hold(
        {n: w.detach().double() for n, w in bilevel.weights.items()},
        {n: w.detach().double() for n, w in bilevel.logits.items()},
    )
    train, val = whole()
    for step in range(3):
        bilevel.train(train, 1, step)
    explicit, first, second = (
        torch.cat([g.flatten() for g in found.values()]) for found in unrolled(bilevel, train, val)
    )
    scale = explicit.norm()
    assert float((second - explicit).norm() / scale) < 1e-3
    assert float((first - explicit).norm() / scale) > 1e-2


def test_a_planned_step_is_the_step_that_adam_takes() -> None:
    """And its slopes are those of the step, where its denominators are held."""
    torch.manual_seed(0)
    weights = {"w": torch.randn(5, dtype=torch.float64, requires_grad=True)}
    optimizer = torch.optim.Adam(list(weights.values()), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        found = {"w": torch.randn(5, dtype=torch.float64)}
        planned = adam_step(optimizer, weights, found)
        weights["w"].grad = found["w"]
        optimizer.step()
        assert torch.allclose(weights["w"], planned.weights["w"], atol=1e-12)
    assert bool((planned.slopes["w"] > 0).all())


def test_wrong_options_are_refused() -> None:
    """By name, with what to do."""
    task = NODES.task
    with pytest.raises(PluginError, match=r"warm_up_epochs: expected fewer than the 3 epochs"):
        darts.check(space(NODES), task, {"epochs": 3, "warm_up_epochs": 3})
    with pytest.raises(SpaceError, match=r"layer0.width: 8 channels .* 3 parts"):
        pc_darts.check(space(NODES), task, {"channel_parts": 3})
    with pytest.raises(SpaceError, match=r"train\.lr: a relaxed network"):
        darts.check(space(NODES, lr=[0.1]), task, {})
