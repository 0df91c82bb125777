"""The examples work: each plug-in under its contract, and all of them in whole studies."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
PLUGINS = EXAMPLES / "plugins"
DATA = Path(os.environ.get("NAS_TEST_DATA", ROOT.parent / "shared" / "data"))
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


def script(name: str, *arguments: str, at: Path) -> str:
    """What one prints, run as a user runs it, from another folder."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), "--out", str(at / "out"), *arguments],
        cwd=at,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (at / "out" / "bundle" / "model.pt2").exists()
    assert (at / "out" / "network.svg").read_text().startswith("<svg ")
    return done.stdout


def numbers(pattern: str, printed: str) -> tuple[float, ...]:
    match = re.search(pattern, printed)
    assert match, printed
    return tuple(map(float, match.groups()))


@pytest.mark.slow
def test_nodes_under_a_bound_on_latency(tmp_path: Path) -> None:
    """What is printed keeps the bound, and the network that left is better than chance by far."""
    printed = script("node_classification.py", "--trials", "12", at=tmp_path)
    (bound,) = numbers(r"at most (\d+\.\d+) ms", printed)
    front = re.findall(r"trial +\d+: validation accuracy (\S+), (\S+) ms", printed)
    assert front
    assert all(float(latency) <= 1.01 * bound for _, latency in front), printed
    right, of = numbers(r"(\d+) of (\d+) test nodes are right", printed)
    assert of == 1_247
    assert right / of > 0.6


@pytest.mark.slow
def test_molecules(tmp_path: Path) -> None:
    """The new ones are told apart as chemists do."""
    if not (DATA / "TUDataset" / "MUTAG").exists():
        pytest.skip(f"MUTAG is not in {DATA} (NAS_TEST_DATA), and tests download nothing")
    printed = script("graph_classification.py", "--data-root", str(DATA), at=tmp_path)
    (accuracy,) = numbers(r"test accuracy (\S+)", printed)
    assert accuracy > 0.665, "no better than the larger class"
    (small,) = numbers(r"nitrobenzene +: mutagenic with probability (\S+)", printed)
    (large,) = numbers(r"2-nitroanthracene: mutagenic with probability (\S+)", printed)
    assert 0 <= small < large <= 1


@pytest.mark.slow
def test_a_graph_in_csv_files(tmp_path: Path) -> None:
    """Written, searched, and predicted where it has no label."""
    printed = script("own_csv_graph.py", "--trials", "8", at=tmp_path)
    right, of = numbers(r"(\d+) of (\d+) diagnoses are right", printed)
    header, *rows = (tmp_path / "out" / "nodes.csv").read_text().splitlines()
    assert header.startswith("id,label,mean_radius")
    assert sum(row.split(",")[1] == "" for row in rows) == of
    assert right / of > 0.9


def test_every_script_is_listed_with_its_command() -> None:
    """In examples/README.md, and in its own words."""
    listed = (EXAMPLES / "README.md").read_text()
    scripts = sorted(EXAMPLES.glob("*.py"))
    assert len(scripts) == 3
    for file in scripts:
        assert f"`python examples/{file.name}" in listed
        assert f"    python examples/{file.name}" in file.read_text().split('"""')[1]
