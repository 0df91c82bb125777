"""Blocks of the other pages, each run by itself beside a study, and a bundle where it reads one."""

import json
import shutil
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
# Page: its blocks for a shell that are run here. The others wait for requests, want a container,
# compile (tests/export does), or are README's, whose commands the transcript runs.
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
