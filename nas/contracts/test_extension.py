"""What every extension keeps: its decisions join any space, and its networks train and leave."""

import dataclasses
import itertools
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evaluators import FACTS, Evaluation, Job
from evaluators.checkpoint import best_weights
from evaluators.datasets import Preprocessing, save_sealed
from evaluators.facts import facts
from evaluators.run import run
from nas.contracts import _signature, graphs, networks
from nas.export import Contract
from nas.export._deployed import deployed
from nas.export._parity import compare
from nas.export._sample import SIZES, made_up
from nas.export.pt2 import Pt2
from search_spaces import Architecture, SearchSpace, SpaceExtension, plugins
from search_spaces.plugins import Plugin

KIND = "extension"
DATASET = graphs.node_graph()
TASK = DATASET.task


@pytest.fixture
def extension(plugin: Plugin) -> SpaceExtension:
    build = plugins.load(KIND, plugin.name).build
    made: SpaceExtension = build(networks.small_space(TASK), TASK, **plugin.options)
    return made


@pytest.fixture
def space(extension: SpaceExtension) -> SearchSpace:
    return networks.small_space(TASK).extended(extension)


def variants(space: SearchSpace, extension: SpaceExtension) -> list[Architecture]:
    """One architecture with each choice of each decision of the extension, where it is active.

    Each once: the only choice of a decision is that of all of them.
    """
    base = space.sample(np.random.default_rng(0))
    made = []
    for decision in extension.decisions:
        for choice in decision.choices:
            needed = {name: allowed[0] for name, allowed in decision.needs.items()}
            given = {**base.choices, **needed, decision.name: choice}
            made.append(space.fill(lambda d: d.choices[0], given))
    once = {a.key: a for a in made if any(d.name in a.choices for d in extension.decisions)}
    return list(once.values())


def built(space: SearchSpace, architecture: Architecture) -> nn.Module:
    torch.manual_seed(0)
    return space.network(architecture, TASK)


def logits(network: nn.Module) -> Tensor:
    with torch.no_grad():
        out: Tensor = network.eval()(DATASET.x, DATASET.edge_index)
    return out


def learned(space: SearchSpace, architecture: Architecture, store: str) -> nn.Module:
    """The network with its best weights, of training in which the architecture draws nothing."""
    evaluator = Plugin("training", {"epochs": 6, "dropout": 0.0})
    (evaluation,) = run([job(space, architecture, store, evaluator=evaluator)])
    assert evaluation.failure is None, evaluation.failure
    assert evaluation.artifact is not None
    network = built(space, architecture)
    network.load_state_dict(best_weights(evaluation.artifact))
    return network


def job(space: SearchSpace, architecture: Architecture, store: str, **fields: Any) -> Job:
    dataset = save_sealed(DATASET.seal(), store)
    given = {"seed": 3, "until_epoch": 6, "evaluator": Plugin("training", {"epochs": 6}), **fields}
    return Job(architecture, space, dataset=dataset, store=store, **given)


def numbers(evaluation: Evaluation) -> Mapping[str, float]:
    assert evaluation.failure is None, evaluation.failure
    return {k: v for k, v in evaluation.metrics.items() if not k.endswith("_seconds")}


def test_it_is_called_as_extensions_are(plugin: Plugin, extension: SpaceExtension) -> None:
    """`build(space, task, *, ...)` gives a `SpaceExtension` with decisions of its own."""
    _signature.check(KIND, plugin)
    assert isinstance(extension, SpaceExtension)
    assert extension.decisions
    assert not {d.name for d in extension.decisions} & set(networks.small_space(TASK).by_name)


