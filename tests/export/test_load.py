"""A bundle that was damaged, changed or made by someone hostile is refused, with the reason."""

import hashlib
import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.export._base import BundleError
from nas.export._manifest import manifest_digest, text_of
from nas.export.load import load_bundle
from search_spaces import PluginError, UsageError

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def copied(node_bundle: Path, tmp_path: Path) -> Path:
    """A bundle that a test may damage."""
    return Path(shutil.copytree(node_bundle, tmp_path / "copied"))


def _edit(folder: Path, edit: Edit) -> None:
    path = folder / "manifest.json"
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(text_of({**value, "digest": manifest_digest(value)}))


def _replace_model(folder: Path, content: bytes) -> None:
    """Another program, with a manifest that vouches for it."""
    (folder / "model.pt2").write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    _edit(folder, lambda value: value["files"].update({"model.pt2": entry}))


def _rezipped(folder: Path, change: Callable[[str, bytes], bytes], extra: str = "") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(folder / "model.pt2") as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
        if extra:
            new.writestr(extra, b"x")
    return out.getvalue()


@given(
    position=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255), which=st.integers(0, 3)
)
@settings(max_examples=25)
def test_any_changed_byte_is_noticed(
    position: float, flip: int, which: int, node_bundle: Path, tmp_path_factory: Any
) -> None:
    """One byte of any listed file; the message names the file."""
    folder = Path(shutil.copytree(node_bundle, tmp_path_factory.mktemp("flipped") / "b"))
    name = ("model.pt2", "weights.safetensors", "architecture.json", "README.md")[which]
    content = bytearray((folder / name).read_bytes())
    content[int(position * len(content))] ^= flip
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"{name} is damaged .*; copy the bundle again$"):
        load_bundle(folder)


def test_missing_and_shortened_files_are_named(copied: Path) -> None:
    """A file that is not there, and one that was cut off."""
    weights = copied / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1])
    with pytest.raises(BundleError, match=r"weights\.safetensors is damaged: it has \d+ bytes"):
        load_bundle(copied)
    weights.unlink()
    with pytest.raises(BundleError, match=r"weights\.safetensors is listed .* not a plain file"):
        load_bundle(copied)
    (copied / "manifest.json").unlink()
    with pytest.raises(BundleError, match=r"not a bundle: manifest\.json cannot be read"):
        load_bundle(copied)


def test_a_link_out_of_the_folder_is_refused(copied: Path, tmp_path: Path) -> None:
    """Even to a file with the right content."""
    (copied / "README.md").rename(tmp_path / "elsewhere.md")
    (copied / "README.md").symlink_to(tmp_path / "elsewhere.md")
    with pytest.raises(BundleError, match=r"README\.md is listed .* not a plain file"):
        load_bundle(copied)


def _rename(new: str) -> Edit:
    return lambda value: value["files"].update({new: value["files"]["README.md"]})


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_rename("../outside"), "not the plain name of a file"),
        (_rename("/etc/passwd"), "not the plain name of a file"),
        (_rename("a/b"), "not the plain name of a file"),
        (_rename("a\\b"), "not the plain name of a file"),
        (_rename(".."), "not the plain name of a file"),
        (_rename("C:x"), "not the plain name of a file"),
        (_rename("manifest.json"), "not the plain name of a file"),
        (lambda v: v["files"].pop("model.pt2"), "files does not list model.pt2"),
        (lambda v: v["files"]["README.md"].update(sha256="0"), "files.README.md.sha256"),
        (lambda v: v["files"]["README.md"].update(bytes=-1), "files.README.md.bytes"),
        (lambda v: v.update(version=1), "this one has version 1"),
        (lambda v: v.update(version="2"), "version: expected an integer, got '2'"),
        (lambda v: v.update(version=True), "version: expected an integer, got True"),
        (lambda v: v.update(version=2.0), "version: expected an integer, got 2.0"),
        (lambda v: v.pop("version"), "version: expected an integer, got None"),
        (lambda v: v.update(format="zip"), 'expected "format"'),
        (lambda v: v.update(surprise=1), "surprise: Extra inputs are not permitted"),
        (lambda v: v["programs"][0].pop("parity"), "programs.0.parity: Field required"),
        (lambda v: v["programs"].clear(), "programs: expected at least 1, got 0;"),
        (lambda v: v["programs"][0].update(file="../a"), "not the plain name of a file"),
        (
            lambda v: v["programs"][0].update(file="README.md"),
            "pt2 writes model.pt2, not README.md",
        ),
        (lambda v: v["inputs"].pop(), "do not follow from the contract"),
        (lambda v: v["contract"].update(n_features="6"), "contract.n_features"),
    ],
)
def test_a_manifest_that_breaks_the_schema_is_refused(
    copied: Path, edit: Edit, reason: str
) -> None:
    """Whatever is wrong is named; nothing else is read."""
    _edit(copied, edit)
    with pytest.raises(BundleError) as caught:
        load_bundle(copied)
    assert reason in str(caught.value)


