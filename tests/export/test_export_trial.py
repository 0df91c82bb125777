"""From a finished study to a bundle, which is as accurate as the search recorded."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open

import nas
from evaluators import artifacts
from evaluators.artifacts import store_path
from evaluators.datasets import load
from nas.cli import main
from nas.export._base import ExportError
from nas.export._parity import NEAR
from nas.export.bundle import export_trial
from nas.predict import predict
from nas.store import Store
from search_spaces import UsageError
from search_spaces.plugins import Plugin

DATASET = Plugin("digits_knn", {"normalize": "standardize"})


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A study of three short trials, of networks with bits, in a database of its own."""
    folder = tmp_path_factory.mktemp("study")
    url = f"sqlite:///{folder}/nas.db"
    spec: dict[str, Any] = {
        "study": {"name": "small", "objectives": {"val_accuracy": "maximize"}},
        "space": {"name": "gnn", "depth": [1, 2], "width": [8], "operators": ["gcn", "sage"]},
        "extension": {"quantization": {"weight_bits": [8], "activation_bits": [4]}},
        "dataset": {"name": DATASET.name, **DATASET.options},
        "strategy": {"name": "random"},
        "evaluator": {"name": "training", "epochs": 15},
        "budget": {"trials": 3},
        "executor": {"name": "inline"},
    }
    nas.search(spec, storage=url, data_root=folder)
    return url


def _val_accuracy(bundle: Path, tmp_path: Path) -> float:
    """Of the bundle on raw features, by the labels of the validation split."""
    found = predict(bundle, dataset=DATASET, data_root=tmp_path).probabilities.argmax(1)
    dataset = load(DATASET, tmp_path)
    return float((found == dataset.y)[dataset.val].float().mean())


def test_the_best_trial_keeps_its_accuracy(storage: str, tmp_path: Path) -> None:
    """Same weights, same preparation, same numbers, in the manifest and by measuring again."""
    manifest = export_trial("small", "best", tmp_path / "b", storage=storage, data_root=tmp_path)
    best = Store.open_existing(storage).front("small")[0]
    assert manifest["provenance"]["trial"] == best.number
    assert manifest["provenance"]["retrained"] is False
    recorded = manifest["metrics"]["val_accuracy"]
    trained = manifest["training"]["val_accuracy"]
    assert trained["value"] == best.metrics["val_accuracy"]
    assert (trained["by"], recorded["by"]) == ("training", "program")
    assert recorded["value"] == pytest.approx(trained["value"], abs=1e-6)
    assert _val_accuracy(tmp_path / "b", tmp_path) == pytest.approx(recorded["value"], abs=1e-6)
    assert not any(metric["split"] == "test" for metric in manifest["metrics"].values())
    assert {"N": 1797, "E": load(DATASET, tmp_path).task.n_edges} in manifest["programs"][0][
        "parity"
    ]["graphs"]


def test_an_evaluator_without_checkpoints_is_named(tmp_path: Path) -> None:
    """Nothing was lost, and nothing can be exported: with what to do."""
    spec = {
        "study": {"name": "weightless"},
        "space": {"name": "gnn", "depth": [1], "width": [8], "operators": ["gcn"]},
        "dataset": {"name": DATASET.name, **DATASET.options},
        "strategy": {"name": "random"},
        "evaluator": {"name": "broken.evaluator"},
        "budget": {"trials": 1},
    }
    storage = f"sqlite:///{tmp_path}/nas.db"
    nas.search(spec, storage=storage, data_root=tmp_path)
    with pytest.raises(UsageError, match=r'"broken\.evaluator" leaves no checkpoints.* "training"'):
        export_trial("weightless", "best", tmp_path / "b", storage=storage, data_root=tmp_path)
    assert not (tmp_path / "b").exists()


def test_a_lost_checkpoint_is_trained_again_and_said_so(storage: str, tmp_path: Path) -> None:
    """The same job gives the same network; the manifest and the README say what happened."""
    store = Store.open_existing(storage)
    record = store.trial("small", 1)
    assert record.artifact is not None
    artifacts.remove(artifacts.Artifact(store.artifacts("small"), record.artifact))
    assert store_path(store.artifacts("small")).is_dir()
    manifest = export_trial("small", 1, tmp_path / "b", storage=storage, data_root=tmp_path)
    assert manifest["provenance"]["retrained"] is True
    assert "was trained for this bundle" in (tmp_path / "b" / "README.md").read_text()
    recorded = record.metrics["val_accuracy"]
    assert _val_accuracy(tmp_path / "b", tmp_path) == pytest.approx(recorded, abs=1e-6)


