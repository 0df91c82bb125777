"""What the blocks of the documentation find when they are run."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from .pages import Block, runnable, shell

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


@pytest.fixture
def shown(request: pytest.FixtureRequest) -> Sequence[Block]:
    """The blocks that the test says it runs, with `pytest.mark.runs`: what is counted as run."""
    marks = request.node.iter_markers("runs")
    return [block for mark in marks for block in runnable(*mark.args)]


@dataclass(frozen=True)
class Prepared:
    """A folder with `study.toml`, the study `quickstart` and `bundle`, whose digest is known."""

    folder: Path
    digest: str


@pytest.fixture(scope="session")
def _prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    at = tmp_path_factory.mktemp("blocks")
    (at / "study.toml").write_text(STUDY)
    made = "nas search study.toml >&2\nnas export quickstart --to bundle --format json"
    done = shell(made, at)
    assert done.returncode == 0, done.stderr
    return Prepared(at, json.loads(done.stdout)["digest"])


@pytest.fixture
def prepared(_prepared: Prepared, tmp_path: Path) -> Prepared:
    """A copy of it, of the test's own."""
    at = tmp_path / "copy"
    shutil.copytree(_prepared.folder, at)
    return Prepared(at, _prepared.digest)