def test_the_space_with_it_is_a_space(
    plugin: Plugin, extension: SpaceExtension, space: SearchSpace
) -> None:
    """More decisions; vectors and keys; the same each time, in a worker too."""
    assert space.size(with_recipe=True) > networks.small_space(TASK).size(with_recipe=True)
    rng = np.random.default_rng(0)
    for architecture in (space.sample(rng) for _ in range(30)):
        assert space.decode(space.encode(architecture)) == architecture
        assert space.architecture(architecture.choices) == architecture
    again: SearchSpace = pickle.loads(pickle.dumps(space))  # noqa: S301 - our own
    assert (again, again.digest) == (space, space.digest)
    build = plugins.load(KIND, plugin.name).build
    other = build(networks.small_space(TASK), TASK, **plugin.options)
    assert networks.small_space(TASK).extended(other).digest == space.digest


def test_every_choice_makes_a_difference(
    space: SearchSpace, extension: SpaceExtension, store: str
) -> None:
    """In what the network computes, or in a fact of it; else it would be asked for nothing.

    Where a choice is about training, in what the trained network computes.
    """
    architectures = variants(space, extension)
    of_each = [(logits(built(space, a)), facts(space, a, TASK)) for a in architectures]
    alike = [
        pair
        for pair in itertools.combinations(range(len(architectures)), 2)
        if all(torch.equal(of_each[i][0], of_each[pair[0]][0]) for i in pair)
        and of_each[pair[0]][1] == of_each[pair[1]][1]
    ]
    trained = {
        i: logits(learned(space, architectures[i], store))
        for i in {i for pair in alike for i in pair}
    }
    for one, other in alike:
        assert not torch.equal(trained[one], trained[other]), (
            architectures[one].choices,
            architectures[other].choices,
        )


def test_networks_are_sound(space: SearchSpace, extension: SpaceExtension) -> None:
    """One row a node, finite, gradients too; the seed decides them; a state that can be loaded."""
    for architecture in variants(space, extension):
        network = built(space, architecture)
        out = network.train()(DATASET.x, DATASET.edge_index)
        assert out.shape == (TASK.n_nodes, TASK.n_classes)
        assert out.isfinite().all()
        out.square().sum().backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        assert any(g.any() for g in gradients)
        assert all(g.isfinite().all() for g in gradients)
        assert torch.equal(logits(built(space, architecture)), logits(built(space, architecture)))
        torch.manual_seed(1)
        fresh = space.network(architecture, TASK)
        assert not torch.equal(logits(fresh), logits(network))
        fresh.load_state_dict(network.state_dict())
        assert torch.equal(logits(fresh), logits(network))


def test_facts_are_known_without_training(space: SearchSpace, extension: SpaceExtension) -> None:
    """On torch's meta device, where there are shapes alone; named as no other fact is."""
    common = {*FACTS}
    assert not set(extension.facts) & common
    for architecture in variants(space, extension):
        assert set(facts(space, architecture, TASK)) == common | set(extension.facts)


def test_it_trains_and_goes_on(space: SearchSpace, extension: SpaceExtension, store: str) -> None:
    """In company as alone, and in two parts as at once."""
    architectures = variants(space, extension)
    jobs = [job(space, a, store) for a in architectures]
    whole = [numbers(one) for one in run(jobs)]
    assert [numbers(run([one])[0]) for one in jobs[:2]] == whole[:2]
    parts = run([job(space, a, store, until_epoch=3) for a in architectures])
    on = [
        dataclasses.replace(one, resume=part.artifact)
        for one, part in zip(jobs, parts, strict=True)
    ]
    assert [numbers(one) for one in run(on)] == whole


def test_it_can_be_exported(space: SearchSpace, extension: SpaceExtension, tmp_path: Path) -> None:
    """As what it becomes when it leaves: the same outputs, for graphs of all sizes."""
    contract = Contract.of(TASK, Preprocessing())
    for number, architecture in enumerate(variants(space, extension)):
        folder = tmp_path / str(number)
        folder.mkdir()
        network = built(space, architecture).eval()
        module = deployed(network, Preprocessing(), contract)
        leaves = space.deployed(network, architecture)
        Pt2().write(deployed(leaves, Preprocessing(), contract), contract, folder, ())
        again = [made_up(contract, size) for size in SIZES]
        compare(Pt2().open(folder), module, contract, again, Pt2().tolerance)
