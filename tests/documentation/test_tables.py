"""Tables of study files in the documents: each is searched with, completed where it is a part."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from fakes.device import write_profile

from .pages import Block, shell, shortened

pytestmark = pytest.mark.slow
runs = pytest.mark.runs
STUDY_FILE = "docs/study_file.md"
# What the rest of a file would say, by its table, where the page's does not have one.
REST = {
    "dataset": 'name = "digits_knn"',
    "space": 'depth = [1]\nwidth = [8, 16]\noperators = ["gcn", "linear"]',
    "evaluator": "epochs = 3",
    "budget": "trials = 2",
}


def completed(*texts: str, **rest: str) -> str:
    """A study file of some tables; what they leave to the rest of a file is small."""
    text = "\n".join(texts)
    missing = {k: v for k, v in (REST | rest).items() if k not in tomllib.loads(text)}
    return text + "".join(f"\n[{name}]\n{keys}\n" for name, keys in missing.items())


def searched(text: str, at: Path, name: str = "study") -> str:
    (at / f"{name}.toml").write_text(text)
    done = shell(f"nas search {name}.toml", at)
    assert done.returncode == 0, done.stderr
    return done.stdout


@runs(STUDY_FILE, "trials = 20", "targets = [", 'tensorboard = "runs"')
def test_the_smallest_study(shown: Sequence[Block], tmp_path: Path) -> None:
    """With the tables beside it that change nothing of what is searched."""
    smallest, targets, log = (block.text for block in shown)
    smallest = shortened(smallest, {"trials = 20": "trials = 2"})
    assert "study: 2 trials" in searched(completed(smallest, targets, log), tmp_path)
    assert (tmp_path / "runs" / "study").is_dir()
    assert (tmp_path / "mlflow" / "mlflow.db").exists()


@runs(STUDY_FILE, "start = [", "[extension.neighborhood]")
def test_a_study_begins_with_architectures(shown: Sequence[Block], tmp_path: Path) -> None:
    """One that is given, and the front of another study."""
    start, extensions = (block.text for block in shown)
    searched(completed(extensions), tmp_path, "earlier")
    searched(completed(f"[study]\n{start}", extensions), tmp_path)
    done = shell("nas trials study", tmp_path)
    assert "layer0.width=16" in done.stdout.splitlines()[1]
    assert "bits=32" in done.stdout.splitlines()[1]


@runs(STUDY_FILE, 'device = "pi5"')
def test_latency_is_an_objective(shown: Sequence[Block], tmp_path: Path) -> None:
    """Of a device whose profile is of a small space, and a small graph."""
    (tmp_path / "devices").mkdir()
    write_profile(tmp_path / "devices", name="pi5")
    text = completed(shown[0].text, space='name = "fakes.space"', dataset='name = "fakes.graph"')
    assert "latency_ms" in searched(text, tmp_path)


@runs("docs/low_precision.md", "per_layer = true", 'name = "lpgnas"')
def test_bits_are_learned(shown: Sequence[Block], tmp_path: Path) -> None:
    bits, strategy = (block.text for block in shown)
    strategy = shortened(strategy, {"epochs = 30": "epochs = 2"})
    assert "weight_bits=" in searched(completed(bits, strategy), tmp_path)


@runs("docs/sparsity.md", "over_epochs = [20]")
@runs("docs/sparsity.md", "[extension.quantization]")
def test_networks_are_sparse(shown: Sequence[Block], tmp_path: Path) -> None:
    """By the page's methods; and with few bits, for as long as a method's schedule takes."""
    for number, block in enumerate(shown):
        text = completed(block.text, evaluator="epochs = 30")
        assert "weight_density=" in searched(text, tmp_path, f"sparse-{number}")
