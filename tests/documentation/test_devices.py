"""Commands about a device: profiled for seconds in the place of minutes, over a small space."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from .conftest import STUDY
from .pages import Block, shell, shortened

pytestmark = pytest.mark.slow
runs = pytest.mark.runs
# A profile that is there is gone on with: three rounds of the few networks of a study's space.
ROUNDS = "for i in 1 2 3; do nas latency profile study.toml --device laptop --minutes 0.0001; done"
PROFILED = {"nas latency profile --device laptop": ROUNDS}


@runs("docs/latency.md", "nas latency check laptop", "--from laptop --device board")
def test_a_device_is_profiled(shown: Sequence[Block], tmp_path: Path) -> None:
    """Profiled, checked, searched for, measured; then profiles of others from that one."""
    (tmp_path / "study.toml").write_text(STUDY.replace('name = "quickstart"\n', ""))
    whole, adapted = (block.text for block in shown)
    small = {"check laptop": "check laptop --networks 3 --sizes 1"}
    text = shortened(whole, PROFILED | small)
    text += shortened(adapted, {"--from laptop": "--from laptop --probes 3"})
    done = shell(text, tmp_path)
    assert done.returncode == 0, done.stderr
    made = {file.stem for file in (tmp_path / "devices").glob("*.npz")}
    assert made == {"laptop", "laptop-2", "laptop-compiled", "board"}


@runs("README.md", "nas latency profile --device laptop")
def test_latency_is_a_bound(shown: Sequence[Block], tmp_path: Path) -> None:
    """One that networks keep on a slow machine, too."""
    (tmp_path / "study.toml").write_text(STUDY)
    done = shell(shortened(shown[0].text, PROFILED | {"<= 5": "<= 500"}), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "quickstart: 8 trials" in done.stdout
