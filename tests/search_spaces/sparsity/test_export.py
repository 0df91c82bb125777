"""Networks with a rule for edges leave for graphs of all sizes."""

from pathlib import Path

import pytest
import torch
from fakes import sparse
from torch import nn

from evaluators.datasets import Preprocessing
from nas.contracts import graphs
from nas.export import Contract
from nas.export._deployed import deployed
from nas.export._parity import compare
from nas.export._sample import SIZES, made_up
from nas.export.pt2 import Pt2
from search_spaces import gnn
from search_spaces.sparsity.network import Sparse

RULE = {"method": "random", "edge_density": 0.6, "edge_mode": "inductive"}


def stored(network: nn.Module, contract: Contract, folder: Path) -> nn.Module:
    """Exported and opened again; compared for graphs of many sizes."""
    module = deployed(network, Preprocessing(), contract)
    Pt2().write(module, contract, folder, ())
    opened: nn.Module = Pt2().open(folder)  # type: ignore[assignment]
    compare(opened, module, contract, [made_up(contract, size) for size in SIZES], 1e-5)
    return opened


@pytest.mark.parametrize("density", [1.0, 0.5])
def test_for_nodes_of_graphs_of_all_sizes(density: float, tmp_path: Path) -> None:
    """Of one node and no edge, too."""
    space = sparse.pruned(sparse.space(), weight_density=density, **RULE)
    architecture = sparse.first(space)
    torch.manual_seed(0)
    network = space.network(architecture, sparse.DATASET.task)
    assert isinstance(network, Sparse)
    for _ in sparse.training(network, 2):
        pass
    leaves = space.deployed(network.eval(), architecture)
    assert not any("mask" in name or "epoch" in name for name in leaves.state_dict())
    opened = stored(leaves, Contract.of(sparse.DATASET.task, Preprocessing()), tmp_path)
    x = sparse.DATASET.x
    for nodes, edge_index in (
        (1, torch.empty(2, 0, dtype=torch.int64)),
        (1, torch.zeros(2, 1, dtype=torch.int64)),
        (5, torch.empty(2, 0, dtype=torch.int64)),
        (90, sparse.DATASET.edge_index),
    ):
        with torch.no_grad():
            expected = network(x[:nodes], edge_index)
            torch.testing.assert_close(opened(x[:nodes], edge_index), expected)


def test_for_many_graphs(tmp_path: Path) -> None:
    many = graphs.graph_set()
    base = gnn.build(many.task, depth=[2], operators=["gin"], width=[8], pre_layers=[0])
    space = sparse.pruned(base, many, weight_density=1.0, **RULE)
    architecture = sparse.first(space)
    torch.manual_seed(0)
    network = space.network(architecture, many.task).eval()
    stored(space.deployed(network, architecture), Contract.of(many.task, Preprocessing()), tmp_path)