def test_a_bundle_does_not_choose_what_is_imported(copied: Path) -> None:
    """An exporter from elsewhere is imported only where the caller names it, and no other."""
    _edit(copied, _written_by("fakes.export"))
    with pytest.raises(BundleError, match=r'written by "fakes\.export", which did not come with'):
        load_bundle(copied)
    with pytest.raises(BundleError, match=r'written by fakes\.export, none by "pt2"'):
        load_bundle(copied, exporter="pt2")
    _edit(copied, _written_by("os.path"))
    with pytest.raises(PluginError, match="no function `build`"):
        load_bundle(copied, exporter="os.path")


def _written_by(name: str) -> Edit:
    return lambda value: value["programs"][0].update(exporter=name)


@pytest.mark.parametrize("name", ["version", "sha256"])
def test_a_manifest_with_a_key_twice_is_refused(copied: Path, name: str) -> None:
    """At the top or within, with the same value: who reads which of them is not said."""
    path = copied / "manifest.json"
    text = path.read_text()
    line = next(each for each in text.splitlines() if f'"{name}": ' in each).rstrip(",")
    path.write_text(text.replace(line, f"{line},\n{line}", 1))
    with pytest.raises(BundleError) as caught:
        load_bundle(copied)
    assert str(caught.value) == (
        f'{path}: expected JSON with each key once: the key "{name}" is there twice; copy the '
        "bundle again"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", " is empty"),
        ("\n", " is empty"),
        ("[]", ": expected a JSON object, got a list"),
        ("null", ": expected a JSON object, got null"),
        ("{", " is not JSON, at line 1, column 2"),
        ("[" * 100_000, " is nested too deeply to be read"),
        ('{"version": NaN}', ": expected JSON with each key once: NaN is no number of JSON"),
        ("\udcff", " is not text in UTF-8"),
        (" " * (2**20 + 1), " is larger than 1048576 bytes, and no bundle has such a file"),
    ],
)
def test_a_manifest_that_is_no_json_object_is_refused(copied: Path, text: str, reason: str) -> None:
    """In no words of a parser or a programmer, and with the remedy."""
    path = copied / "manifest.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(BundleError) as caught:
        load_bundle(copied)
    assert str(caught.value) == f"{path}{reason}; copy the bundle again"


