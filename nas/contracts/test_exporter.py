"""What every exporter keeps: a program for any graph, that runs elsewhere as its network did."""

import copy
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy
import pytest
import torch
from torch import Tensor, nn

from evaluators.datasets import Preprocessing
from nas.contracts import _signature, graphs, networks
from nas.export import BundleError, Contract, Exporter, Written
from nas.export._base import ChecksMachine, ChecksNetworks, reads_numpy
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


# What a program must not need, and how its outputs are compared by what it may need.
OUT_OF_REACH = ("nas", "evaluators", "search_spaces", "torch_geometric", "torchao")
AS_TENSORS = """
import torch
*inputs, expected = torch.load(PATH)
torch.testing.assert_close(network(*inputs), expected)
"""
AS_ARRAYS = """
import numpy
*inputs, expected = numpy.load(PATH).values()
assert network(*inputs).shape == expected.shape
numpy.testing.assert_allclose(network(*inputs), expected, rtol=1.3e-6, atol=1e-5)
"""


def save(tensors: list[Tensor], *, as_arrays: bool) -> bytes:
    made = io.BytesIO()
    if as_arrays:
        numpy.savez(made, *(tensor.numpy() for tensor in tensors))
    else:
        torch.save(tensors, made)
    return made.getvalue()


@dataclass(frozen=True)
class Made:
    """A network and its program, which no test changes."""

    exporter: Exporter
    network: nn.Module
    before: dict[str, Tensor]
    contract: Contract
    folder: Path
    written: Written


@pytest.fixture(scope="module")
def exporter(plugin: Plugin) -> Exporter:
    built: Exporter = plugins.load(KIND, plugin.name).build(**plugin.options)
    return built


@pytest.fixture(scope="module")
def programs(exporter: Exporter) -> dict[str, Made]:
    """By the kind of task; each is written when it is first asked for, since some compile long."""
    return {}


@pytest.fixture
def bundle(plugin: Plugin, tmp_path: Path) -> Path:
    task, folder = TASKS["node"], tmp_path / "bundle"
    write_bundle(
        folder,
        network=networks.Exported(task),
        architecture=Architecture("contracts", {"kind": "exported"}),
        task=task,
        preprocessing=preprocessing(task),
        provenance=Provenance(),
        formats=[plugin.name],
    )
    return folder


@pytest.fixture(params=["node", "graph"])
def made(
    request: pytest.FixtureRequest,
    exporter: Exporter,
    programs: dict[str, Made],
    tmp_path_factory: pytest.TempPathFactory,
) -> Made:
    kind = str(request.param)
    if kind not in programs:
        programs[kind] = write(exporter, kind, tmp_path_factory.mktemp("program"))
    return programs[kind]


def write(exporter: Exporter, kind: str, folder: Path) -> Made:
    task = TASKS[kind]
    torch.manual_seed(0)
    contract = Contract.of(task, preprocessing(task))
    module = deployed(networks.Exported(task), preprocessing(task), contract)
    before = copy.deepcopy(module.state_dict())
    sample = made_up(contract, (700, 3000, 50))
    return Made(
        exporter, module, before, contract, folder, exporter.write(module, contract, folder, sample)
    )


def preprocessing(task: Task) -> Preprocessing:
    mean, std = torch.linspace(-1, 1, task.n_features), torch.linspace(0.5, 2, task.n_features)
    return Preprocessing("standardize", True, mean, std)


def test_it_is_called_as_exporters_are(plugin: Plugin, exporter: Exporter) -> None:
    """`build(*, ...)`; the names that it needs, for the bundle's README; how close it is."""
    _signature.check(KIND, plugin)
    assert exporter.needs
    assert "network" in exporter.reading
    assert 0 < exporter.tolerance < 1


def test_it_takes_what_it_says_that_it_takes(made: Made) -> None:
    """What a study asks before its search lets the network through that it does export."""
    if isinstance(made.exporter, ChecksMachine):
        made.exporter.check_machine()
    if isinstance(made.exporter, ChecksNetworks):
        assert made.exporter.unfit(made.network) == ""


def test_the_program_computes_what_the_network_does(made: Made) -> None:
    """On graphs of all sizes, one node without an edge among them; read back from its files.

    As closely as the exporter says, and a network with other weights does not. On its sample alone
    where it is made for that; on others it gives finite numbers, as many as the network.
    """
    files = made.written.files
    assert made.folder / made.exporter.file in files
    assert sorted(files) == sorted(made.folder.iterdir()), "what it wrote is what it names"
    program = made.exporter.open(made.folder)
    again = [made_up(made.contract, size) for size in ((700, 3000, 50), *SIZES)]
    mean = made.written.mean_tolerance
    tolerance, in_mean = mean or made.exporter.tolerance, mean is not None
    alike = again[:1] if made.written.sample_only else again
    compare(program, made.network, made.contract, alike, tolerance, in_mean=in_mean)
    for inputs in again:
        given, expected = program(*inputs), made.network(*inputs)
        assert given.shape == expected.shape
        assert bool(given.isfinite().all())
    assert all(torch.equal(made.before[n], t) for n, t in made.network.state_dict().items())
    other = copy.deepcopy(made.network)
    for parameter in other.parameters():
        parameter.data.mul_(-2)
    with pytest.raises(Exception, match="differs from its network"):
        compare(program, other, made.contract, alike, tolerance, in_mean=in_mean)


def test_weights_that_are_integers_are_those_of_the_network(made: Made) -> None:
    """By name and shape, and as numbers no further away than half a step."""
    state = made.network.state_dict()
    for name, codes in made.written.codes.items():
        difference = (codes.dequantized() - state[name]).abs()
        assert bool((difference <= codes.scale / 2 + 1e-6).all()), name


def test_it_runs_where_this_program_is_not_loaded(made: Made, tmp_path: Path) -> None:
    """In the folder, by the lines that the bundle's README has; torch neither, if they say so."""
    inputs = made_up(made.contract, (20, 60, 3))
    program = made.exporter.open(made.folder)
    with torch.inference_mode():
        expected = program(*inputs).clone()
    compared = AS_ARRAYS if reads_numpy(made.exporter) else AS_TENSORS
    (tmp_path / "expected").write_bytes(save([*inputs, expected], as_arrays=compared is AS_ARRAYS))
    absent = {*OUT_OF_REACH, *(["torch"] if compared is AS_ARRAYS else [])}
    code = f"""
{made.exporter.reading}
import sys
PATH = {str(tmp_path / "expected")!r}
{compared}
assert not {absent!r} & set(sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", code], cwd=made.folder, check=True, env=environment)


def test_what_is_damaged_is_refused(made: Made, tmp_path: Path) -> None:
    """In words, whatever trips over it inside."""
    spoilt = tmp_path / "spoilt"
    shutil.copytree(made.folder, spoilt)
    (spoilt / made.exporter.file).write_bytes(b"(no program")
    with pytest.raises(BundleError):
        made.exporter.open(spoilt)


def test_it_makes_a_whole_bundle(plugin: Plugin, exporter: Exporter, bundle: Path) -> None:
    """Written, checked and read back by its name."""
    opened = load_bundle(bundle, exporter=plugin.name)
    assert exporter.file in opened.manifest.files
    dataset = graphs.node_graph()
    assert opened.predict(dataset.x, dataset.edge_index).shape == (90, 3)
    assert exporter.reading.splitlines()[-1] in (bundle / "README.md").read_text()
