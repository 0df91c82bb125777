"""The examples work: each plug-in under its contract, and all of them in whole studies."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PLUGINS = ROOT / "examples" / "plugins"
# The kinds of each file; that of its name where nothing else is said.
KINDS = {"preparing_strategy": ("strategy", "preparation")}


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    """From the root, where the names of the examples are those of modules."""
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_every_example_keeps_its_contract() -> None:
    """As its author would run them; every file is one, and none of them is left out."""
    chosen = [
        f"--plugin={kind}=examples.plugins.{file.stem}"
        for file in sorted(PLUGINS.glob("*.py"))
        for kind in KINDS.get(file.stem, (file.stem,))
    ]
    assert len(chosen) == 8
    done = run("nas.contracts", *chosen, "-q", "-rA")
    assert done.returncode == 0, done.stdout
    for option in chosen:
        kind, _, name = option.removeprefix("--plugin=").partition("=")
        passed = [line for line in done.stdout.splitlines() if line.startswith("PASSED")]
        assert any(f"test_{kind}.py" in line and name in line for line in passed), option


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


def nas(at: Path, *arguments: str) -> Any:
    done = run("nas", *arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_study_of_the_examples(at: Path) -> None:
    """Searched, confirmed and exported; each plug-in has left its trace."""
    storage = f"--storage=sqlite:///{at / 'nas.db'}"
    ended = nas(at, "search", str(PLUGINS / "study.toml"), storage, "--trials", "10")
    assert ended["trials"]["complete"] == 10
    trials = nas(at, "trials", "plugins", storage)
    mine = [t["decisions"] for t in trials if "layer0.residual" in t["decisions"]]
    assert all(d["layer0.operator"] == "examples.plugins.operator" for d in mine)
    assert "temperature" in nas(at, "show", "plugins", "9", storage)["note"]
    (confirmed,) = nas(at, "confirm", "plugins", "--top", "1", "--seeds", "2", storage)
    assert 0.2 < confirmed["metrics"]["test_accuracy"]["mean"] <= 1
    mistaken = ["--name=other", "--set=strategy.coolin=1.0"]
    wrong = run("nas", "search", str(PLUGINS / "study.toml"), storage, *mistaken)
    assert wrong.returncode == 2
    assert 'did you mean "cooling"' in wrong.stderr
    exporter = "--exporter=examples.plugins.exporter"
    written = "--format=examples.plugins.exporter"
    nas(at, "export", "plugins", storage, written, "--to", str(at / "bundle"))
    assert (at / "bundle" / "model.py").read_text().count("torch.ops") > 3
    dataset = "--dataset=examples.plugins.dataset"
    refused = run("nas", "predict", str(at / "bundle"), dataset)
    assert refused.returncode == 2
    assert 'name it: nas predict ... --exporter "examples.plugins.exporter"' in refused.stderr
    assert len(nas(at, "predict", str(at / "bundle"), dataset, exporter)) == 1000


def test_the_study_with_a_preparation(at: Path) -> None:
    """Prepared once; bits are decided, and their fact is an objective."""
    storage = f"--storage=sqlite:///{at / 'prepared.db'}"
    small = ["--set=strategy.trainings=3", "--set=strategy.steps=2", "--set=evaluator.epochs=3"]
    study = str(PLUGINS / "prepared.toml")
    ended = nas(at, "search", study, storage, *small, "--trials", "5")
    assert ended["trials"]["complete"] == 5
    for trial in nas(at, "trials", "prepared", storage):
        assert trial["decisions"]["weight_bits"] in (32, 8, 4)
        assert trial["metrics"]["weight_bytes"] > 0
