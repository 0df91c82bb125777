"""The pages for beginners, each run from its first block to its last, in an empty folder."""

from pathlib import Path

import pytest

from .pages import ROOT, run

slow = pytest.mark.slow
DOCS = ROOT / "docs"


@pytest.mark.parametrize(
    ("page", "leaves"),
    [
        pytest.param("own_graph", ["graph.npz", "nas.db"], marks=slow),
        ("python", ["bundle/model.pt2"]),
        pytest.param("quickstart", ["predictions.csv", "bundle/README.md"], marks=slow),
        pytest.param("budgets", ["nas.db"], marks=slow),
        pytest.param("choosing_a_strategy", ["nas.db"], marks=slow),
        pytest.param("honest_results", ["nas.db"], marks=slow),
        pytest.param("extending", ["bundle-of-source/model.py"], marks=slow),
    ],
)
def test_a_page_runs(page: str, leaves: list[str], tmp_path: Path) -> None:
    """Each command ends well, and what the page promises is there."""
    done = run(DOCS / f"{page}.md", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [name for name in leaves if not (tmp_path / name).exists()] == []


@pytest.mark.parametrize("fault", ["```sh\nfalse\ntrue\n```\n", "```python\nraise OSError\n```\n"])
def test_a_page_that_is_wrong_fails(fault: str, tmp_path: Path) -> None:
    """The control: one command of many, and Python that raises."""
    (tmp_path / "page.md").write_text(f"# Page\n\n{fault}\n```sh\ntrue\n```\n")
    assert run(tmp_path / "page.md", tmp_path).returncode != 0
