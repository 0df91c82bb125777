"""A bundle is what it says, or it is told what is not so, and what could not be looked at."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.resealing import edited, replaced, resealed
from safetensors.torch import load_file, save

import nas
from nas.candidate import Candidate, candidate
from nas.export._manifest import text_of
from nas.export.bundle import export_candidate
from nas.verifying import Check, Verified, VerifyError, verify
from search_spaces.plugins import Plugin

WEIGHTS, PROGRAM, STATE = "weights.safetensors", "model.pt2", "state.safetensors"


def searched(folder: Path, **tables: Any) -> Candidate:
    """The network of a study of one trial."""
    spec: dict[str, Any] = {
        "study": {"name": "small", "objectives": {"val_accuracy": "maximize"}},
        "space": {"name": "gnn", "depth": [2], "width": [8], "operators": ["gcn"]},
        "dataset": {"name": "digits_knn", "normalize": "standardize"},
        "strategy": {"name": "random"},
        "evaluator": {"name": "training", "epochs": 15},
        "budget": {"trials": 1},
        "executor": {"name": "inline"},
        **tables,
    }
    url = f"sqlite:///{folder}/nas.db"
    nas.search(spec, storage=url, data_root=folder)
    return candidate("small", 0, storage=url, data_root=folder)


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    return searched(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def bundle(chosen: Candidate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    export_candidate(folder, chosen)
    return folder


@pytest.fixture
def copied(bundle: Path, tmp_path: Path) -> Path:
    """One that a test may change."""
    return Path(shutil.copytree(bundle, tmp_path / "copied"))


@pytest.fixture(scope="module")
def other(chosen: Candidate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the same network with other weights: classes of the last layer are mixed up."""
    weights = dict(chosen.weights)
    name = [each for each in weights if each.endswith("bias")][-1]
    weights[name] = weights[name] + torch.linspace(0, 5, weights[name].numel())
    folder = tmp_path_factory.mktemp("other") / "b"
    export_candidate(folder, replace(chosen, weights=weights))
    return folder


def said(folder: Path, digest: str | None = None, **options: Any) -> Verified:
    return verify(folder, digest, data_root=folder.parent, latency=False, **options)


def digest_of(folder: Path) -> str:
    return str(json.loads((folder / "manifest.json").read_text())["digest"])


def failed(found: Verified) -> set[str]:
    return {each.check for each in found.checks if each.ok is False}


def of(found: Verified, check: str) -> list[Check]:
    return [each for each in found.checks if each.check == check]


def test_a_bundle_as_it_was_exported_holds(bundle: Path) -> None:
    """Nothing is skipped but the digest that was not told, and that was told holds too."""
    found = said(bundle)
    assert found.holds
    assert [each.check for each in found.checks if each.ok is None] == ["digest"]
    assert len(of(found, "file")) == 5
    (parity,) = of(found, "parity")
    assert parity.value <= 1e-5
    assert "beside weights.safetensors on 8 graphs" in parity.detail
    accuracy = {each.detail.partition(",")[0]: each for each in of(found, "accuracy")}
    assert accuracy["val_accuracy"].value == pytest.approx(accuracy["val_accuracy"].expected)
    assert not any("test" in name for name in accuracy)
    digest = digest_of(bundle)
    for given in (digest, digest[:12], digest.upper()):
        assert said(bundle, given).holds


def test_time_is_a_fact(bundle: Path) -> None:
    found = verify(bundle, data_root=bundle.parent)
    (latency,) = of(found, "latency")
    assert latency.ok is None
    assert latency.value > 0
    assert "a fact, in ms, on 1,797 nodes" in latency.detail


def test_another_digest_opens_nothing(bundle: Path) -> None:
    found = said(bundle, "0" * 12)
    assert failed(found) == {"digest"}
    assert not of(found, "load")
    for wrong in ("0" * 11, "0" * 65, "xyz" * 5, ""):
        with pytest.raises(VerifyError, match="expected 12 to 64 hex digits"):
            said(bundle, wrong)


@pytest.mark.parametrize("name", [PROGRAM, WEIGHTS, "architecture.json", "README.md"])
def test_damage_is_named_and_nothing_is_opened(copied: Path, name: str) -> None:
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    found = said(copied)
    (wrong,) = [each for each in found.checks if each.ok is False]
    assert (wrong.check, wrong.program) == ("file", name)
    assert not of(found, "load")


