"""Blocks of pages that are no tutorials, each run by itself beside a study, and a bundle."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from .conftest import Prepared
from .pages import ROOT, Block, shell, shortened

pytestmark = pytest.mark.slow
runs = pytest.mark.runs
SMALLEST = """
[dataset]
name = "digits_knn"
[space]
depth = [1]
operators = ["gcn", "linear"]
width = [4, 8]
normalization = ["none"]
[evaluator]
epochs = 15
[budget]
trials = 8
"""


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(0, marks=runs("docs/bundles.md", "--format onnx --to bundle")),
        pytest.param(1, marks=runs("docs/bundles.md", "nas reproduce DIR --dataset")),
        pytest.param(2, marks=runs("docs/bundles.md", "nas card bundle ")),
        pytest.param(3, marks=runs("docs/bundles.md", "nas verify bundle ")),
        pytest.param(4, marks=runs("docs/low_precision.md", "nas quantize NAME")),
    ],
)
def test_a_block_runs(number: int, shown: Sequence[Block], prepared: Prepared) -> None:
    """With the names of the study and the bundle that are there in the places of the page's."""
    (block,) = shown
    text = block.text
    here = {"NAME": "quickstart", "DIR": "bundle", "044ef19285af": prepared.digest}
    for written, name in here.items():
        text = text.replace(written, name)
    if "--to bundle" in text:
        shutil.rmtree(prepared.folder / "bundle")
    done = shell(text, prepared.folder)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert (prepared.folder / "bundle" / "manifest.json").exists()


@pytest.mark.skipif(shutil.which("g++") is None, reason="the page wants a C++ compiler")
@runs("docs/bundles.md", "nas export quickstart --format int8_static")
def test_a_bundle_is_compiled(shown: Sequence[Block], prepared: Prepared) -> None:
    shutil.rmtree(prepared.folder / "bundle")
    done = shell(shown[0].text, prepared.folder)
    assert done.returncode == 0, done.stderr
    assert (prepared.folder / "bundle" / "manifest.json").exists()


@runs("docs/comparing.md", "nas compare study.toml")
def test_strategies_are_compared(shown: Sequence[Block], tmp_path: Path) -> None:
    """The study is that of the published tables, on which the page goes on."""
    shutil.copy(ROOT / "studies" / "bench_cora.toml", tmp_path / "study.toml")
    done = shell(shown[0].text, tmp_path)
    assert done.returncode == 0, done.stderr
    assert {"random", "evolution", "tpe"} <= set(done.stdout.split())


@runs("docs/scaling.md", "nas scale front --macs", "--write-study", "write_study(")
def test_a_network_is_scaled(shown: Sequence[Block], tmp_path: Path) -> None:
    """The blocks one after the other, as a reader would; Python writes what the command wrote.

    By one worker, with which the front, and so what can be scaled, is the same each time.
    """
    *commands, python = shown
    text = "".join(block.text for block in commands)
    done = shell(shortened(text, {"--trials 200": "--trials 200 --workers 1"}), tmp_path)
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "sizes.toml").read_text()
    (tmp_path / "sizes.toml").unlink()
    (tmp_path / "scale.py").write_text(python.text)
    done = shell("python scale.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sizes.toml").read_text() == written


@runs("docs/bundles.md", "nas latency measure torch;")
def test_latency_of_bundles_is_measured(shown: Sequence[Block], tmp_path: Path) -> None:
    done = shell(shown[0].text, tmp_path)
    assert done.returncode == 0, done.stderr


@runs("docs/report.md", "nas report quickstart ", "nas report bench_cora")
def test_a_study_and_a_comparison_are_reported(shown: Sequence[Block], prepared: Prepared) -> None:
    """Two pages of the study, one of the comparison."""
    at = prepared.folder
    text = shortened(shown[0].text, {"nas search studies/quickstart.toml\n": ""})
    text += shortened(shown[1].text, {"--seeds 4 --trials 60": "--seeds 2 --trials 12"})
    done = shell(text, at)
    assert done.returncode == 0, done.stderr
    assert (at / "quickstart.html").stat().st_size > 2**20
    assert (at / "page.html").read_text() == (at / "quickstart.html").read_text()
    assert len(list(at.glob("bench_cora*.html"))) == 1


@runs("docs/sparsity.md", "nas search studies/sparse_digits.toml", "nas sparse compare NAME")
def test_a_sparse_study_is_compared(shown: Sequence[Block], tmp_path: Path) -> None:
    """Also one trial by its number, with its trainings in a file."""
    changes = {
        "digits.toml": "digits.toml --trials 4",
        "sparse_digits\n": "sparse_digits --seeds 2\n",
    }
    one = {"NAME --trial 7 --seeds 10": "sparse_digits --trial 3 --seeds 2"}
    text = shortened(shown[0].text, changes) + shortened(shown[1].text, one)
    done = shell(text, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "trainings.jsonl").read_text().count("\n") > 2


@runs("docs/gradient.md", 'name = "darts"', "nas prepared NAME")
def test_a_relaxed_network_is_trained(shown: Sequence[Block], tmp_path: Path) -> None:
    """The strategy's table in the smallest study, with two epochs of its fifty."""
    table, commands = shown
    strategy = shortened(table.text, {"epochs = 50": "epochs = 2"})
    (tmp_path / "study.toml").write_text(f"{SMALLEST}{strategy}")
    changes = {"NAME": "study", "--seeds 5": "--seeds 2"}
    done = shell(shortened(commands.text, changes), tmp_path)
    assert done.returncode == 0, done.stderr


@runs("docs/tas.md", "nas search studies/pruned_digits.toml")
def test_a_network_is_pruned(shown: Sequence[Block], tmp_path: Path) -> None:
    """With few epochs and trials."""
    small = " --set strategy.epochs=2 --set evaluator.epochs=3 --set evaluator.teacher_epochs=3"
    changes = {"digits.toml": f"digits.toml --trials 3 {small}", "--seeds 5": "--seeds 2"}
    done = shell(shortened(shown[0].text, changes), tmp_path)
    assert done.returncode == 0, done.stderr


@runs("docs/plugins.md", "nas export plugins", "--plugin strategy=mine.strategy")
def test_plug_ins_are_searched_with(shown: Sequence[Block], tmp_path: Path) -> None:
    """Those of the examples; they stand for the reader's own under the contract tests, too.

    Which are collected here: docs/extending.md runs them on the same plug-ins.
    """
    searches, contracts = shown
    changes = {
        "study.toml": "study.toml --trials 4",
        "prepared.toml": "prepared.toml --trials 3 --set strategy.trainings=3",
    }
    names = {
        "mine.": "examples.plugins.",
        "operator:steps=2": "operator:residual=0.5",
        "nas.contracts ": "nas.contracts --collect-only -q ",
    }
    done = shell(shortened(searches.text, changes) + shortened(contracts.text, names), tmp_path)
    assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-3000:])
