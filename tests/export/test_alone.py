"""A bundle runs in a process that has torch alone."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import nn

from evaluators.datasets._base import Preprocessing
from nas.export._base import Contract
from nas.export._deployed import deployed
from nas.export._sample import SIZES, made_up
from search_spaces import Task
from search_spaces.task import TaskKind

BLOCKED = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch_geometric", "nas", "search_spaces", "evaluators"}:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Blocked())
try:
    import torch_geometric
except ImportError:
    pass
else:
    raise SystemExit("the block does not work")
"""

COMPARE = """
import sys
import torch
from safetensors.torch import load_file

network = torch.export.load("model.pt2").module()
stored = load_file(sys.argv[1])
count = 1 + max(int(name.split(".")[0]) for name in stored)
for i in range(count):
    arguments = [stored[f"{i}.{j}"] for j in range(int(sys.argv[2]))]
    torch.testing.assert_close(network(*arguments), stored[f"{i}.y"], atol=1e-5, rtol=0)
print(count, "graphs agree")
"""


def _alone(script: str, folder: Path, *arguments: str) -> str:
    """Run a script in the bundle's folder, with the program and PyG out of reach."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + script, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["node_classification", "graph_classification"])
def test_runs_with_torch_alone(
    kind: TaskKind,
    node_bundle: Path,
    graph_bundle: Path,
    network: Callable[[TaskKind], nn.Module],
    preprocessing: Preprocessing,
    task: Callable[..., Task],
    tmp_path: Path,
) -> None:
    """In a fresh process it agrees on all sizes, and the README's lines work as written."""
    folder = node_bundle if kind == "node_classification" else graph_bundle
    contract = Contract.of(task(kind), preprocessing)
    eager = deployed(network(kind), preprocessing, contract)
    stored = {}
    for i, size in enumerate((*SIZES, (900, 4000, 70))):
        inputs = made_up(contract, size)
        stored |= {f"{i}.{j}": tensor for j, tensor in enumerate(inputs)}
        stored[f"{i}.y"] = eager(*inputs)
    save_file(stored, tmp_path / "graphs.safetensors")
    lines = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert len(lines) == 1
    script = lines[0] + "\nassert torch.allclose(probabilities.sum(-1), torch.ones(()))\n" + COMPARE
    inputs_of_each = str(len(contract.inputs))
    printed = _alone(script, folder, str(tmp_path / "graphs.safetensors"), inputs_of_each)
    assert "7 graphs agree" in printed
