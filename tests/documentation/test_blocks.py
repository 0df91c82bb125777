"""Blocks of the other pages, each run by itself beside a study, and a bundle where it reads one."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from .pages import ROOT, blocks, shell

pytestmark = pytest.mark.slow
STUDY = """
[study]
name = "quickstart"
[space]
depth = [1]
operators = ["gcn", "sage", "linear"]
width = [4, 8]
[dataset]
name = "digits_knn"
[strategy]
name = "random"
[evaluator]
epochs = 5
[budget]
trials = 8
"""
# Page: its blocks for a shell that are run here, as they are. Others are run with smaller numbers
# below. What is left waits for requests (tests/serving, tests/dashboard), wants a container or a
# cluster, compiles (tests/export) or is a benchmark: their commands are parsed by test_commands.
RUN = [("bundles", 1), ("bundles", 3), ("bundles", 4), ("bundles", 5), ("low_precision", 0)]


def block(page: str, number: int) -> str:
    found = blocks(ROOT / "docs" / f"{page}.md")
    return [each.text for each in found if each.language == "sh"][number]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a study and a bundle, and the bundle's digest."""
    at = tmp_path_factory.mktemp("blocks")
    (at / "study.toml").write_text(STUDY)
    made = "nas search study.toml >&2\nnas export quickstart --to bundle --format json"
    done = shell(made, at)
    assert done.returncode == 0, done.stderr
    return at, json.loads(done.stdout)["digest"]


@pytest.mark.parametrize(("page", "number"), RUN)
def test_a_block_runs(page: str, number: int, prepared: tuple[Path, str], tmp_path: Path) -> None:
    """With the names of the study and the bundle that are there in the places of the page's."""
    folder, digest = prepared
    at = tmp_path / "copy"
    shutil.copytree(folder, at)
    text = block(page, number)
    for written, here in {"NAME": "quickstart", "DIR": "bundle", "044ef19285af": digest}.items():
        text = text.replace(written, here)
    if "--to bundle" in text:
        shutil.rmtree(at / "bundle")
    done = shell(text, at)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert (at / "bundle" / "manifest.json").exists()


def test_strategies_are_compared(tmp_path: Path) -> None:
    """The study is that of the published tables, on which the page goes on."""
    shutil.copy(ROOT / "studies" / "bench_cora.toml", tmp_path / "study.toml")
    done = shell(block("comparing", 0), tmp_path)
    assert done.returncode == 0, done.stderr
    assert {"random", "evolution", "tpe"} <= set(done.stdout.split())


def test_a_network_is_scaled(tmp_path: Path) -> None:
    """Both blocks, one after the other, as a reader would."""
    done = shell(block("scaling", 0) + block("scaling", 1), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sizes.toml").exists()


def test_latency_of_bundles_is_measured(tmp_path: Path) -> None:
    done = shell(block("bundles", 2), tmp_path)
    assert done.returncode == 0, done.stderr


def shortened(text: str, changes: Mapping[str, str]) -> str:
    """The text with smaller numbers, each of which must be there to be changed."""
    for written, here in changes.items():
        assert written in text
        text = text.replace(written, here)
    return text


def test_a_study_and_a_comparison_are_reported(prepared: tuple[Path, str], tmp_path: Path) -> None:
    """Two pages of the study, one of the comparison."""
    at = tmp_path / "copy"
    shutil.copytree(prepared[0], at)
    text = shortened(block("report", 0), {"nas search studies/quickstart.toml\n": ""})
    text += shortened(block("report", 1), {"--seeds 4 --trials 60": "--seeds 2 --trials 12"})
    done = shell(text, at)
    assert done.returncode == 0, done.stderr
    assert (at / "quickstart.html").stat().st_size > 2**20
    assert (at / "page.html").read_text() == (at / "quickstart.html").read_text()
    assert len(list(at.glob("bench_cora*.html"))) == 1


def test_a_sparse_study_is_compared(tmp_path: Path) -> None:
    changes = {
        "digits.toml": "digits.toml --trials 4",
        "sparse_digits\n": "sparse_digits --seeds 2\n",
    }
    done = shell(shortened(block("sparsity", 1), changes), tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_readme_goes_from_a_search_to_a_network(data_root: Path, tmp_path: Path) -> None:
    """On Cora, with few trials; what waits for requests or helps others is left out."""
    texts = [each.text for each in blocks(ROOT / "README.md") if each.language == "sh"]
    [first] = [text for text in texts if "--data-root data    #" in text]
    [second] = [text for text in texts if "nas status cora" in text]
    first = shortened(
        first, {"--data-root data": f"--data-root {data_root} --trials 3 --workers 1"}
    )
    second = re.sub("(?m)^nas (worker|serve) .*\n", "", second)
    changes = {"nas resume cora  ": "nas resume cora --trials 4  ", "--seeds 30": "--seeds 2"}
    done = shell(f"export NAS_DATA_ROOT={data_root}\n{first}{shortened(second, changes)}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "predictions.csv").read_text().count("\n") > 2700