def test_a_damaged_manifest_is_one_row_and_none_is_no_bundle(copied: Path, tmp_path: Path) -> None:
    path = copied / "manifest.json"
    path.write_text(path.read_text() + " ")
    assert [(each.check, each.ok) for each in said(copied).checks] == [("manifest", False)]
    path.unlink()
    with pytest.raises(VerifyError, match=r"it has no manifest\.json"):
        said(copied)


class TestAttackers:
    """Whoever can write all files, hashes, digest and manifest with them."""

    def test_other_weights_are_not_those_of_the_program(self, copied: Path) -> None:
        digest = digest_of(copied)
        tensors = load_file(copied / WEIGHTS)
        name = next(each for each in tensors if each.endswith("bias"))
        replaced(copied, WEIGHTS, save({**tensors, name: tensors[name] + 0.01}))
        found = said(copied)
        assert failed(found) == {"parity"}
        assert all(each.ok for each in of(found, "file"))
        assert failed(said(copied, digest)) == {"digest"}

    def test_another_program_is_not_that_of_the_weights(self, copied: Path, other: Path) -> None:
        replaced(copied, PROGRAM, (other / PROGRAM).read_bytes())
        assert failed(said(copied)) == {"parity", "accuracy"}

    def test_both_are_not_as_accurate(self, copied: Path, other: Path) -> None:
        digest = digest_of(copied)
        for name in (PROGRAM, WEIGHTS):
            replaced(copied, name, (other / name).read_bytes())
        assert failed(said(copied)) == {"accuracy"}
        assert failed(said(copied, digest)) == {"digest"}

    def test_both_with_their_metrics_are_known_by_the_digest_alone(
        self, copied: Path, other: Path
    ) -> None:
        """What hashes, programs and data cannot show: this is another, honest bundle."""
        digest = digest_of(copied)
        metrics = json.loads((other / "manifest.json").read_text())["metrics"]
        for name in (PROGRAM, WEIGHTS):
            replaced(copied, name, (other / name).read_bytes())
        edited(copied, lambda value: value.update(metrics=metrics))
        assert said(copied).holds
        assert failed(said(copied, digest)) == {"digest"}

    def test_a_tolerance_cannot_be_raised(self, copied: Path, other: Path) -> None:
        replaced(copied, PROGRAM, (other / PROGRAM).read_bytes())
        edited(copied, lambda v: v["programs"][0]["parity"].update(tolerance=1e9))
        found = said(copied)
        assert "parity" in failed(found)
        assert "its exporter no more than 1e-05" in of(found, "parity")[0].detail

    def test_weights_that_are_not_finite(self, copied: Path) -> None:
        tensors = load_file(copied / WEIGHTS)
        replaced(copied, WEIGHTS, save({n: t * float("nan") for n, t in tensors.items()}))
        found = said(copied)
        assert failed(found) == {"parity"}
        assert "not finite" in of(found, "parity")[0].detail

    @pytest.mark.parametrize(
        ("name", "edit", "reason"),
        [
            ("architecture.json", lambda v: v["choices"].update(depth=3), "one of them was chan"),
            ("recipe.json", lambda v: v["steps"][0]["choices"].update(depth=3), "another archit"),
        ],
    )
    def test_what_describes_it_is_of_it(
        self, copied: Path, name: str, edit: Callable[[Any], object], reason: str
    ) -> None:
        value = json.loads((copied / name).read_text())
        edit(value)
        text = json.dumps(value, indent=2, sort_keys=True) + "\n"
        replaced(copied, name, text.encode())
        found = said(copied)
        details = [each.detail for each in found.checks if each.check in ("architecture", "parity")]
        assert any(reason in each for each in details), details

    @pytest.mark.parametrize(
        ("edit", "reason"),
        [
            (lambda v: v["space"].update(width="8"), "[space] width: expected a list of integers"),
            (lambda v: v["space"].update(wide=[4]), '[space] wide: no option of the space "gnn"'),
            (
                lambda v: v["space"].update(operators=["gnc"]),
                '[space] operators: no operator is called "gnc"',
            ),
            (lambda v: v["space"].pop("name"), "[space] name: expected the name of a space"),
            (lambda v: v["evaluator"].update(epochs=-1), "epochs: expected an integer >= 1, got"),
            (lambda v: v["dataset"].update(normalize=3), "[dataset] normalize: expected"),
            (lambda v: v["extension"].append(["sparsity", {"a": 1}]), "[extension.sparsity] a: no"),
            (lambda v: v["extension"].append(["neighborhood", {}]), "cannot build a network"),
            (lambda v: v.update(quantized={}), "do not agree whether it was brought to few bits"),
        ],
    )
    def test_a_recipe_that_does_not_fit_switches_no_check_off(
        self, copied: Path, edit: Callable[[Any], object], reason: str
    ) -> None:
        """What came with this program is known here, so it is the recipe that was changed."""
        value = json.loads((copied / "recipe.json").read_text())
        edit(value)
        replaced(copied, "recipe.json", text_of(value).encode())
        found = said(copied)
        assert "parity" in failed(found)
        (row,) = of(found, "parity")
        assert reason in row.detail
        assert "copy the bundle again" in row.detail
        assert "Error" not in row.detail

    def test_a_network_that_would_take_gigabytes_is_not_built(self, copied: Path) -> None:
        """Both files say so, and the manifest vouches."""
        recipe = json.loads((copied / "recipe.json").read_text())
        architecture = json.loads((copied / "architecture.json").read_text())
        wide = {n: 2**16 if v == 8 else v for n, v in architecture["choices"].items()}
        assert wide != architecture["choices"]
        architecture["choices"] = recipe["steps"][0]["choices"] = wide
        recipe["space"]["width"] = [2**16]
        for name, value in (("recipe.json", recipe), ("architecture.json", architecture)):
            (copied / name).write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
        from search_spaces import Architecture

        key = Architecture.from_json(architecture).key
        resealed(copied, lambda value: value.update(architecture=key))
        found = said(copied)
        assert "parity" in failed(found)
        assert "describes a network of 4,3" in of(found, "parity")[0].detail


