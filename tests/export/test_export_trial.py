"""From a finished study to a bundle, which is as accurate as the search recorded."""

from pathlib import Path
from typing import Any

import pytest

import nas
from evaluators import artifacts
from evaluators.artifacts import store_path
from evaluators.datasets import load
from nas.export._base import ExportError
from nas.export.bundle import export_trial
from nas.predict import predict
from nas.store import Store
from search_spaces import UsageError
from search_spaces.plugins import Plugin

DATASET = Plugin("digits_knn", {"normalize": "standardize"})


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A study of three short trials in a database of its own."""
    folder = tmp_path_factory.mktemp("study")
    url = f"sqlite:///{folder}/nas.db"
    spec: dict[str, Any] = {
        "study": {"name": "small", "objectives": {"val_accuracy": "maximize"}},
        "space": {"name": "gnn", "depth": [1, 2], "width": [8], "operators": ["gcn", "sage"]},
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
    assert {"N": 1797, "E": load(DATASET, tmp_path).task.n_edges} in manifest["parity"]["graphs"]


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
