"""Networks as PyTorch runs them, and compiled. One network is compiled for all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from evaluators.latency.graphs import inputs
from evaluators.latency.runtimes import compile_network, load_package, runnable
from evaluators.latency.values import LatencyError, Workload
from search_spaces import Task
from search_spaces.message_passing import Dense, LayerPlan

FEATURES = 6


def graph(nodes: int, edges: int) -> tuple[Tensor, ...]:
    task = Task("node_classification", FEATURES, 3, nodes, edges, 1, 1, 1, 1, "accuracy", "0" * 32)
    return inputs(task, Workload(nodes, edges, 0.3))


class Network(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first = GCNConv(FEATURES, width)
        self.dropout = nn.Dropout(0.5)
        self.second = nn.Linear(width, 3)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.second(self.dropout(self.first(x, edge_index).relu()))


def network(width: int = 8, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Network(width).eval()


class Refusing(nn.Module):
    """Does in Python what depends on values: it runs, but cannot be exported."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return x * 2 if float(x.sum()) > 0 else x


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package of a network, made in a folder of its own where nothing else may appear."""
    here, elsewhere = Path.cwd(), tmp_path_factory.mktemp("here")
    os.chdir(elsewhere)
    try:
        yield compile_network(network(), graph(40, 100), tmp_path_factory.mktemp("packages"))
    finally:
        os.chdir(here)
    assert list(elsewhere.iterdir()) == []


def test_eager_is_the_network_itself() -> None:
    """Without gradients."""
    tensors = graph(30, 80)
    run = runnable(network(), tensors, "eager")
    assert torch.equal(run(), network()(*tensors))
    assert not run().requires_grad


@pytest.mark.parametrize("size", [(40, 100), (500, 2500), (2, 1), (1, 0), (9, 0)])
def test_a_package_takes_graphs_of_any_size(package: Path, size: tuple[int, int]) -> None:
    """And computes what its network does; another network computes something else."""
    tensors = graph(*size)
    got = runnable(package, tensors, "compiled")()
    assert torch.allclose(got, network()(*tensors), atol=1e-5)
    assert not torch.allclose(got, network(seed=1)(*tensors), atol=1e-3)


class Rows(nn.Module):
    """The second Chebyshev polynomial of what is computed, and concatenated too."""

    def __init__(self) -> None:
        super().__init__()
        plans = [LayerPlan("cheb", 8, "none", "relu", {"hops": 2}), LayerPlan("linear", 8)]
        self.body = Dense(6, plans)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        rows: Tensor = self.body(x / x.sum(dim=1, keepdim=True), edge_index)
        return rows


@pytest.mark.slow
def test_sums_are_read_once_they_are_made(tmp_path: Path) -> None:
    """torch 2.13's compiler alone is off by as much as the outputs."""
    torch.manual_seed(0)
    network, given = Rows().eval(), (torch.rand(40, 6), torch.randint(40, (2, 200)))
    program = load_package(compile_network(network, given, tmp_path))
    with torch.no_grad():
        torch.testing.assert_close(program(*given), network(*given), rtol=0, atol=1e-5)


def test_a_structure_is_compiled_once(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other weights take the package that is there, without a compiler; all else needs one."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    before = package.stat().st_mtime_ns
    assert compile_network(network(seed=1), graph(99, 300), package.parent) == package
    assert package.stat().st_mtime_ns == before
    for other, threads in ((network(width=16), 1), (network(), 2)):
        with pytest.raises(LatencyError, match='"no-such-compiler" is not on the PATH; install'):
            compile_network(other, graph(40, 100), package.parent, threads=threads)
    assert list(package.parent.iterdir()) == [package]


def test_a_network_that_cannot_be_exported(tmp_path: Path) -> None:
    """It runs as eager; compiled, the error says that this is the remedy."""
    tensors = graph(5, 8)
    assert torch.equal(runnable(Refusing(), tensors, "eager")(), 2 * tensors[0])
    with pytest.raises(LatencyError, match=r"cannot be exported .*; use the runtime eager"):
        runnable(Refusing(), tensors, "compiled", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_package(package: Path, tmp_path: Path) -> None:
    """As one that was cut off."""
    broken = tmp_path / "broken.pt2"
    broken.write_bytes(package.read_bytes()[:1000])
    with pytest.raises(LatencyError, match="cannot be loaded"):
        runnable(broken, graph(5, 8), "compiled")
