"""Bundles of several programs: what is written, which is opened, and what does not go together."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import nas
from nas.cli import main
from nas.cli._types import Formats, FormatsType
from nas.export import BundleError, ExportError
from nas.export._programs import PORTABLE, planned
from search_spaces.errors import PluginError

Write = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def two(write: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of which ONNX was asked for, and nothing else."""
    to = tmp_path_factory.mktemp("formats") / "two"
    write(to, formats=["onnx"])
    return to


def test_a_program_of_torch_is_always_there(two: Path) -> None:
    """After the one that was asked for, which is opened, and measured; both are the network's."""
    manifest = json.loads((two / "manifest.json").read_text())
    assert [each["file"] for each in manifest["programs"]] == ["model.onnx", "model.pt2"]
    assert {"model.onnx", "model.pt2"} <= {path.name for path in two.iterdir()}
    x, edge_index = torch.rand(9, 6), torch.randint(9, (2, 20))
    first, other = nas.load_bundle(two), nas.load_bundle(two, exporter="pt2")
    torch.testing.assert_close(
        first.predict(x, edge_index), other.predict(x, edge_index), atol=1e-5, rtol=0
    )
    assert type(first.program) is not type(other.program)
    with pytest.raises(BundleError, match=r'written by onnx, pt2, none by "aoti"'):
        nas.load_bundle(two, exporter="aoti")


def test_the_readme_says_how_to_run_each(two: Path) -> None:
    text = (two / "README.md").read_text()
    for words in ("model.onnx", "onnxruntime", "model.pt2", "torch.export.load"):
        assert words in text


def test_each_is_written_once_in_the_order_asked_for() -> None:
    assert list(planned(["onnx", "pt2", "onnx"])) == ["onnx", "pt2"]
    assert list(planned([])) == [PORTABLE]


def test_two_programs_in_one_file_are_refused_before_anything_is_written() -> None:
    with pytest.raises(ExportError, match=r"aoti and int8_static both write compiled\.pt2; .* two"):
        planned(["aoti", "int8_static"])
    with pytest.raises(PluginError, match=r'no format is called "onxx"; did you mean "onnx"'):
        planned(["onxx"])
    with pytest.raises(PluginError, match=r"expected one of: .*, state"):
        planned(["zzz"])


@pytest.mark.parametrize(
    ("text", "programs", "printed"),
    [
        ("pt2,aoti", ("pt2", "aoti"), None),
        ("json", (), "json"),
        ("onnx, json", ("onnx",), "json"),
        ("csv,state,pt2", ("state", "pt2"), "csv"),
    ],
)
def test_programs_and_print_are_one_option(
    text: str, programs: tuple[str, ...], printed: str | None
) -> None:
    assert FormatsType().convert(text, None, None) == Formats(programs, printed)


@pytest.mark.parametrize("text", ["json,csv", "", "pt2,,onnx"])
def test_formats_that_say_nothing_are_wrong_usage(text: str) -> None:
    done = CliRunner().invoke(main, ["export", "study", "--to=bundle", f"--format={text}"])
    assert done.exit_code == 2
    assert "expected names such as pt2,aoti or pt2,json" in done.stderr
