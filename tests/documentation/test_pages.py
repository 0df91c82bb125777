"""The pages for beginners, each run from its first block to its last, in an empty folder."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from .pages import Block, blocks, run

slow = pytest.mark.slow
runs = pytest.mark.runs


@pytest.mark.parametrize(
    "leaves",
    [
        pytest.param("graph.npz nas.db", marks=[slow, runs("docs/own_graph.md")]),
        pytest.param("bundle/model.pt2", marks=runs("docs/python.md")),
        pytest.param("predictions.csv bundle/README.md", marks=[slow, runs("docs/quickstart.md")]),
        pytest.param("nas.db", marks=[slow, runs("docs/budgets.md")]),
        pytest.param("nas.db", marks=[slow, runs("docs/choosing_a_strategy.md")]),
        pytest.param("nas.db", marks=[slow, runs("docs/honest_results.md")]),
        pytest.param("bundle-of-source/model.py", marks=[slow, runs("docs/extending.md")]),
    ],
    ids=["own_graph", "python", "quickstart", "budgets", "strategy", "honest", "extending"],
)
def test_a_page_runs(leaves: str, shown: Sequence[Block], tmp_path: Path) -> None:
    """Each command ends well, and what the page promises is there."""
    done = run(shown, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [name for name in leaves.split() if not (tmp_path / name).exists()] == []


@pytest.mark.parametrize("fault", ["```sh\nfalse\ntrue\n```\n", "```python\nraise OSError\n```\n"])
def test_a_page_that_is_wrong_fails(fault: str, tmp_path: Path) -> None:
    """The control: one command of many, and Python that raises."""
    (tmp_path / "page.md").write_text(f"# Page\n\n{fault}\n```sh\ntrue\n```\n")
    assert run(blocks(tmp_path / "page.md"), tmp_path).returncode != 0
