"""Sparse networks that have settled without being trained, and bundles of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from evaluators.datasets import Dataset
from evaluators.facts import facts
from nas.contracts.graphs import node_graph
from nas.export._manifest import Provenance
from nas.export._measured import sample_of
from nas.export._products import Run
from nas.export.bundle import write_bundle
from search_spaces import Architecture, SearchSpace, gnn, plugins
from search_spaces.sparsity.network import Sparse

GRAPH = node_graph()


@dataclass(frozen=True)
class Made:
    """A network of which is chosen what is left, and what it is made from."""

    space: SearchSpace
    architecture: Architecture
    dataset: Dataset
    network: Sparse

    @property
    def facts(self) -> dict[str, float]:
        return facts(self.space, self.architecture, self.dataset.task)

    def bundle(self, to: Path, **given: Any) -> dict[str, Any]:
        return write_bundle(
            to,
            network=self.network,
            leaving=self.space.deployed(self.network, self.architecture),
            architecture=self.architecture,
            task=self.dataset.task,
            preprocessing=self.dataset.preprocessing,
            provenance=Provenance(),
            metrics={name: self.facts[name] for name in ("params", "macs", "model_bytes")},
            **{"dataset": self.dataset, "rounds": dense_is_faster, **given},
        )

    @property
    def logits(self) -> Tensor:
        with torch.no_grad():
            out: Tensor = self.network(*sample_of(self.dataset))
        return out


def made(
    *,
    dataset: Dataset = GRAPH,
    bits: int | None = None,
    settled: bool = True,
    space: dict[str, Any] | None = None,
    choices: dict[str, Any] | None = None,
    **options: Any,
) -> Made:
    """By the method `random`, unless the options say another."""
    task = dataset.task
    given = {"depth": [2], "width": [32], "operators": ["gcn"], "pre_layers": [1], **(space or {})}
    built = gnn.build(task, **given)
    if bits is not None:
        quantization = plugins.load("extension", "quantization").build
        built = built.extended(quantization(built, task, weight_bits=(bits,), activation_bits=(8,)))
    sparsity = plugins.load("extension", "sparsity").build
    built = built.extended(sparsity(built, task, **{"method": ("random",), **options}))
    architecture = built.fill(lambda decision: decision.choices[0], choices or {})
    torch.manual_seed(0)
    network = built.network(architecture, task)
    assert isinstance(network, Sparse)
    if settled:
        settle(network, dataset)
    return Made(built, architecture, dataset, network.eval())


def settle(network: Sparse, dataset: Dataset) -> None:
    """What an epoch of training does to it, but for its weights."""
    inputs = sample_of(dataset)
    network.train()
    network.begin_epoch(1, lambda: network(*inputs).square().mean())
    with torch.no_grad():
        network(*inputs)


def dense_is_faster(runs: Sequence[Run], seconds: float) -> list[list[float]]:
    """Of the two ways to multiply; what is timed is run once, and has to give the same."""
    return _agree(runs, (1.0, 2.0), seconds)


def entries_are_faster(runs: Sequence[Run], seconds: float) -> list[list[float]]:
    return _agree(runs, (4.0, 1.0), seconds)


def undecided(runs: Sequence[Run], seconds: float) -> list[list[float]]:
    """Entries are faster in the median, and not in nine rounds of ten."""
    _agree(runs, (1.0, 1.0), seconds)
    return [[2.0, 2.0, 2.0, 1.0], [1.0, 1.0, 1.0, 3.0]]


def _agree(runs: Sequence[Run], took: Sequence[float], seconds: float) -> list[list[float]]:
    assert seconds > 0
    dense, entries = (run() for run in runs)
    assert isinstance(dense, Tensor)
    assert isinstance(entries, Tensor)
    torch.testing.assert_close(entries, dense, rtol=1e-5, atol=1e-5)
    return [[each] * 5 for each in took]


def operations(program: nn.Module) -> set[str]:
    """Names of the operations of a program of torch.export."""
    graph: Any = program
    return {str(node.target) for node in graph.graph.nodes if node.op == "call_function"}
