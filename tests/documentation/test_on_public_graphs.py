"""Blocks about Cora and CiteSeer, where these are, with small spaces, few epochs and few trials."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from .pages import Block, shell, shortened

pytestmark = pytest.mark.slow
runs = pytest.mark.runs
SMALL = '--set space.depth=[1] --set \'space.operators=["tag","linear"]\' --set space.width=[8,16]'
SHORT = "--set evaluator.epochs=2 --set evaluator.alone_epochs=3 --set budget.trials=3"
CHEAP = """
[study]
objectives = { val_accuracy_zero_cost = "maximize" }
[space]
depth = [1, 2]
operators = ["gcn", "sage", "linear"]
width = [8, 16, 32]
[dataset]
name = "planetoid"
subset = "Cora"
normalize = "row"
[evaluator]
name = "zero_cost"
alone_epochs = 2
[budget]
trials = 2
"""


@pytest.fixture
def at(data_root: Path, tmp_path: Path) -> Path:
    """A folder that has the graphs where the pages have them."""
    (tmp_path / "data").symlink_to(data_root)
    return tmp_path


@runs("docs/study_file.md", "--name deep")
def test_keys_are_given_over_the_file(shown: Sequence[Block], at: Path) -> None:
    """On CiteSeer."""
    small = "cora.toml --trials 2 --set halving.epochs=[2] --set evaluator.epochs=4"
    done = shell(shortened(shown[0].text, {"cora.toml": small}), at)
    assert done.returncode == 0, done.stderr
    assert "deep: 2 trials" in done.stdout


@runs("docs/evaluation.md", "nas rank cheap")
def test_nothing_is_trained(shown: Sequence[Block], at: Path) -> None:
    """With the objective of the page's comment."""
    (at / "cheap.toml").write_text(CHEAP)
    changes = {
        "rank cheap": "rank cheap --architectures 10",
        "confirm cheap": "confirm cheap --top 1 --seeds 2",
    }
    done = shell(shortened(shown[0].text, changes), at)
    assert done.returncode == 0, done.stderr


@runs("docs/transformation.md", "nas show transformation_cora 12")
def test_networks_grow(shown: Sequence[Block], at: Path) -> None:
    """Until the trial that is shown, which grew from another one."""
    small = "--trials 13 --set evaluator.epochs=2 --set space.width=[8,16]"
    changes = {
        "transformation_cora.toml": f"transformation_cora.toml {small}",
        "confirm transformation_cora": "confirm transformation_cora --top 1 --seeds 2",
    }
    done = shell(shortened(shown[0].text, changes), at)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^  phase +grown$", done.stdout, re.M), done.stdout


@runs("docs/supernet.md", "nas supernet rank", "nas latency profile study.toml", "found.winners")
def test_a_supernet_is_trained_and_sliced(shown: Sequence[Block], at: Path) -> None:
    """The device is profiled before the first block's last line, which is that of the second."""
    study = f"studies/supernet_cora.toml {SMALL}"
    whole, specialised, python = (block.text for block in shown)
    assert specialised.splitlines()[1].split()[:3] == whole.splitlines()[-1].split()[:3]
    profile = shortened(specialised.splitlines()[0], {"study.toml": f"{study} --minutes 0.0001"})
    changes = {
        "studies/supernet_cora.toml": f"{study} {SHORT}",
        "rank supernet_cora": "rank supernet_cora --architectures 10 --seeds 2",
        "--top 3 --seeds 10": "--top 1 --seeds 2",
        "nas supernet specialise": f"for i in 1 2 3; do {profile}\ndone\nnas supernet specialise",
        "--latency 2,5,10": "--latency 500 --evaluations 20",
    }
    done = shell(shortened(whole, changes), at)
    assert done.returncode == 0, done.stderr[-3000:]
    changes = {
        'Study("study")': 'Study("supernet_cora")',
        "[2, 5, 10]": "[500]",
        'out="bundles"': 'out="python", evaluations=20',
    }
    (at / "specialise.py").write_text(shortened(python, changes))
    done = shell("python specialise.py", at)
    assert done.returncode == 0, done.stderr[-3000:]
    for folder in ("bundles", "python"):
        assert (at / folder / "500ms" / "manifest.json").exists()
