"""What every exporter keeps: a program for any graph, that runs elsewhere as its network did."""

import copy
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from evaluators.datasets import Preprocessing
from nas.contracts import _signature, graphs, networks
from nas.export import BundleError, Contract, Exporter
from nas.export._deployed import deployed
from nas.export._manifest import Provenance
from nas.export._parity import compare
from nas.export._sample import SIZES, made_up
from nas.export.bundle import write_bundle
from nas.export.load import load_bundle
from search_spaces import Architecture, Task, plugins
from search_spaces.plugins import Plugin

KIND = "exporter"
TASKS: Mapping[str, Task] = {
    "node": graphs.node_graph().task,
    "graph": graphs.graph_set().task,
}


@pytest.fixture
def exporter(plugin: Plugin) -> Exporter:
    made: Exporter = plugins.load(KIND, plugin.name).build(**plugin.options)
    return made


@pytest.fixture(params=["node", "graph"])
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS[request.param]


def preprocessing(task: Task) -> Preprocessing:
    mean, std = torch.linspace(-1, 1, task.n_features), torch.linspace(0.5, 2, task.n_features)
    return Preprocessing("standardize", True, mean, std)


def made(task: Task) -> tuple[nn.Module, Contract]:
    """A network with its preprocessing, as it is exported, and what it takes and gives."""
    torch.manual_seed(0)
    contract = Contract.of(task, preprocessing(task))
    return deployed(networks.Exported(task), preprocessing(task), contract), contract


def test_it_is_called_as_exporters_are(plugin: Plugin, exporter: Exporter) -> None:
    """`build(*, ...)`; the names that it needs, for the bundle's README."""
    _signature.check(KIND, plugin)
    assert exporter.needs
    assert "network" in exporter.reading


def test_the_program_computes_what_the_network_does(
    exporter: Exporter, task: Task, tmp_path: Path
) -> None:
    """On graphs of all sizes, one node without an edge among them; read back from its files."""
    module, contract = made(task)
    before = copy.deepcopy(module.state_dict())
    files = exporter.write(module, contract, tmp_path)
    assert tmp_path / exporter.file in files
    assert sorted(files) == sorted(tmp_path.iterdir()), "what it wrote is what it names"
    again = [made_up(contract, size) for size in (*SIZES, (700, 3000, 50))]
    compare(exporter.open(tmp_path), module, contract, again)
    assert all(torch.equal(before[name], now) for name, now in module.state_dict().items())


def test_the_comparison_can_fail(exporter: Exporter, tmp_path: Path) -> None:
    """The control: beside a network with other weights, the program differs."""
    module, contract = made(TASKS["node"])
    exporter.write(module, contract, tmp_path)
    other = deployed(networks.Exported(TASKS["node"]), preprocessing(TASKS["node"]), contract)
    with pytest.raises(Exception, match="differs from its network"):
        compare(exporter.open(tmp_path), other, contract, [made_up(contract, (50, 200, 1))])


def test_it_runs_where_this_program_is_not_loaded(exporter: Exporter, tmp_path: Path) -> None:
    """In the folder, by the lines that the bundle's README has."""
    module, contract = made(TASKS["graph"])
    exporter.write(module, contract, tmp_path)
    inputs = made_up(contract, (20, 60, 3))
    torch.save([*inputs, module(*inputs)], tmp_path / "expected.pt")
    code = f"""
{exporter.reading}
import sys
import torch
*inputs, expected = torch.load("expected.pt")
torch.testing.assert_close(network(*inputs), expected)
assert not {{"nas", "evaluators", "search_spaces", "torch_geometric"}} & set(sys.modules)
"""
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": ""}
    )


def test_what_is_damaged_is_refused(exporter: Exporter, tmp_path: Path) -> None:
    """In words, whatever trips over it inside."""
    module, contract = made(TASKS["node"])
    exporter.write(module, contract, tmp_path)
    (tmp_path / exporter.file).write_bytes(b"(no program")
    with pytest.raises(BundleError):
        exporter.open(tmp_path)


def test_it_makes_a_whole_bundle(plugin: Plugin, exporter: Exporter, tmp_path: Path) -> None:
    """Written, checked and read back by its name."""
    task = TASKS["node"]
    manifest = write_bundle(
        tmp_path / "bundle",
        network=networks.Exported(task),
        architecture=Architecture("contracts", {"kind": "exported"}),
        task=task,
        preprocessing=preprocessing(task),
        provenance=Provenance(),
        exporter=plugin.name,
    )
    assert exporter.file in manifest["files"]
    bundle = load_bundle(tmp_path / "bundle", exporter=plugin.name)
    dataset = graphs.node_graph()
    assert bundle.predict(dataset.x, dataset.edge_index).shape == (90, 3)
    assert exporter.reading.splitlines()[-1] in (tmp_path / "bundle" / "README.md").read_text()
