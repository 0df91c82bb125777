"""Every operator and every readout can be exported, as PyTorch's program and as ONNX.

For any sizes of graph.

Found by the program's own function: a new operator is under this contract before anyone names it.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from evaluators.datasets._base import Preprocessing
from nas.export import ChecksNetworks, onnx, pt2
from nas.export._base import Contract, Exporter
from nas.export._deployed import deployed
from nas.export._parity import compare
from nas.export._sample import SIZES, made_up
from search_spaces import Task, gnn, plugins
from search_spaces.every_choice import every_choice
from search_spaces.message_passing import ACTIVATIONS
from search_spaces.task import TaskKind

# Ten times as large as the largest of the others.
LARGE = (3000, 15000, 400)
# The layers of what each exporter writes: ONNX is translated operation by operation, and takes
# seconds for each layer.
LAYERS = {"pt2": 2, "onnx": 1}
OPERATORS = plugins.names("operator")


class Layers(nn.Module):
    """An operator between features and width, and again, then a linear map; skip keeps widths."""

    def __init__(self, operator: str, layers: int, n_features: int, n_classes: int) -> None:
        super().__init__()
        build = plugins.load("operator", operator).build
        options = {"heads": 2} if "heads" in plugins.options("operator", operator) else {}
        self.layers = nn.ModuleList(build(n_features, n_features, **options) for _ in range(layers))
        self.last = nn.Linear(n_features, n_classes)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.layers[0](x, edge_index)
        for layer in self.layers[1:]:
            x = layer(x.relu(), edge_index)
        return self.last(x)


class Summed(nn.Module):
    """The same with the nodes of a graph added."""

    def __init__(self, operator: str, layers: int, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.nodes = Layers(operator, layers, n_features, n_classes)

    def forward(self, x: Tensor, edge_index: Tensor, graph_ids: Tensor, graphs: Tensor) -> Tensor:
        logits = self.nodes(x, edge_index)
        return logits.new_zeros(graphs.size(0), logits.size(1)).index_add(0, graph_ids, logits)


def _exported(
    network: nn.Module,
    task: Task,
    preprocessing: Preprocessing,
    folder: Path,
    exporter: Exporter | None = None,
) -> float:
    """The largest difference between a network and its saved program."""
    contract = Contract.of(task, preprocessing)
    module = deployed(network, preprocessing, contract)
    exporter = exporter or pt2.build()
    exporter.write(module, contract, folder, ())
    graphs = [made_up(contract, size) for size in (*SIZES, (700, 3000, 50), LARGE)]
    parity = compare(exporter.open(folder), module, contract, graphs, exporter.tolerance)
    return parity.largest_difference


@pytest.mark.parametrize(
    "exporter",
    # Translating takes seconds for each: CI does so beside the fast tests.
    ["pt2", pytest.param("onnx", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("kind", ["node_classification", "graph_classification"])
def test_every_operator_can_be_exported(
    exporter: str,
    operator: str,
    kind: TaskKind,
    task: Callable[..., Task],
    preprocessing: Preprocessing,
    tmp_path: Path,
) -> None:
    """For node and graph tasks; the program computes what the operator does."""
    torch.manual_seed(0)
    wanted = task(kind)
    network = Layers if kind == "node_classification" else Summed
    made = network(operator, LAYERS[exporter], wanted.n_features, wanted.n_classes)
    writer: Exporter = plugins.load("exporter", exporter).build()
    assert _exported(made, wanted, preprocessing, tmp_path, writer) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["node_classification", "graph_classification"])
def test_random_architectures_can_be_exported(
    kind: TaskKind, task: Callable[..., Task], tmp_path: Path
) -> None:
    """Whatever the message-passing space offers: connectivity, normalization, readout."""
    import numpy as np

    wanted = task(kind)
    space = gnn.build(wanted, operators=OPERATORS, width=(8, 16), heads=(1, 2))
    rng = np.random.default_rng(0)
    for i in range(15):
        architecture = space.sample(rng)
        torch.manual_seed(i)
        network = space.network(architecture, wanted)
        folder = tmp_path / str(i)
        folder.mkdir()
        difference = _exported(network, wanted, Preprocessing("row"), folder)
        assert difference <= 1e-3, architecture


@pytest.mark.slow  # translating 36 networks of up to three layers takes minutes
@pytest.mark.parametrize("kind", ["node_classification", "graph_classification"])
def test_every_choice_of_the_space_can_be_exported_as_onnx(
    kind: TaskKind, task: Callable[..., Task], tmp_path: Path
) -> None:
    """Which its exporter says of them before the search."""
    wanted, exporter = task(kind), onnx.build()
    assert isinstance(exporter, ChecksNetworks)
    output = {} if wanted.is_graph_task else {"output": [o for o in OPERATORS if o != "skip"]}
    space = gnn.build(wanted, operators=OPERATORS, activation=[*ACTIVATIONS], **output)
    for i, architecture in enumerate(every_choice(space)):
        torch.manual_seed(i)
        network = space.network(architecture, wanted)
        assert exporter.unfit(network) == ""
        folder = tmp_path / str(i)
        folder.mkdir()
        # Differences are held to the tolerance inside.
        _exported(network, wanted, Preprocessing("row"), folder, exporter)
