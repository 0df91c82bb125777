"""A trial drawn: in the terminal, as a file, in Python; of a space from elsewhere too."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import nas as api

from .conftest import STUDY, Nas, run

ROOT = Path(__file__).parents[2]
SPACE = '''
"""One layer, drawn by itself."""

from search_spaces import Architecture, Decision, SearchSpace, Task
from search_spaces.picture import Box, Picture
from torch import nn


class One(nn.Module):
    def __init__(self, task: Task) -> None:
        super().__init__()
        self.linear = nn.Linear(task.n_features, task.n_classes)

    def forward(self, x, edge_index):
        return self.linear(x)


def network(architecture, task):
    return One(task)


def draw(architecture, task):
    return Picture((Box("first", "begins"), Box("last", f"ends with {task.n_classes}")), ((0, 1),))


def build(task: Task, *, kinds: int = 2) -> SearchSpace:
    decision = Decision("kind", tuple(range(kinds)))
    return SearchSpace("one", 1, (decision,), network, draw=draw)
'''


def test_show_draws_the_network(nas: Nas) -> None:
    """Below all else; JSON and CSV are as they were."""
    decisions = json.loads(nas("show", "tiny", "1", "--format", "json").stdout)["decisions"]
    text = nas("show", "tiny", "1", env={"COLUMNS": "100"}).stdout
    drawn = text[text.index("┌─ input") :]
    assert f"│ {decisions['layer0.operator']} " in drawn
    assert f"width {decisions['layer0.width']}" in drawn
    assert "64 features" in drawn
    assert "10 classes" in drawn
    for fmt in ("json", "csv"):
        assert "┌" not in nas("show", "tiny", "1", "--format", fmt).stdout
    narrow = nas("show", "tiny", "1", env={"COLUMNS": "24"}).stdout
    assert "┌" not in narrow
    assert "  0  input, 64 features" in narrow


def test_show_writes_svg(nas: Nas, study: dict[str, Any], tmp_path: Path) -> None:
    """To a file, or to stdout alone; and the same in Python."""
    to = tmp_path / "trial.svg"
    done = nas("show", "tiny", "1", "--svg", str(to))
    assert done.stdout == ""
    assert done.stderr == f"{to} written\n"
    image = nas("show", "tiny", "1", "--svg", "-").stdout
    assert image == to.read_text()
    assert ElementTree.fromstring(image).tag.endswith("}svg")  # noqa: S314 - our own
    drawing = api.Study("tiny", storage=study["storage"]).draw(1)
    assert drawing == image
    assert drawing._repr_svg_() == image


def test_what_cannot_be_drawn_is_said(nas: Nas, tmp_path: Path) -> None:
    """In one line, with status 2."""
    nowhere = tmp_path / "no" / "where.svg"
    for arguments, said in (
        (["--svg", str(nowhere)], "cannot be written: No such file or directory"),
        (["--svg", str(tmp_path)], "expected a file, got the folder"),
        (["--svg", "-", "--format", "json"], "--svg is written in place of the trial in json"),
    ):
        refused = nas("show", "tiny", "1", *arguments, code=2)
        assert said in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert refused.stdout == ""


def test_a_space_from_elsewhere_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it says itself; where its module is gone, by the names of its decisions."""
    (tmp_path / "its_own").mkdir()
    (tmp_path / "its_own" / "space.py").write_text(SPACE)
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = tmp_path / "elsewhere.toml"
    table = STUDY[STUDY.index("[space]") : STUDY.index("[dataset]")]
    spec.write_text(STUDY.replace(table, '[space]\nname = "its_own.space"\n'))
    storage = f"--storage=sqlite:///{tmp_path / 'nas.db'}"
    run("search", str(spec), storage, "--trials", "1")
    assert "│ ends with 10 │" in run("show", "elsewhere", "0", storage).stdout
    nas = [sys.executable, "-m", "nas", "show", "elsewhere", "0", storage]
    shown = subprocess.run(nas, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "┌─ network ─┐" in shown
    assert "│ kind " in shown