def test_one_of_few_bits_is_built_again_with_its_ranges(tmp_path: Path) -> None:
    """Weights of four bits, and activations of eight over the ranges that training saw."""
    few = {"quantization": {"weight_bits": [4], "activation_bits": [8]}}
    export_candidate(tmp_path / "b", searched(tmp_path, extension=few), ("pt2", "state"))
    found = said(tmp_path / "b")
    assert found.holds
    (parity,) = of(found, "parity")
    assert "beside weights.safetensors" in parity.detail
    assert parity.ok
    assert [each.ok for each in of(found, "state")] == [True]


class TestState:
    @pytest.fixture
    def trainable(self, chosen: Candidate, tmp_path: Path) -> Path:
        export_candidate(tmp_path / "trainable", chosen, ("pt2", "state"))
        return tmp_path / "trainable"

    def test_one_of_this_network_holds(self, trainable: Path) -> None:
        found = said(trainable)
        assert found.holds
        assert [each.ok for each in of(found, "state")] == [True]

    @pytest.mark.parametrize("change", ["missing", "more", "wider"])
    def test_names_and_shapes_are_those_of_the_network(self, trainable: Path, change: str) -> None:
        """Hash and size are vouched for, so nothing else tells."""
        tensors = load_file(trainable / STATE)
        name = "body.layers.0.operator.bias"
        if change == "missing":
            del tensors[name]
        elif change == "more":
            tensors["more"] = torch.zeros(1)
        else:
            tensors[name] = torch.zeros(9)
        replaced(trainable, STATE, save(tensors))
        found = said(trainable)
        assert failed(found) == {"state"}
        (row,) = of(found, "state")
        expected = {
            "missing": f'expected "{name}" [8], got no "{name}"',
            "more": 'expected no "more", got "more" [1]',
            "wider": f'expected "{name}" [8], got "{name}" [9]',
        }
        assert f"{STATE} is not of this network: {expected[change]}; export it" in row.detail

    @pytest.mark.parametrize(
        ("table", "options"), [("space", {"width": "8"}), ("evaluator", {"epochs": -1})]
    )
    def test_a_recipe_that_does_not_fit_skips_nothing(
        self, trainable: Path, table: str, options: dict[str, Any]
    ) -> None:
        value = json.loads((trainable / "recipe.json").read_text())
        value[table].update(options)
        replaced(trainable, "recipe.json", text_of(value).encode())
        found = said(trainable)
        assert failed(found) == {"parity", "state"}
        assert f"recipe.json: [{table}] " in of(found, "state")[0].detail

    def test_what_is_no_file_of_tensors(self, trainable: Path) -> None:
        replaced(trainable, STATE, b"x" * 100)
        assert failed(said(trainable)) == {"state"}

    def test_one_of_plug_ins_of_others_is_skipped(self, trainable: Path) -> None:
        value = json.loads((trainable / "recipe.json").read_text())
        value["space"]["name"] = "antigravity"
        text = json.dumps(value, indent=2, sort_keys=True) + "\n"
        replaced(trainable, "recipe.json", text.encode())
        (row,) = of(said(trainable), "state")
        assert row.ok is None
        assert 'skipped: "antigravity" did not come' in row.detail


