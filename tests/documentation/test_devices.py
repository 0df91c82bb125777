"""Commands about a device: profiled for seconds in the place of minutes, over a small space."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from .pages import Block, shell, shortened

pytestmark = pytest.mark.slow
runs = pytest.mark.runs
# A profile that is there is gone on with: three rounds of the few networks of a study's space.
ROUND = "nas latency profile study.toml --device laptop --minutes 0.0001"
STUDY = """
[space]
depth = [1]
operators = ["gcn", "linear"]
width = [4, 8]
activation = ["relu"]
normalization = ["none"]
pre_layers = [0]
post_layers = [0]
output = ["linear"]
[dataset]
name = "digits_knn"
[strategy]
name = "random"
[evaluator]
epochs = 3
[budget]
trials = 4
"""


@runs("docs/latency.md", "nas latency check laptop", "--from laptop --device board")
@runs("README.md", "nas latency profile --device laptop")
def test_a_device_is_profiled(shown: Sequence[Block], tmp_path: Path) -> None:
    """Profiled, checked, searched for, measured; profiles of others from that one; and a bound.

    Which is one that networks keep on a slow machine, too.
    """
    (tmp_path / "study.toml").write_text(STUDY)
    bound, whole, adapted = (block.text for block in sorted(shown, key=lambda b: b.page))
    command = "nas latency profile --device laptop"
    small = {"check laptop": "check laptop --networks 3 --sizes 1", "study 7": "study 3"}
    text = shortened(whole, small | {command: f"for i in 1 2 3; do {ROUND}; done"})
    text += shortened(adapted, {"--from laptop": "--from laptop --probes 3"})
    text += shortened(
        bound, {command: ROUND, "<= 5": "<= 500", "search study.toml": "search study.toml --name b"}
    )
    done = shell(text, tmp_path)
    assert done.returncode == 0, done.stderr
    made = {file.stem for file in (tmp_path / "devices").glob("*.npz")}
    assert made == {"laptop", "laptop-2", "laptop-compiled", "board"}
    assert "b: 4 trials" in done.stdout
