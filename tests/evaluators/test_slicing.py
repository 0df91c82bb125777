"""Slices in training: gradients reach them and nothing else, computed as modules compute."""

import pytest
import torch
import torch.nn.functional as F
from fakes import elastic
from torch import Tensor
from torch.func import functional_call

from evaluators.slicing import Subnets
from search_spaces import Architecture
from search_spaces.slices import Weights
from search_spaces.supernet import Supernet

CASES = pytest.mark.parametrize(
    ("name", "graphs", "share"),
    [
        ("every", False, False),
        ("every", False, True),
        ("every", True, False),
        ("outside", False, False),
        ("few", True, True),
    ],
)


def fresh(net: Supernet) -> dict[str, Tensor]:
    return {n: w.clone().requires_grad_() for n, w in elastic.weights(net).items()}


def by_modules(weights: Weights, net: Supernet, architecture: Architecture, graphs: bool) -> Tensor:
    """The logits of a training pass, nothing dropped, of a network that has the slices."""
    batches = elastic.batches(graphs=graphs)
    batch = batches.of(batches.dataset.train.nonzero()[:, 0])
    network = net.space.network(architecture, net.task).double().train()
    state = net.weights(weights, architecture)
    logits: Tensor = functional_call(network, state, batch.inputs)
    return batch.select(logits)


@CASES
def test_training_is_what_the_modules_do(name: str, graphs: bool, share: bool) -> None:
    """Logits and gradients of the shared weights, to 1e-8 in float64, in every tensor."""
    net = elastic.supernet(name, graphs=graphs, share=share)
    batches = elastic.batches(graphs=graphs)
    subnets = Subnets(net, batches)
    batch = batches.of(batches.dataset.train.nonzero()[:, 0])
    for architecture in elastic.sampled(net, 6, seed=2):
        mine, theirs = fresh(net), fresh(net)
        for seed in (None, (1, 2, 3)):  # with a probability of 0 nothing is dropped
            logits = subnets.trained(mine, architecture, batch, seed)
            expected = by_modules(theirs, net, architecture, graphs)
            torch.testing.assert_close(logits, expected, rtol=1e-8, atol=1e-8)
        F.cross_entropy(logits, batch.y).backward()
        F.cross_entropy(expected, batch.y).backward()
        for tensor, weight in mine.items():
            other = theirs[tensor].grad
            assert (weight.grad is None) == (other is None), (tensor, architecture)
            torch.testing.assert_close(weight.grad, other, rtol=1e-6, atol=1e-9)


@CASES
def test_gradients_reach_the_slice_and_nothing_else(name: str, graphs: bool, share: bool) -> None:
    """Outside of it they are 0 or there is none; within, every tensor has some."""
    net = elastic.supernet(name, graphs=graphs, share=share)
    batches = elastic.batches(graphs=graphs)
    subnets, weights = Subnets(net, batches), fresh(net)
    batch = batches.of(batches.dataset.train.nonzero()[:, 0])
    for architecture in elastic.sampled(net, 6, seed=3, depth=2):
        for weight in weights.values():
            weight.grad = None
        subnets.trained(weights, architecture, batch, None).square().sum().backward()
        within = {n: torch.zeros_like(w) for n, w in weights.items()}
        for own in net.slices(architecture).values():
            for block in own.blocks:
                block.view(within).fill_(1)
        reached = {n for n, w in weights.items() if w.grad is not None and w.grad.any()}
        assert reached <= {n for n, w in within.items() if w.any()}
        for n in reached:
            assert not weights[n].grad[within[n] == 0].any(), (n, architecture)
        assert len(reached) >= 4


def test_a_dropout_that_is_set_takes_part_in_training_alone() -> None:
    """The same seed drops the same; in evaluation nothing is dropped."""
    for graphs in (False, True):
        net, batches = elastic.supernet("few", graphs=graphs), elastic.batches(graphs=graphs)
        units = batches.dataset.train.nonzero()[:, 0]
        weights, batch = elastic.weights(net), batches.of(units)
        none, half = Subnets(net, batches), Subnets(net, batches, dropout=0.5)
        for architecture in elastic.sampled(net, 3):
            passes = [half.trained(weights, architecture, batch, (s, 0)) for s in (1, 1, 2)]
            assert torch.equal(passes[0], passes[1])
            assert not torch.allclose(passes[0], passes[2])
            assert torch.equal(
                half.trained(weights, architecture, batch, None),
                none.trained(weights, architecture, batch, None),
            )
            assert torch.equal(
                half.evaluated(weights, architecture, units),
                none.evaluated(weights, architecture, units),
            )


def test_in_float32_the_engine_agrees_to_its_precision() -> None:
    """Relative 1e-4 of the largest logit; in float64 it is exact."""
    net = elastic.supernet("every")
    weights = {n: w.float() for n, w in elastic.weights(net).items()}
    subnets, units = Subnets(net, elastic.batches()), elastic.dataset().val.nonzero()[:, 0]
    for architecture in elastic.sampled(net, 10):
        slice_ = subnets.evaluated(weights, architecture, units)
        assert slice_.dtype == torch.float32
        exact = subnets.evaluated(elastic.weights(net), architecture, units)
        assert (slice_ - exact).abs().max() < 1e-4 * exact.abs().max()
