"""ONNX: what is in the file, what runs it, and what is refused."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from fakes.sparse_bundles import GRAPH, made
from torch import nn

from evaluators.datasets._base import Preprocessing
from nas.contracts.graphs import graph_set
from nas.export import BundleError, ExportError, ExportFailedError
from nas.export._base import Contract
from nas.export._deployed import deployed
from nas.export._parity import compare
from nas.export._sample import SIZES, made_up
from nas.export.load import load_bundle
from nas.export.onnx import OPSET, Onnx, build
from nas.latency.measure import Manner, measure_bundle
from search_spaces import SearchSpace, Task, gnn, plugins
from search_spaces.task import TaskKind

Write = Callable[..., dict[str, Any]]
ONE_LAYER = {"depth": [1], "width": [8], "pre_layers": [0], "post_layers": [0]}
FEW_BITS: dict[str, Any] = {"activation": ["tanh"], "output": ["linear"], **ONE_LAYER}


@pytest.fixture(scope="module")
def bundle(write: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx") / "bundle"
    write(folder, "graph_classification", formats=["onnx"])
    return folder


def test_the_file_says_nothing_of_where_it_was_made(bundle: Path, write: Write) -> None:
    """No path, no note, no shape of the trace; the names of the contract; the same bytes again."""
    content = (bundle / "model.onnx").read_bytes()
    paths = rb"/[\w.-]{3,}|site-packages|\.py\b|pkg\.|torch\.ops"
    assert not re.findall(paths, content)
    assert re.findall(paths, content + str(Path.cwd()).encode()), "control"
    model = onnx.load_model_from_string(content)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]
    shapes = {
        each.name: [d.dim_param or d.dim_value for d in each.type.tensor_type.shape.dim]
        for each in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "x": ["N", 6],
        "edge_index": [2, "E"],
        "graph_ids": ["N"],
        "graphs": ["B"],
        "logits": ["B", 3],
    }
    assert not model.graph.value_info
    write(bundle.parent / "again", "graph_classification", formats=["onnx"])
    assert (bundle.parent / "again" / "model.onnx").read_bytes() == content


def test_the_lines_of_its_readme_run_without_torch(bundle: Path) -> None:
    text = (bundle / "README.md").read_text()
    (lines,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    block = "import sys\nsys.modules['torch'] = sys.modules['onnx'] = None\n"
    check = "assert probabilities.shape == (1, 3) and np.allclose(probabilities.sum(-1), 1)"
    done = subprocess.run(
        [sys.executable, "-c", block + lines + check], cwd=bundle, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "It needs onnxruntime and numpy alone" in text
    assert "onnxruntime takes longer than torch" in text


def _external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="manifest.json")


def _foreign(model: onnx.ModelProto) -> None:
    model.opset_import.add(domain="elsewhere", version=1)


def _cut(model: onnx.ModelProto) -> None:
    del model.graph.node[3:]


@pytest.mark.parametrize("spoil", [_external, _foreign, _cut])
def test_a_program_that_is_not_whole_is_refused(
    spoil: Callable[[onnx.ModelProto], None], bundle: Path, tmp_path: Path
) -> None:
    """Weights in another file, which could be any of this machine; operators from elsewhere."""
    model = onnx.load_model_from_string((bundle / "model.onnx").read_bytes())
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    assert build().open(tmp_path), "control"
    spoil(model)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="cannot load this program"):
        build().open(tmp_path)


def test_its_latency_can_be_measured(bundle: Path) -> None:
    (measured,) = measure_bundle(bundle, manner=Manner(rounds=1))
    assert measured.to_json()["latency_ms"] > 0


def test_what_fails_in_a_run_is_told_with_its_sizes(bundle: Path) -> None:
    program = build().open(bundle)
    x, edges = torch.rand(2, 6), torch.tensor([[0], [9]])
    with pytest.raises(BundleError, match=r"onnxruntime fails on x \[2, 6\], edge_index \[2, 1\]"):
        program(x, edges, torch.zeros(2, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))


def _space(task: Task, extension: str, space: dict[str, Any], **options: Any) -> SearchSpace:
    built = gnn.build(task, operators=["gcn"], **space)
    return built.extended(plugins.load("extension", extension).build(built, task, **options))


def _network(space: SearchSpace, task: Task) -> nn.Module:
    """Of the first choices, after three passes of training."""
    torch.manual_seed(0)
    network = space.network(space.fill(lambda decision: decision.choices[0]), task).train()
    for _ in range(3):
        network(*made_up(Contract.of(task, Preprocessing()), (60, 240, 8)))
    return network.eval()


def _leaving(space: SearchSpace, task: Task) -> nn.Module:
    first = space.fill(lambda decision: decision.choices[0])
    return space.deployed(_network(space, task), first)


def _written(network: nn.Module, task: Task, folder: Path) -> float:
    contract = Contract.of(task, Preprocessing())
    module = deployed(network, Preprocessing(), contract)
    written = build().write(module, contract, folder, ())
    graphs = [made_up(contract, size) for size in SIZES]
    mean = written.mean_tolerance
    tolerance = mean or build().tolerance
    parity = compare(
        build().open(folder), module, contract, graphs, tolerance, in_mean=mean is not None
    )
    return parity.largest_difference


RULE = {"method": ["random"], "weight_density": [1.0], "edge_mode": "inductive"}


@pytest.mark.parametrize(
    ("kind", "extension", "options", "free"),
    [
        ("node_classification", "neighborhood", {"neighbors": [2]}, {"neighbors": [0]}),
        (
            "graph_classification",
            "sparsity",
            {**RULE, "edge_density": [0.5]},
            {"weight_density": [0.9]},
        ),
        ("node_classification", "sparsity", {**RULE, "edge_density": [0.5]}, None),
    ],
)
def test_what_it_refuses_cannot_be_written(
    kind: TaskKind,
    extension: str,
    options: dict[str, Any],
    free: dict[str, Any] | None,
    tmp_path: Path,
) -> None:
    """Really: a refusal of what would do is a fault like any other."""
    task = GRAPH.task if kind == "node_classification" else graph_set().task
    refused = _network(_space(task, extension, ONE_LAYER, **options), task)
    assert "sorting" in Onnx().unfit(refused)
    with pytest.raises(ExportFailedError, match=r"cannot be translated to ONNX: .*sort"):
        _written(refused, task, tmp_path)
    if free is not None:
        space = _space(task, extension, ONE_LAYER, **free)
        network = space.network(space.fill(lambda decision: decision.choices[0]), task)
        assert Onnx().unfit(network) == "", "control"


@pytest.mark.parametrize(
    "options",
    [
        {"weight_bits": [4], "activation_bits": [4]},
        {"weight_bits": ["ternary"], "activation_bits": ["ternary"]},
        {"weight_bits": ["binary"], "activation_bits": [8]},
    ],
)
def test_networks_of_few_bits_are_taken(options: dict[str, Any], tmp_path: Path) -> None:
    """With all that rounds, as it was trained."""
    task = GRAPH.task
    network = _leaving(_space(task, "quantization", FEW_BITS, **options), task)
    assert Onnx().unfit(network) == ""
    assert _written(network, task, tmp_path) <= 1e-5


@pytest.mark.parametrize("features", [6, 7])
def test_sums_of_signs_that_are_0_are_told_when_it_is_written(
    features: int, task: Callable[..., Task], tmp_path: Path
) -> None:
    """Of as many +1 as -1: what is added in another order is a little more than 0, or less.

    No refusal beforehand, for it depends on the weights; an odd number of signs never sums to 0.
    """
    one = task(n_features=features)
    both = {"weight_bits": ["binary"], "activation_bits": ["binary"]}
    network = _leaving(_space(one, "quantization", FEW_BITS, **both), one)
    assert Onnx().unfit(network) == ""
    if features % 2:
        assert _written(network, one, tmp_path) <= 1e-5
    else:
        with pytest.raises(ExportFailedError, match=r"few bits.* export it with pt2"):
            _written(network, one, tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"weight_density": (0.5,)},
        {"weight_density": (0.5,), "structure": ("units",)},
        {"weight_density": (1.0,), "edge_density": (0.5,)},
    ],
)
def test_sparse_networks_are_taken(options: dict[str, Any], tmp_path: Path) -> None:
    """Entries, units, and a ticket, which leaves with its graph."""
    one = made(**options)
    assert Onnx().unfit(one.network) == ""
    one.bundle(tmp_path / "b", formats=["onnx"])
    opened = load_bundle(tmp_path / "b")
    edges = GRAPH.edge_index if opened.graph is None else opened.graph.edge_index
    expected = one.logits.numpy()
    given = opened.predict(GRAPH.x, edges).numpy()
    np.testing.assert_allclose(given, expected, atol=1e-5, rtol=1e-5)
    assert ("safetensors.numpy" in (tmp_path / "b" / "README.md").read_text()) == (
        opened.graph is not None
    )


def test_a_missing_package_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    for call in (lambda: build().open(tmp_path), Onnx().check_machine):
        with pytest.raises(ExportError, match=r"onnx is not installed: pip install"):
            call()
