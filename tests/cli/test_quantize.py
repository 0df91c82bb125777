"""`nas quantize`: a trained trial in few bits, measured and written."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import nas as api
from evaluators.datasets import load
from evaluators.metrics import split_metrics
from nas.candidate import Candidate, candidate
from nas.quantizing import Manner, measured, quantized_network
from nas.store import Store
from search_spaces.plugins import Plugin

from .conftest import Nas, run

FEW = Manner(weight_bits="3", activation_bits="6", steps=20)


@pytest.fixture(scope="module")
def chosen(study: dict[str, Any]) -> Candidate:
    return candidate("tiny", "best", storage=study["storage"], data_root=study["folder"])


def state(chosen: Candidate, **changed: Any) -> dict[str, Tensor]:
    """Of the network in few bits, the dataset changed."""
    network = chosen.space.network(chosen.architecture, chosen.task)
    network.load_state_dict(chosen.weights)
    return quantized_network(network.eval(), replace(chosen.dataset, **changed), FEW).state_dict()


def test_a_bundle_that_says_what_it_cost(nas: Nas, study: dict[str, Any], tmp_path: Path) -> None:
    """What is printed is in the manifest; the bundle is as accurate as it is said to be."""
    to = tmp_path / "b"
    line = ["quantize", "tiny", "--to", str(to), "--weight-bits", "4", "--format", "json"]
    printed = json.loads(nas(*line).stdout)
    assert [*printed] == [
        "bundle",
        "manifest",
        "trial",
        "method",
        "weight_bits",
        "activation_bits",
        "before",
        "after",
        "digest",
    ]
    before, after = printed["before"], printed["after"]
    (best, *_) = study["printed"]["front"]
    assert printed["trial"] == best["trial"]
    assert before["val_accuracy"] == pytest.approx(best["metrics"]["val_accuracy"], abs=1e-6)
    assert after["model_bytes"] < 0.4 * before["model_bytes"]
    manifest = json.loads((to / "manifest.json").read_text())
    metrics = manifest["metrics"]
    expected = {"value": after["val_accuracy"], "split": "validation", "by": "program"}
    assert metrics["val_accuracy"] == pytest.approx(expected)
    assert metrics["model_bytes"]["value"] == after["model_bytes"]
    assert metrics["params"]["value"] == best["metrics"]["params"]
    assert {metric["split"] for metric in metrics.values()} == {"validation", None}
    assert manifest["provenance"]["post_training"] == {"method": "flexround", "before": before}
    choices = json.loads((to / "architecture.json").read_text())["choices"]
    assert choices["quantization.weight_bits"] == "4"
    assert "brought to few bits afterwards (flexround)" in (to / "README.md").read_text()
    dataset = load(Plugin("digits_knn"), tmp_path)
    found = api.load_bundle(to).predict(dataset.x, dataset.edge_index).argmax(1)
    accuracy = float((found == dataset.y)[dataset.val].float().mean())
    assert accuracy == pytest.approx(after["val_accuracy"], abs=1e-6)
    assert "not empty" in nas(*line, code=2).stderr


def test_text_and_csv(nas: Nas, tmp_path: Path) -> None:
    """For people the file on stdout and what it cost beside it; for programs dotted columns."""
    few = ["--weight-bits", "binary", "--activation-bits", "32", "--method", "nearest"]
    result = nas("quantize", "tiny", "--to", str(tmp_path / "b"), *few)
    assert result.stdout == f"{tmp_path / 'b' / 'manifest.json'}\n"
    assert "weights of binary and activations of 32 bits: val_accuracy" in result.stderr
    line = ["quantize", "tiny", "--to", str(tmp_path / "c"), *few, "--format", "csv"]
    (row,) = csv.DictReader(io.StringIO(nas(*line).stdout))
    assert float(row["after.model_bytes"]) < float(row["before.model_bytes"])


def test_no_label_is_read(chosen: Candidate) -> None:
    """Others, or the same in another order, give the same network; other features do not."""
    expected = state(chosen)
    y = chosen.dataset.y
    for labels in (y[torch.randperm(len(y))], torch.full_like(y, -1)):
        found = state(chosen, y=labels)
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    # Control: what is looked at does change it.
    found = state(chosen, x=2 * chosen.dataset.x)
    assert not all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_the_test_split_stays_sealed(chosen: Candidate) -> None:
    """There are no labels of it to measure by; validation is what is measured."""
    dataset = chosen.dataset
    assert dataset.sealed
    assert (dataset.y[dataset.test] == -1).all()
    network = chosen.space.network(chosen.architecture, chosen.task)
    values = measured(network, dataset)
    assert values["val_loss"] == split_metrics(network, dataset, "val")["loss"]
    assert not any(name.startswith("test") for name in values)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--weight-bits", "binary"], 'rounding of 2 to 16, got "binary"; use the method nearest'),
        (["--weight-bits", "32", "--activation-bits", "32"], "nothing is left to do; nas export"),
        (["--trial", "99"], "3 trials"),
        (["--format", "pt3"], 'did you mean "pt2"?'),
    ],
)
def test_what_does_not_go_is_refused(nas: Nas, tmp_path: Path, line: list[str], said: str) -> None:
    assert said in nas("quantize", "tiny", "--to", str(tmp_path / "b"), *line, code=2).stderr
    assert not (tmp_path / "b").exists()


def test_a_trial_trained_in_few_bits_leaves_as_it_is(tmp_path: Path) -> None:
    spec = {
        "study": {"name": "low"},
        "space": {"name": "gnn", "depth": [1], "width": [4], "operators": ["gcn"]},
        "extension": {"quantization": {"weight_bits": [4], "activation_bits": [8]}},
        "dataset": {"name": "digits_knn"},
        "strategy": {"name": "random"},
        "evaluator": {"name": "training", "epochs": 1},
        "budget": {"trials": 1},
        "executor": {"name": "inline"},
    }
    storage = f"sqlite:///{tmp_path}/nas.db"
    api.search(spec, storage=storage, data_root=tmp_path)
    result = run("quantize", "low", "--to", str(tmp_path / "b"), "--storage", storage, code=2)
    assert "has its bits decided already, 32 or fewer" in result.stderr
    assert "nas export low --trial 0 --to" in result.stderr
    assert not (tmp_path / "b").exists()


def test_what_a_ticket_ships_is_said_as_by_export(tmp_path: Path) -> None:
    """The graph that its figures hold for, whose operations are those of the edges left."""
    spec = {
        "study": {"name": "few"},
        "space": {"name": "gnn", "depth": [1], "width": [4], "operators": ["gcn"]},
        "extension": {
            "sparsity": {"method": ["snip"], "weight_density": [1.0], "edge_density": [0.5]}
        },
        "dataset": {"name": "digits_knn"},
        "strategy": {"name": "random"},
        "evaluator": {"name": "training", "epochs": 1},
        "budget": {"trials": 1},
        "executor": {"name": "inline"},
    }
    storage = f"sqlite:///{tmp_path}/nas.db"
    api.search(spec, storage=storage, data_root=tmp_path)
    usual = ("few", "--storage", storage)
    nearest = ("--method", "nearest", "--to", str(tmp_path / "b"))
    quantized = run("quantize", *usual, *nearest)
    exported = run("export", *usual, "--to", str(tmp_path / "c"))
    for result, folder in ((quantized, "b"), (exported, "c")):
        manifest = json.loads((tmp_path / folder / "manifest.json").read_text())
        assert any("Edges were pruned with it" in note for note in manifest["notes"])
        assert all(note in result.stderr for note in manifest["notes"])
    # Both directions of each edge and no self-loop: what was recorded is what is shipped.
    (record,) = Store(storage).trials("few")
    assert manifest["metrics"]["macs"]["value"] == record.metrics["macs"]
