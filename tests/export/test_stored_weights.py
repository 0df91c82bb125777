"""`weights.safetensors` in as many bits as the weights have, and read back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from nas.export._base import BundleError
from nas.export._weights import content, numbers, stored, tensor_bytes
from nas.export.load import load_weights
from search_spaces.quantization.formats import FORMATS
from search_spaces.quantization.layers import Precision, quantize, settled
from search_spaces.quantization.quantizers import Options
from search_spaces.task import TaskKind

MakeNetwork = Callable[[TaskKind], nn.Module]
Write = Callable[..., dict[str, Any]]
WEIGHTS = "weights.safetensors"


def quantized(network: nn.Module, bits: str) -> nn.Module:
    quantize(network, Precision(weight=FORMATS[bits], attention_weight=FORMATS[bits]), Options())
    return network.eval()


@pytest.mark.parametrize("bits", ["16", "8", "4", "2", "ternary", "binary"])
def test_stored_weights_are_those_that_the_network_computes_with(
    bits: str, network: MakeNetwork, tmp_path: Path
) -> None:
    """By their names, after any number of bits; and nothing else of the file changes."""
    made = quantized(network("node_classification"), bits)
    leaving = settled(quantized(network("node_classification"), bits))
    tensors, how = stored(made, leaving, {})
    assert {each.format for each in how.values()} == {bits}
    (tmp_path / WEIGHTS).write_bytes(content(tensors, how))
    read, expected = numbers(tmp_path / WEIGHTS), leaving.state_dict()
    assert read.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(read[name], tensor, rtol=1e-6, atol=1e-7)
    plain, _ = stored(network("node_classification"), network("node_classification"), {})
    assert tensor_bytes(content(tensors, how)) < tensor_bytes(content(plain, {}))


def test_a_bundle_says_what_few_bits_are_for(
    network: MakeNetwork, write: Write, node_bundle: Path, tmp_path: Path
) -> None:
    """`model_bytes` is counted in its file; whoever deploys it reads that the rest is float32."""
    made = quantized(network("node_classification"), "4")
    leaving = settled(quantized(network("node_classification"), "4"))
    given = {"metrics": {"model_bytes": 1.0}}
    manifest = write(tmp_path / "b", network=made, leaving=leaving, **given)
    with safe_open(tmp_path / "b" / WEIGHTS, framework="pt") as file:
        tensors = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118
    assert manifest["metrics"]["model_bytes"]["value"] == sum(t.nbytes for t in tensors)
    assert {t.dtype for t in tensors} >= {torch.uint8, torch.float32}
    said = "stored in 4 bits, which makes weights.safetensors smaller and nothing else"
    assert said in " ".join(manifest["notes"])
    assert said in (tmp_path / "b" / "README.md").read_text()
    assert said not in (node_bundle / "README.md").read_text(), (
        "control: nothing is quantized there"
    )
    weights = load_weights(tmp_path / "b")
    name = "network.first.lin.weight"
    torch.testing.assert_close(weights[name], leaving.state_dict()[name.removeprefix("network.")])


def test_weights_that_were_changed_or_cannot_be_read_are_refused(
    node_bundle: Path, tmp_path: Path
) -> None:
    """By their hash, and in words where integers do not fit their description."""
    assert "network.first.lin.weight" in load_weights(node_bundle)
    with pytest.raises(BundleError, match="not a bundle"):
        load_weights(tmp_path)
    save_file({"a": torch.zeros(3)}, tmp_path / WEIGHTS, {"quantized": '{"a": {"shape": [3]}}'})
    with pytest.raises(BundleError, match=r"weights\.safetensors cannot be read"):
        numbers(tmp_path / WEIGHTS)
