"""Bundles: what is written, what they compute, and what is refused."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn
from torch_geometric.utils import to_undirected

from evaluators.datasets._base import Preprocessing
from nas.export._base import Contract, ExportError
from nas.export._deployed import deployed
from nas.export._edges import undirected
from nas.export._sample import SIZES, made_up
from nas.export.load import load_bundle
from search_spaces import Task
from search_spaces.task import TaskKind

KINDS: tuple[TaskKind, ...] = ("node_classification", "graph_classification")
Write = Callable[..., dict[str, Any]]
MakeNetwork = Callable[[TaskKind], nn.Module]


@pytest.mark.parametrize("kind", KINDS)
def test_bundle_computes_what_its_network_does(
    kind: TaskKind,
    node_bundle: Path,
    graph_bundle: Path,
    network: MakeNetwork,
    preprocessing: Preprocessing,
    task: Callable[..., Task],
) -> None:
    """On every size of graph, one node without edges included, to the last bits."""
    bundle = load_bundle(node_bundle if kind == "node_classification" else graph_bundle)
    contract = Contract.of(task(kind), preprocessing)
    eager = deployed(network(kind), preprocessing, contract)
    for size in (*SIZES, (1000, 5000, 90)):
        inputs = made_up(contract, size)
        torch.testing.assert_close(bundle.predict(*inputs[:3]), eager(*inputs), atol=1e-5, rtol=0)


def test_preparing_inside_is_preparing_outside(
    node_bundle: Path, network: MakeNetwork, preprocessing: Preprocessing, task: Callable[..., Task]
) -> None:
    """Raw features into the bundle give what prepared features into the network give."""
    x, edge_index = made_up(Contract.of(task(), preprocessing), (30, 90, 1))
    assert preprocessing.mean is not None
    assert preprocessing.std is not None
    prepared = (x - preprocessing.mean) / preprocessing.std
    eager = network("node_classification").eval()
    both = to_undirected(edge_index, num_nodes=30)
    expected = eager(prepared, both)
    bundle = load_bundle(node_bundle)
    for edges in (edge_index, both, edge_index.flip(0), torch.cat([edge_index, both], 1)):
        got = bundle.predict(x, edges)
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
    assert not torch.allclose(got, eager(x, both), atol=1e-2), "control: unprepared differs"
    assert not torch.allclose(got, eager(prepared, edge_index), atol=1e-2), "nor with other edges"


def test_edges_that_the_caller_mirrors_are_used_as_they_come(
    tmp_path: Path, write: Write, node_bundle: Path
) -> None:
    """Then one direction alone gives other numbers, which the program cannot know of."""
    manifest = write(tmp_path / "b", gives_both=True)
    assert manifest["contract"]["edges"] == "both_directions"
    x = torch.rand(30, 6)
    edge_index = torch.randint(30, (2, 90))
    both = to_undirected(edge_index, num_nodes=30)
    fast, safe = load_bundle(tmp_path / "b"), load_bundle(node_bundle)
    expected = safe.predict(x, edge_index)
    torch.testing.assert_close(fast.predict(x, both), expected, atol=1e-5, rtol=0)
    assert (fast.predict(x, edge_index) - expected).abs().max() > 0.01


@given(
    edges=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=20), nodes=st.just(6)
)
def test_undirected_edges_are_those_of_the_dataset(
    edges: list[tuple[int, int]], nodes: int
) -> None:
    """As a set, and each once; loops, doubles and one direction of an edge among them."""
    edge_index = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T
    made = undirected(edge_index, nodes).T.tolist()
    expected = to_undirected(edge_index, num_nodes=nodes).T.tolist()
    assert sorted(made) == sorted(expected)


def test_row_normalization_keeps_rows_of_zeros(
    tmp_path: Path, write: Write, network: MakeNetwork
) -> None:
    """A row is divided by its sum; a row of zeros stays one."""
    write(tmp_path / "b", preprocessing=Preprocessing("row"))
    x = torch.tensor([[2.0, 0, 0, 0, 2, 0], [0.0] * 6])
    edge_index = torch.tensor([[0, 1], [1, 0]])
    prepared = torch.tensor([[0.5, 0, 0, 0, 0.5, 0], [0.0] * 6])
    expected = network("node_classification").eval()(prepared, edge_index)
    got = load_bundle(tmp_path / "b").predict(x, edge_index)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_exporting_leaves_the_network_alone(
    tmp_path: Path, write: Write, network: MakeNetwork
) -> None:
    """Its mode, its gradients and its weights are as they were."""
    mine = network("node_classification").train()
    before = {name: value.clone() for name, value in mine.state_dict().items()}
    write(tmp_path / "b", network=mine)
    assert mine.training
    assert all(parameter.requires_grad for parameter in mine.parameters())
    assert all(torch.equal(before[name], value) for name, value in mine.state_dict().items())


def test_manifest_says_what_where_from_and_how_exact(node_bundle: Path) -> None:
    """Study, trial, seed, metrics with their split, versions, parity on seven graphs."""
    value = json.loads((node_bundle / "manifest.json").read_text())
    assert value["provenance"] == {
        "study": "a study",
        "trial": 7,
        "seed": 3,
        "retrained": False,
        "slice": False,
        "latency_bound_ms": None,
        "device": None,
        "post_training": None,
    }
    assert value["metrics"]["val_accuracy"] == {"value": 0.75, "split": "validation", "by": None}
    assert value["metrics"]["params"] == {"value": 123.0, "split": None, "by": None}
    assert value["training"] == {}, "nothing was there to measure the program on"
    [program] = value["programs"]
    assert (program["exporter"], program["file"]) == ("pt2", "model.pt2")
    parity = program["parity"]
    assert parity["largest_difference"] <= parity["tolerance"] == 1e-5
    assert {"N": 1, "E": 0} in parity["graphs"]
    assert len(parity["graphs"]) == 7
    assert set(value["versions"]) == {"python", "torch", "torch_geometric", "gnn-nas"}
    assert value["inputs"][0] == {"name": "x", "dtype": "float32", "shape": ["N", 6]}
    assert set(value["files"]) == {p.name for p in node_bundle.iterdir()} - {"manifest.json"}


def test_weights_are_those_of_the_network(node_bundle: Path, network: MakeNetwork) -> None:
    """weights.safetensors has the network's own names behind `network.`."""
    stored = load_file(node_bundle / "weights.safetensors")
    mine = {n.removeprefix("network."): t for n, t in stored.items() if n.startswith("network.")}
    expected = network("node_classification").state_dict()
    assert mine.keys() == expected.keys()
    assert all(torch.equal(mine[name], expected[name]) for name in mine)
    assert {"preprocessing.mean", "preprocessing.std"} == stored.keys() - {
        f"network.{n}" for n in mine
    }


