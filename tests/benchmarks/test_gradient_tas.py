"""benchmarks/gradient_tas.py: what it measures of a small graph, and that results are kept."""

from pathlib import Path

import gradient_tas
import gradient_transfer
import pytest
from supernet_parts import Ground

from evaluators.artifacts import store_url
from evaluators.datasets import save_sealed
from nas.contracts.graphs import node_graph
from search_spaces import gnn

WAYS = (gradient_transfer.AT_ALL, gradient_transfer.CONTROL)
PUPILS = gradient_transfer.Size(1, 2, {"Cora": 3}, {"Cora": WAYS})
SIZE = gradient_tas.Size({"Cora": 1}, 15, PUPILS)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """Not Cora, but called so."""
    dataset, store = node_graph().seal(), store_url(tmp_path / "artifacts")
    space = gnn.build(dataset.task, **{**gradient_transfer.SPACE, "depth": (2,)})
    return Ground("Cora", dataset, space, store, save_sealed(dataset, store))


def test_searches_that_begin_outside_are_told_by_where_they_end(
    ground: Ground, tmp_path: Path
) -> None:
    """In the band where the cost counts; the control stands beside it. Kept, they are not made."""
    pruning = gradient_tas.Pruning(ground, SIZE, tmp_path / "kept")
    rows, text = pruning.bands()
    assert [row["ok"] for row in rows] == [True] * 4
    assert [row["target"] for row in rows] == [">= 1", "<= 0.5"] * 2
    assert "from the largest, it does not (control)" in text
    files = sorted((tmp_path / "kept").iterdir())
    written = [file.stat().st_mtime_ns for file in files]
    assert len(files) == 4
    assert pruning.bands() == (rows, text)
    assert [file.stat().st_mtime_ns for file in files] == written


def test_pupils_of_one_teacher_share_it(ground: Ground) -> None:
    """It is trained once for them; another seed's is another."""
    pupils = gradient_transfer.Pupils(ground, PUPILS, Path(), None)
    plugin = pupils._evaluator(WAYS[0])
    evaluator = gradient_transfer.plugins.load("evaluator", plugin.name).build(
        ground.dataset.task, **plugin.options
    )
    first, again = pupils._teacher(evaluator, 0), pupils._teacher(evaluator, 0)
    assert first is again
    assert pupils._teacher(evaluator, 1) != first
