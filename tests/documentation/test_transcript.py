"""docs/transcript.md is what docs/transcript.py writes, and its commands run."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from .pages import INSTALLING, ROOT, Block, blocks

PAGE = ROOT / "docs" / "transcript.md"


def commands(page: Path) -> list[str]:
    return [block.text for block in blocks(page) if block.language == "sh"]


def shape(page: Path) -> str:
    """Its text without what the commands print."""
    return re.sub(r"(?ms)^```text\n.*?^```\n", "", page.read_text(encoding="utf-8"))


def test_it_is_short_and_begins_with_nothing() -> None:
    """Fewer than ten commands, from an empty environment; no path of a machine is in it."""
    script, *shown = commands(PAGE)
    assert script == "python docs/transcript.py\n"
    assert 5 < len(shown) < 10
    assert all(line.startswith(INSTALLING) for line in shown[:2])
    assert shown[1] == "pip install -q -c constraints.txt .\n"
    assert all(re.fullmatch(r"nas .*\n", line) for line in shown[2:])
    assert not re.search(r"/(tmp|home|root)/", PAGE.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.runs("docs/transcript.md")
def test_the_script_writes_it(shown: Sequence[Block], tmp_path: Path) -> None:
    """With what is installed, it ends well and gives the same page but for what is measured."""
    to = tmp_path / "transcript.md"
    script = [sys.executable, "docs/transcript.py", "--installed", "--to", str(to)]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert shape(to) == shape(PAGE)
    assert commands(to) == [block.text for block in shown]
    printed = to.read_text(encoding="utf-8")
    assert "own_graph: 30 trials in" in printed
    assert "400 predictions written" in done.stderr


def test_a_session_that_fails_writes_nothing(tmp_path: Path) -> None:
    """The control: without a program there is no page."""
    broken = (ROOT / "docs" / "transcript.py").read_text(encoding="utf-8")
    broken = broken.replace('"nas search studies/own_graph.toml --dry-run"', '"nas list --nothing"')
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "transcript.py").write_text(broken, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "docs/transcript.py", "--installed"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "a command failed" in done.stderr
    assert not (folder / "transcript.md").exists()