def test_exporting_twice_gives_the_same_bytes(
    node_bundle: Path, tmp_path: Path, write: Write
) -> None:
    """What is not a program has equal bytes; the program has equal contents."""
    write(tmp_path / "again")
    for name in ("architecture.json", "weights.safetensors", "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (node_bundle / name).read_bytes()
    first, second = (
        zipfile.ZipFile(folder / "model.pt2") for folder in (node_bundle, tmp_path / "again")
    )
    assert first.namelist() == second.namelist()
    assert all(first.read(name) == second.read(name) for name in first.namelist())


def test_archive_holds_no_inputs_and_no_local_paths(
    tmp_path: Path, write: Write, preprocessing: Preprocessing, task: Callable[..., Task]
) -> None:
    """Neither the graph that it was compared on, nor where it was traced."""
    contract = Contract.of(task(), preprocessing)
    x, edge_index = made_up(contract, (17, 40, 1))
    write(tmp_path / "b", sample=(x * 1.2345, edge_index))
    with zipfile.ZipFile(tmp_path / "b" / "model.pt2") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    samples = [content for name, content in members.items() if "sample_inputs" in name]
    assert samples == [b""]
    everything = b"".join(members.values())
    assert (x * 1.2345).numpy()[0].tobytes() not in everything
    assert not any(content.startswith(b"\x80\x02") for content in members.values()), "a pickle"
    assert str(Path(__file__).parent).encode() not in everything
    assert b"site-packages" not in everything


class Forgetful(nn.Module):
    """Gives something else at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.calls = 0

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        self.calls += 1
        return self.linear(x) + self.calls


class Noisy(Forgetful):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.linear(x) + torch.rand_like(x[:, :3])


class Branching(Forgetful):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.linear(x) if x.sum() > 0 else x[:, :3]


class Infinite(Forgetful):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.linear(x) / edge_index.size(1)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (Forgetful, "differs from its network by"),
        (Noisy, "differs from its network by"),
        (Branching, "cannot be exported for all sizes of graph"),
        (Infinite, "not finite"),
    ],
)
def test_a_program_that_differs_is_not_written(
    tmp_path: Path, write: Write, broken: type[nn.Module], reason: str
) -> None:
    """The comparison can fail, and then nothing is left behind."""
    with pytest.raises(ExportError, match=reason):
        write(tmp_path / "b", network=broken())
    assert list(tmp_path.iterdir()) == []


def test_an_occupied_place_is_refused(tmp_path: Path, write: Write) -> None:
    """A folder with something in it is left as it is; an empty one is taken."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("taken", "file"):
        with pytest.raises(ExportError, match="is there already"):
            write(tmp_path / name)
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty")
    assert (tmp_path / "empty" / "manifest.json").exists()
    assert (tmp_path / "taken" / "mine.txt").read_text() == "mine"


def test_readme_tells_splits_apart(tmp_path: Path, write: Write) -> None:
    """A confirmed test value is of retrained networks; without one the README says so."""
    write(tmp_path / "plain")
    write(
        tmp_path / "confirmed",
        confirmed={"test_accuracy": {"mean": 0.7, "stderr": 0.01, "n": 5}},
    )
    plain = (tmp_path / "plain" / "README.md").read_text()
    confirmed = (tmp_path / "confirmed" / "README.md").read_text()
    assert "never measured on the test split" in plain
    assert "never measured on the test split" not in confirmed
    assert "| test_accuracy | test | 0.7 ± 0.01 (standard error) | this" in confirmed
    assert "trained anew on 5 fresh seeds |" in confirmed
    assert "| val_accuracy | validation | 0.75 | these weights |" in plain
