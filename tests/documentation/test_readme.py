"""The commands of the README, with few trials; on Cora where public graphs are."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from .pages import Block, free_port, live, shell, shortened

pytestmark = pytest.mark.slow
runs = pytest.mark.runs


@runs("README.md", "pip install -c constraints.txt . && nas search")
def test_it_begins(shown: Sequence[Block], tmp_path: Path) -> None:
    """What installs is left out."""
    changes = {
        "pip install -c constraints.txt . && ": "",
        "quickstart.toml": "quickstart.toml --trials 4",
    }
    done = shell(shortened(shown[0].text, changes), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "quickstart: 4 trials" in done.stdout


@runs(
    "README.md", "--data-root data    #", "nas status cora", 'torch.export.load("bundle/model.pt2")'
)
def test_it_goes_from_a_search_to_a_network(
    shown: Sequence[Block], data_root: Path, tmp_path: Path
) -> None:
    """Searched, confirmed, exported, served until Ctrl-C, and called without this program."""
    search, then, python = (block.text for block in shown)
    first = {"--data-root data": f"--data-root {data_root} --trials 3 --workers 1"}
    port = free_port()
    second = {
        "nas resume cora  ": "nas resume cora --trials 4  ",
        "--seeds 30": "--seeds 2",
        "nas serve bundle  ": f"nas serve bundle --port {port}  ",
    }
    text = f"export NAS_DATA_ROOT={data_root}\n{shortened(search, first)}{shortened(then, second)}"
    with live(text, tmp_path, f"http://127.0.0.1:{port}/health"):
        assert (tmp_path / "predictions.csv").read_text().count("\n") > 2700
    inputs = "import torch\nx, edge_index = torch.rand(3, 1433), torch.tensor([[0, 1], [1, 2]])\n"
    (tmp_path / "call.py").write_text(f"{inputs}{python}print(*logits.shape)\n")
    done = shell("python -I call.py", tmp_path)
    assert (done.returncode, done.stdout) == (0, "3 7\n"), done.stderr


@runs("README.md", "--strategies local,evolution,linas")
def test_strategies_are_compared(shown: Sequence[Block], tmp_path: Path) -> None:
    changes = {"--seeds 10 --trials 100": "--seeds 2 --trials 20"}
    done = shell(shortened(shown[0].text, changes), tmp_path)
    assert done.returncode == 0, done.stderr
    assert {"random", "local", "evolution", "linas"} <= set(done.stdout.split())
