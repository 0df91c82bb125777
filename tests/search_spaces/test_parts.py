"""The parts of networks, as a space tells them; test_work.py: they do what the network does."""

import pickle
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import (
    Architecture,
    Decision,
    SearchSpace,
    SpaceExtension,
    Task,
    gnn,
    nas_bench_graph,
    plugins,
)
from search_spaces.parts import Part

NODES = Task("node_classification", 12, 4, 100, 300, 1, 20, 20, 60, "accuracy", "nodes")
GRAPHS = Task("graph_classification", 5, 2, 100, 300, 9, 3, 3, 3, "accuracy", "graphs")
TASKS = pytest.mark.parametrize("task", [NODES, GRAPHS], ids=["nodes", "graphs"])


def spaces(task: Task) -> Iterator[SearchSpace]:
    yield gnn.build(
        task, operators=plugins.names("operator"), pre_layers=[0, 1, 2], post_layers=[0, 1, 2]
    )
    yield nas_bench_graph.build(task)


def samples(space: SearchSpace, count: int) -> list[Architecture]:
    rng = np.random.default_rng(3)
    return [space.sample(rng) for _ in range(count)]


def parts(space: SearchSpace, architecture: Architecture, task: Task) -> tuple[Part, ...]:
    assert space.parts is not None
    return space.parts(architecture, task)


def shapes(module: object) -> list[tuple[int, ...]]:
    if not isinstance(module, nn.Module):
        return []
    return [tuple(parameter.shape) for parameter in module.parameters()]


@TASKS
def test_parts_have_the_weights_of_the_network(task: Task) -> None:
    """Each weight of a random network is one of a part, and no part has another."""
    for space in spaces(task):
        for architecture in samples(space, 40):
            with torch.device("meta"):
                whole = shapes(space.network(architecture, task))
                pieces = [part.piece() for part in parts(space, architecture, task)]
            assert sorted(whole) == sorted(shape for piece in pieces for shape in shapes(piece))


@TASKS
def test_equal_parts_are_one_part(task: Task) -> None:
    """Told twice, and after a journey to another process, they are equal and hash alike."""
    for space in spaces(task):
        for architecture in samples(space, 10):
            first, again = (parts(space, architecture, task) for _ in range(2))
            travelled = pickle.loads(pickle.dumps(first))  # noqa: S301 - our own bytes
            assert first == again == travelled
            assert {*first} == {*again} == {*travelled}


def test_networks_share_parts() -> None:
    """A thousand networks have far fewer parts than a part each; one choice changes few."""
    space = gnn.build(NODES, depth=[2], connectivity=["plain"])
    told = [parts(space, architecture, NODES) for architecture in samples(space, 1000)]
    assert len({part for one in told for part in one}) < 500
    base = samples(space, 1)[0]
    for decision in ("layer1.activation", "layer1.normalization"):
        for choice in space.by_name[decision].choices:
            other = space.architecture({**base.choices, decision: choice})
            changed = {*parts(space, base, NODES)} ^ {*parts(space, other, NODES)}
            assert len(changed) == (2 if choice != base.choices[decision] else 0)


def test_the_recipe_is_no_part() -> None:
    """Learning rate and dropout change no part; a width does."""
    space = gnn.build(NODES, lr=[0.1, 0.01], width=[16, 32], depth=[1])
    for architecture in samples(space, 10):
        told = parts(space, architecture, NODES)
        for lr in (0.1, 0.01):
            same = space.architecture({**architecture.choices, "train.lr": lr})
            assert parts(space, same, NODES) == told
        wider = 48 - int(architecture.choices["layer0.width"])
        other = space.architecture({**architecture.choices, "layer0.width": wider})
        assert parts(space, other, NODES) != told


def halved(network: nn.Module, architecture: Architecture, task: Task) -> nn.Module:
    return network.half()


def test_an_extended_space_has_no_parts() -> None:
    """Its transform makes another network of them."""
    extension = SpaceExtension("bits", (Decision("bits", (8, 16)),), halved)
    assert gnn.build(NODES).parts is not None
    assert gnn.build(NODES).extended(extension).parts is None