class Evil:
    """Unpickling one of these would be noticed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('unpickled')",)


def _as_pickle(name: str, content: bytes) -> bytes:
    if not name.endswith("weights_config.json"):
        return content
    value = json.loads(content)
    next(iter(value["config"].values()))["use_pickle"] = True
    return json.dumps(value).encode()


def _as_custom_object(name: str, content: bytes) -> bytes:
    if not name.endswith("constants_config.json"):
        return content
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": False}
    return json.dumps({"config": {"c": entry | {"tensor_meta": None}}}).encode()


def _with_inputs(name: str, content: bytes) -> bytes:
    return pickle.dumps(Evil()) if "sample_inputs" in name else content


@pytest.mark.parametrize(
    ("change", "extra", "reason"),
    [
        (_as_pickle, "", "not declared as raw numbers"),
        (_as_custom_object, "", "not declared as raw numbers"),
        (_with_inputs, "", "sample inputs"),
        (lambda _, content: content, "archive/data/constants/opaque_obj_0", "opaque_obj_0"),
        (lambda _, content: content, "archive/data/weights/model.pt", "model.pt"),
        (lambda _, content: content, "archive/data/aotinductor/model/a.so", "a.so"),
        (lambda _, content: content, "other/models/model.json", "two programs"),
    ],
)
def test_a_program_with_a_pickle_is_refused_before_torch_opens_it(
    copied: Path, change: Callable[[str, bytes], bytes], extra: str, reason: str
) -> None:
    """Although the manifest vouches for it."""
    _replace_model(copied, _rezipped(copied, change, extra))
    with pytest.raises(BundleError, match=reason):
        load_bundle(copied)


def test_files_that_are_no_program_are_refused(copied: Path) -> None:
    """Text, an empty zip, and a zip of something else."""
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    for content in (b"hello", b"", empty.getvalue()):
        _replace_model(copied, content)
        with pytest.raises(
            BundleError, match=r"model\.pt2 is not a program .*; copy the bundle again"
        ):
            load_bundle(copied)


def _graph() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(4, 6), torch.tensor([[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("x", "edge_index", "reason"),
    [
        (torch.rand(4, 5), _graph()[1], "expected 6 features, got 5"),
        (torch.rand(4, 6).double(), _graph()[1], "x must be float32 .* got float64"),
        (torch.rand(6), _graph()[1], r"x must be float32 .* got float32 of shape \[6\]"),
        (np.zeros((4, 6), "float32"), _graph()[1], "x as a tensor, got ndarray"),
        (torch.rand(0, 6), torch.zeros(2, 0, dtype=torch.int64), "x has no rows"),
        (torch.full((4, 6), torch.nan), _graph()[1], "NaN or infinite"),
        (_graph()[0], _graph()[1].int(), "edge_index must be int64"),
        (_graph()[0], torch.tensor([[0], [4]]), "outside the 4 nodes"),
        (_graph()[0], torch.tensor([[-1], [0]]), "outside the 4 nodes"),
        (_graph()[0], torch.zeros(3, 2, dtype=torch.int64), "edge_index must have two rows"),
    ],
)
def test_inputs_that_break_the_contract_are_refused(
    node_bundle: Path, x: Any, edge_index: Any, reason: str
) -> None:
    """Names the input, what was expected and what came."""
    with pytest.raises(UsageError, match=reason):
        load_bundle(node_bundle).predict(x, edge_index)


def test_graph_numbers_are_checked(node_bundle: Path, graph_bundle: Path) -> None:
    """They are there exactly when graphs are predicted, ascend, and edges stay inside."""
    x, edge_index = _graph()
    nodes, graphs = load_bundle(node_bundle), load_bundle(graph_bundle)
    with pytest.raises(UsageError, match="leave graph_ids out"):
        nodes.predict(x, edge_index, torch.zeros(4, dtype=torch.int64))
    for ids, reason in [
        (None, "give graph_ids"),
        ([1, 0, 0, 0], "must ascend"),
        ([0, 0, 0, 10**12], "reach from 0 to"),
        ([-1, 0, 0, 0], "reach from -1"),
        ([0, 1, 1, 1], "join different graphs"),
        ([0, 0, 0], "3 entries, but x has 4 nodes"),
    ]:
        with pytest.raises(UsageError, match=reason):
            graphs.predict(x, edge_index, None if ids is None else torch.tensor(ids))
    assert graphs.predict(x, edge_index, torch.tensor([0, 0, 1, 3])).shape == (4, 3)
    assert graphs.predict(x, edge_index, torch.tensor([0, 0, 1, 3]), graphs=6).shape == (6, 3)
    assert graphs.probabilities(x, edge_index, torch.tensor([0, 0, 1, 3])).sum() == pytest.approx(4)
