"""Studies on Ray: the pages' tables and commands on a real cluster of this machine."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from fakes.cluster import RayCluster

from .conftest import STUDY
from .pages import Block, shell, shortened

pytestmark = pytest.mark.slow
runs = pytest.mark.runs
# What the machine has: no GPU, and four CPUs by the cluster's count.
SMALLER = {"workers = 8": "workers = 2", "num_gpus = 0.25": "num_gpus = 0", "memory_gb = 4": ""}


@runs("docs/cluster.md", 'name = "ray"')
@runs("README.md", "--executor ray --workers 8")
def test_a_study_runs_on_a_cluster(
    shown: Sequence[Block], ray_cluster: RayCluster, data_root: Path, tmp_path: Path
) -> None:
    """`auto` finds the one that is named in RAY_ADDRESS, so it is that of the tests."""
    blocks = {block.page: block.text for block in shown}
    (tmp_path / "study.toml").write_text(STUDY + shortened(blocks["docs/cluster.md"], SMALLER))
    small = "--trials 2 --set halving.epochs=[2] --set evaluator.epochs=5"
    changes = {"--data-root data": f"--data-root {data_root} {small}", "--workers 8": "--workers 2"}
    text = f"nas search study.toml\n{shortened(blocks['README.md'], changes)}nas status cora\n"
    done = shell(text, tmp_path, RAY_ADDRESS=ray_cluster.address)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^(quickstart|cora): \d+ trials", done.stdout, re.M)) == 2


@runs("docs/ray_tune.md", "# tuned.toml", "class Best(Callback)")
def test_a_study_in_ray_tune(shown: Sequence[Block], tmp_path: Path) -> None:
    """Through the command line, whose stdout has the study's result and nothing else."""
    study, callback = shown
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "callback.py").write_text(callback.text)
    (tmp_path / "tuned.toml").write_text(study.text)
    done = shell("nas search tuned.toml --format json", tmp_path)
    assert done.returncode == 0, done.stderr
    trials = json.loads(done.stdout)["trials"]
    assert trials["complete"] + trials["pruned"] == 8
    assert trials["pruned"] > 0
    assert re.search(r"^0\.\d+ with \d layers$", done.stderr, re.M)
    assert len(list(tmp_path.glob("ray_results/nas_*/*/progress.csv"))) == 8