def test_what_is_not_there_cannot_be_exported(storage: str, tmp_path: Path) -> None:
    """An unknown trial, and a folder that is taken, before anything is trained."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match="not empty"):
        export_trial("small", 0, tmp_path / "taken", storage=storage, data_root=tmp_path)
    with pytest.raises(UsageError):
        export_trial("small", 99, tmp_path / "b", storage=storage, data_root=tmp_path)
    assert not (tmp_path / "b").exists()


ALONE = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch_geometric", "torchao", "nas", "search_spaces"}:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Blocked())
import torch
compiled = torch._inductor.aoti_load_package("compiled.pt2")
portable = torch.export.load("model.pt2").module()
x, edge_index = torch.load(sys.argv[1])
with torch.inference_mode():
    p, y = compiled(x, edge_index), portable(x, edge_index)
print(float((p - y).abs().mean() / y.abs().max()))
"""


def test_a_trial_leaves_in_eight_bits(storage: str, tmp_path: Path) -> None:
    """By the command line; it predicts, is measured as it runs, and runs without a compiler.

    It was searched with bits, and is as accurate as it was then. Its weights are integers in the
    file too, a quarter as large where they are large.
    """
    options = [f"--storage={storage}", f"--data-root={tmp_path}"]
    exported = ["export", "small", "--format=int8_static,json", f"--to={tmp_path / 'b'}", *options]
    done = CliRunner().invoke(main, exported, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    reached, trained = (manifest[by]["val_accuracy"]["value"] for by in ("metrics", "training"))
    assert _val_accuracy(tmp_path / "b", tmp_path) == pytest.approx(reached, abs=1e-6)
    assert json.loads(done.stdout)["val_accuracy"] == reached
    assert reached == pytest.approx(trained, abs=0.003)
    parity = manifest["programs"][0]["parity"]
    assert len(parity["graphs"]) == 7
    assert parity["mean_difference"] <= parity["tolerance"] == NEAR
    with safe_open(tmp_path / "b" / "weights.safetensors", framework="pt") as file:
        kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    assert torch.int8 in kinds
    dataset = load(DATASET, tmp_path)
    torch.save((dataset.x, dataset.edge_index), tmp_path / "graph.pt")
    bare = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PATH": ""}
    command = [sys.executable, "-c", ALONE, str(tmp_path / "graph.pt")]
    run = subprocess.run(
        command, cwd=tmp_path / "b", env=bare, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < NEAR
    found = nas.verify(tmp_path / "b", manifest["digest"], data_root=tmp_path)
    assert found.holds, [each for each in found.checks if each.ok is False]
    parity_ = [(each.program, each.ok) for each in found.checks if each.check == "parity"]
    assert parity_ == [("int8_static", True), ("pt2", True), ("pt2", True)]
    assert found.checks[-1].value > 0, "the time of a compiled program"


def test_a_fold_is_measured_on_what_it_was_validated_on(tmp_path: Path) -> None:
    """Of the units that are called validation it has seen some in training."""
    storage = f"sqlite:///{tmp_path}/nas.db"
    spec = {
        "study": {"name": "folds"},
        "space": {"name": "gnn", "depth": [1], "width": [8], "operators": ["gcn"]},
        "dataset": {"name": DATASET.name, **DATASET.options},
        "strategy": {"name": "random"},
        "evaluator": {"name": "training", "epochs": 4, "folds": 3},
        "budget": {"trials": 1},
        "executor": {"name": "inline"},
    }
    nas.search(spec, storage=storage, data_root=tmp_path)
    manifest = export_trial("folds", "best", tmp_path / "b", storage=storage, data_root=tmp_path)
    reached, trained = (manifest[by]["val_accuracy"]["value"] for by in ("metrics", "training"))
    assert reached == pytest.approx(trained, abs=1e-6)
    assert _val_accuracy(tmp_path / "b", tmp_path) != pytest.approx(reached, abs=1e-6), "control"