class TestSkipped:
    def test_data_that_are_not_here(self, copied: Path) -> None:
        value = json.loads((copied / "recipe.json").read_text())
        value["dataset"] = {"name": "graph_file", "path": "gone.npz"}
        text = json.dumps(value, indent=2, sort_keys=True) + "\n"
        replaced(copied, "recipe.json", text.encode())
        found = said(copied)
        assert found.holds
        (accuracy,) = of(found, "accuracy")
        assert accuracy.ok is None
        assert "skipped: its data are not here" in accuracy.detail
        again = said(copied, dataset=Plugin("digits_knn", {"normalize": "standardize"}))
        assert [each.ok for each in of(again, "accuracy")] == [True] * 4

    def test_other_data_are_a_fact(self, bundle: Path) -> None:
        found = said(bundle, dataset=Plugin("digits_knn", {"normalize": "row"}))
        assert found.holds
        assert {each.ok for each in of(found, "accuracy")} == {None}

    def test_plug_ins_of_others_are_not_imported(self, copied: Path) -> None:
        value = json.loads((copied / "recipe.json").read_text())
        value["space"]["name"], value["dataset"]["name"] = "antigravity", "this"
        text = json.dumps(value, indent=2, sort_keys=True) + "\n"
        replaced(copied, "recipe.json", text.encode())
        edited(copied, lambda v: v["programs"][0].update(exporter="idlelib.idle"))
        import sys

        found = said(copied)
        assert found.holds
        assert {each.ok for each in found.checks if each.check in ("load", "accuracy")} == {None}
        assert not {"antigravity", "this", "idlelib.idle"} & {*sys.modules}
        assert any('"antigravity", "this" did not' in each.detail for each in found.checks)

    def test_a_program_for_another_machine(self, copied: Path) -> None:
        """The others are looked at; a damaged one for this machine fails."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            of_other = {"AOTI_PLATFORM": "plan9", "AOTI_MACHINE": "mips"}
            inside = "compiled/data/aotinductor/model/a.wrapper"
            archive.writestr(f"{inside}.so", b"x")
            archive.writestr(f"{inside}_metadata.json", json.dumps(of_other))
        (copied / "compiled.pt2").write_bytes(content.getvalue())

        def add(value: dict[str, Any]) -> None:
            program = {**value["programs"][0], "exporter": "aoti", "file": "compiled.pt2"}
            value["programs"].append(program)

        resealed(copied, add)
        found = said(copied)
        assert found.holds
        pt2, aoti = of(found, "load")
        assert (pt2.ok, aoti.ok) == (True, None)
        assert "was compiled for plan9 mips" in aoti.detail
        replaced(copied, "compiled.pt2", b"x" + content.getvalue())
        assert failed(said(copied)) == {"load"}


def test_a_network_that_is_not_of_a_study_has_nothing_to_be_compared_with(
    node_bundle: Path,
) -> None:
    """It is said so; what can be looked at is."""
    found = said(node_bundle)
    assert found.holds
    details = [each.detail for each in of(found, "parity")]
    assert any("the bundle has no recipe.json" in each for each in details)
