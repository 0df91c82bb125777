"""What every space keeps: architectures have keys and vectors, and each is a network."""

import pickle
import re
from collections.abc import Mapping
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas import drawing
from nas.contracts import _signature, graphs
from search_spaces import Architecture, SearchSpace, Task, UsageError, plugins
from search_spaces.picture import Picture
from search_spaces.plugins import Plugin

KIND = "space"
DATASETS = {"node": graphs.node_graph(), "graph": graphs.graph_set()}
TASKS: Mapping[str, Task] = {kind: dataset.task for kind, dataset in DATASETS.items()}


@pytest.fixture(params=["node", "graph"])
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS[request.param]


def made(plugin: Plugin, task: Task) -> SearchSpace:
    space: SearchSpace = plugins.load(KIND, plugin.name).build(task, **plugin.options)
    return space


@pytest.fixture
def space(plugin: Plugin, task: Task) -> SearchSpace:
    try:
        return made(plugin, task)
    except UsageError as error:
        pytest.skip(f"it is not for this kind of task: {error}")


def drawn(space: SearchSpace, count: int) -> list[Architecture]:
    rng = np.random.default_rng(0)
    return [space.sample(rng) for _ in range(count)]


def inputs(task: Task) -> tuple[Tensor, ...]:
    dataset = DATASETS["graph" if task.is_graph_task else "node"]
    if dataset.graph_ids is None:
        return dataset.x, dataset.edge_index
    return dataset.x, dataset.edge_index, dataset.graph_ids, torch.zeros(task.n_graphs).long()


def test_it_is_called_as_spaces_are(plugin: Plugin) -> None:
    """`build(task, *, ...)`, each option with a type and told of; for one kind of task at least."""
    _signature.check(KIND, plugin)
    refused = 0
    for task in TASKS.values():
        try:
            assert isinstance(made(plugin, task), SearchSpace)
        except UsageError:
            refused += 1
    assert refused < len(TASKS)


def test_architectures_are_what_they_say(space: SearchSpace) -> None:
    """Equal after encoding and decoding, after JSON, and checked decision by decision."""
    assert space.size() >= 1
    for architecture in drawn(space, 50):
        assert space.decode(space.encode(architecture)) == architecture
        assert Architecture.from_json(architecture.to_json()) == architecture
        assert space.architecture(architecture.choices) == architecture


def test_the_same_space_is_built_again(plugin: Plugin, space: SearchSpace, task: Task) -> None:
    """And in a worker: it is pickled with each job."""
    assert made(plugin, task).digest == space.digest
    again: SearchSpace = pickle.loads(pickle.dumps(space))  # noqa: S301 - our own
    assert (again, again.digest) == (space, space.digest)


def test_every_architecture_is_a_network_that_learns(space: SearchSpace, task: Task) -> None:
    """[N, C], or [B, C] of a graph task; finite, and some parameter has a gradient."""
    for architecture in drawn(space, 12):
        torch.manual_seed(0)
        network = space.network(architecture, task)
        logits = network(*inputs(task))
        units = task.n_graphs if task.is_graph_task else task.n_nodes
        assert logits.shape == (units, task.n_classes), architecture
        assert logits.isfinite().all(), architecture
        logits.square().sum().backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        assert all(g.isfinite().all() for g in gradients), architecture
        assert any(g.any() for g in gradients), architecture


def test_the_seed_decides_the_weights(space: SearchSpace, task: Task) -> None:
    """Built twice after the same seed, a network is the same; after another, another one."""

    def weights(network: nn.Module) -> list[Tensor]:
        return [p.detach().clone() for p in network.parameters()]

    def built(seed: int) -> list[Tensor]:
        torch.manual_seed(seed)
        return weights(space.network(drawn(space, 1)[0], task))

    assert all(torch.equal(one, other) for one, other in zip(built(1), built(1), strict=True))
    assert any(not torch.equal(one, other) for one, other in zip(built(1), built(2), strict=True))


def unsaid(picture: Picture, architecture: Architecture) -> set[str]:
    """The decisions that are answered in no box that says it shows them, and in no note."""
    notes = set(re.split(r"[:,] ", ", ".join(picture.notes)))
    said = {name for name, choice in architecture.choices.items() if f"{name} {choice}" in notes}
    said |= {f"train.{name}" for name, c in architecture.recipe.items() if f"{name} {c}" in notes}
    for box in picture.boxes:
        words = {word.strip("()") for line in (box.title, *box.told) for word in line.split()}
        said |= {name for name in box.shows if str(architecture.choices[name]) in words}
    return {*architecture.choices} - said


def test_every_architecture_is_drawn(space: SearchSpace, task: Task) -> None:
    """By `draw`, where it has that, with a task and without; each decision is to be read there."""
    for architecture in drawn(space, 30):
        for known in (task, None):
            if space.draw is not None:
                assert len(space.draw(architecture, known).boxes) > 1
            picture = drawing.picture(architecture, known, space=space)
            assert not unsaid(picture, architecture), architecture
            image = drawing.svg(architecture, known, space=space)
            root = ElementTree.fromstring(image)  # noqa: S314 - our own
            assert root.tag.endswith("svg"), architecture
            assert root.get("role") == "img"
            assert drawing.text(architecture, known, space=space)
