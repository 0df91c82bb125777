"""All operators, both tasks, all formats: do programs compute what their networks do?

A network of two layers of the space `gnn` for each operator and task, behind what prepares its
inputs (rows divided by their sum, edges mirrored), is written in each format, read back, and run
beside it on seven graphs: one node, no edge, 40 graphs, ten times as many nodes as the largest of
these. What is shown is the largest difference over max(1, max|y|). `elsewhere` runs each program in
a process of its own in which this program and torch_geometric cannot be imported, nor torch for
ONNX, on three of the graphs.

The control is the same comparison with a network of other weights.
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from reporting import Row, bounded, row, table, told
from safetensors.torch import save_file
from torch import nn

from evaluators.datasets import Preprocessing
from nas.export import Contract, ExportError
from nas.export._base import Exporter
from nas.export._deployed import deployed
from nas.export._parity import compare
from nas.export._sample import SIZES, made_up
from search_spaces import Task, gnn, plugins
from search_spaces.task import TaskKind

OPERATORS = plugins.names("operator")
TASKS: Mapping[str, TaskKind] = {"node": "node_classification", "graph": "graph_classification"}
FORMATS = ("pt2", "onnx", "aoti")
# Of those that take half a minute each to compile.
COMPILED_QUICKLY = ("gcn",)
LARGEST = 1e-5
_LARGE = (3000, 15_000, 40)
_BLOCKED = ("torch_geometric", "nas", "search_spaces", "evaluators")

_ELSEWHERE = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Blocked())
import numpy
from safetensors.numpy import load_file
stored = load_file(sys.argv[1])
{reading}
worst = 0.0
for i in range({graphs}):
    inputs = [stored[f"{{i}}.{{j}}"] for j in range({inputs})]
    y = stored[f"{{i}}.y"]
    p = {call}
    worst = max(worst, float(abs(p - y).max() / max(1.0, abs(y).max())))
print(worst)
"""
_CALL = "network(*map(torch.from_numpy, inputs)).detach().numpy()"


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    """Rows and tables; nothing is read or kept."""
    del data_root, keep
    made, cells = list[Row](), dict[str, list[str]]()
    for operator in OPERATORS:
        found = []
        for task in TASKS:
            for name in FORMATS:
                if quick and name == "aoti" and operator not in COMPILED_QUICKLY:
                    found.append("-")
                    continue
                told(f"{operator}, {task} task, {name}")
                of_one, shown = _one(operator, task, name)
                made += of_one
                found.append(shown)
        cells[operator] = found
    columns = ("", *(f"{task}, {name}" for task in TASKS for name in FORMATS))
    text = table("Largest difference here / elsewhere, over max(1, max|y|)", columns, cells)
    return made, f"{text}\n{_counted(made)}"


def _one(operator: str, task: str, name: str) -> tuple[list[Row], str]:
    exporter: Exporter = plugins.load("exporter", name).build()
    network, other, contract = _networks(operator, TASKS[task])
    case = f"{operator}, {task} task, {name}"
    graphs = [made_up(contract, size) for size in (*SIZES, _LARGE)]
    with tempfile.TemporaryDirectory() as folder:
        try:
            exporter.write(network, contract, Path(folder), graphs[-1])
        except ExportError as error:
            return [bounded(row(case, "cannot be written", 1.0, 0.0), "<=", 0)], f"{error}"[:60]
        program = exporter.open(Path(folder))
        here = compare(program, network, contract, graphs, float("inf"))
        control = compare(program, other, contract, graphs, float("inf"))
        elsewhere = _run_elsewhere(exporter, contract, network, Path(folder))
    found = [here.largest_difference, elsewhere]
    made = [
        bounded(row(case, f"difference, {where}, beside what is allowed", value, LARGEST), "<=", 1)
        for where, value in zip(("here", "elsewhere"), found, strict=True)
    ]
    differs = row(case, "control: other weights", control.largest_difference, LARGEST)
    made.append(bounded(differs, ">=", 1e3))
    return made, " / ".join(f"{value:.0e}" if value else "0" for value in found)


def _networks(operator: str, kind: TaskKind) -> tuple[nn.Module, nn.Module, Contract]:
    """A network, the same with other weights, and their contract."""
    graphs = 40 if kind == "graph_classification" else 1
    task = Task(kind, 6, 3, 600, 2_400, graphs, 40, 20, 20, "accuracy", "0" * 32)
    heads = {"heads": [2]} if "heads" in plugins.options("operator", operator) else {}
    other = "gcn" if operator == "linear" else "linear"
    space = gnn.build(task, depth=[2], width=[8], operators=[operator, other], **heads)
    rng = np.random.default_rng(0)
    while True:
        architecture = space.sample(rng)
        layers = [architecture.choices[f"layer{i}.operator"] for i in range(2)]
        if layers == [operator] * 2:
            break
    preparation = Preprocessing("row", undirected=True)
    contract = Contract.of(task, preparation)
    made = []
    for seed in range(2):
        torch.manual_seed(seed)
        made.append(deployed(space.network(architecture, task), preparation, contract))
    return made[0], made[1], contract


def _run_elsewhere(
    exporter: Exporter, contract: Contract, network: nn.Module, folder: Path
) -> float:
    """The largest difference in a process that has what runs the program, and nothing else."""
    stored = {}
    sizes = (SIZES[0], SIZES[3], SIZES[5])
    for i, size in enumerate(sizes):
        inputs = made_up(contract, size)
        stored |= {f"{i}.{j}": tensor.contiguous() for j, tensor in enumerate(inputs)}
        stored[f"{i}.y"] = network(*inputs).detach()
    save_file(stored, folder / "graphs.safetensors")
    needs_torch = "import torch" in exporter.reading
    code = _ELSEWHERE.format(
        blocked=repr({*_BLOCKED} if needs_torch else {*_BLOCKED, "torch"}),
        reading=exporter.reading,
        graphs=len(sizes),
        inputs=len(contract.inputs),
        call=_CALL if needs_torch else "network(*inputs)",
    )
    command = [sys.executable, "-I", "-c", code, "graphs.safetensors"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"it does not run elsewhere: {done.stderr[-2000:]}")
    return float(done.stdout)


def _counted(made: list[Row]) -> str:
    count = sum("difference" in one["measure"] for one in made)
    return f"{count} comparisons of {len(OPERATORS)} operators."
