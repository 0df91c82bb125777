"""Python in the documents, run as scripts, with what the words around it suppose is there."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from .conftest import Prepared
from .pages import ROOT, Block, shell, shortened

runs = pytest.mark.runs
SUPPOSED = """
import json, nas, numpy, torch
features = json.load(open("bundle/manifest.json"))["contract"]["n_features"]
x, edge_index = torch.rand(5, features), torch.tensor([[0, 1, 2], [1, 2, 4]])
graph_ids, B = torch.tensor([0, 0, 0, 1, 1]), 2
"""
GROWING = """
from search_spaces import Task, gnn
task = Task("node_classification", 7, 3, 40, 100, 1, 10, 10, 10, "accuracy", "made")
space = gnn.build(task, depth=(1, 2), width=(8, 16), operators=("gcn",), activation=("relu",))
parent = space.fill(lambda d: d.choices[0], {})
network = space.network(parent, task)
child = children(space, task, parent)[0].architecture
"""
GRAPHS = """
[study]
name = "graphs"
[dataset]
name = "digits_pixels"
graphs = 60
[space]
depth = [1]
operators = ["gcn"]
[strategy]
name = "random"
[evaluator]
epochs = 1
[budget]
trials = 1
"""


@runs("README.md", "import nas\nimport torch")
@runs("README.md", "class OneLayer")
def test_the_readme_searches(shown: Sequence[Block], tmp_path: Path) -> None:
    """A graph from memory, and a space of one's own."""
    for number, block in enumerate(shown):
        (tmp_path / f"{number}.py").write_text(block.text)
        done = shell(f"python {number}.py", tmp_path)
        assert done.returncode == 0, done.stderr


@runs(
    "docs/plugins.md",
    'CHOICES = {"residual"',
    "def rounded(",
    "LICENSE =",
    "centers[y] +",
    "class Annealing",
    "def prepared(",
    "def _evaluate(",
    "class Source",
    'operators = ["examples.plugins.operator"',
)
def test_what_is_shown_of_the_examples_is_in_them(shown: Sequence[Block]) -> None:
    """Word for word: `tests/test_examples.py` runs them, so what is shown works.

    But for blank lines and indentation, which a method that is shown alone has otherwise.
    """

    def words(text: str) -> str:
        return "\n".join(line.strip() for line in text.splitlines() if line.strip())

    document = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    found = re.findall(r"\]\(\.\./(examples/\S+)\):\n\n```\w+\n(.*?)^```", document, re.M | re.S)
    assert {Path(file).stem for file, _ in found} == {
        file.stem for file in (ROOT / "examples" / "plugins").glob("*.py")
    } | {"study"}
    for file, code in found:
        assert words(code) in words((ROOT / file).read_text(encoding="utf-8")), file
    assert [code for _, code in found] == [block.text for block in shown]


@runs("docs/study_file.md", "tabular.read(")
def test_the_keys_of_the_benchmark(shown: Sequence[Block], tmp_path: Path) -> None:
    (tmp_path / "keys.py").write_text(shown[0].text)
    done = shell("python keys.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "'links': '0001'" in done.stdout


@runs("docs/latency.md", "make_profile(")
def test_latency_is_predicted(shown: Sequence[Block], tmp_path: Path) -> None:
    """A profile of half a minute, made and used as the page does."""
    (tmp_path / "predict.py").write_text(shown[0].text)
    done = shell("python predict.py", tmp_path)
    assert done.returncode == 0, done.stderr
    mean, low, high = map(float, re.findall(r"\d+\.\d+", done.stdout))
    assert 0 <= low <= mean <= high
    assert (tmp_path / "devices" / "here.npz").exists()


@pytest.mark.slow
@runs("docs/comparing.md", "from nas.compare import compare")
def test_strategies_are_compared(shown: Sequence[Block], tmp_path: Path) -> None:
    """With few seeds; the numbers of trials that are looked at stay."""
    (tmp_path / "compare.py").write_text(shortened(shown[0].text, {"seeds=20": "seeds=2"}))
    done = shell("python compare.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "local 200" in done.stdout


@pytest.mark.slow
@runs(
    "docs/bundles.md",
    "bundle.probabilities(",
    "InferenceSession(",
    "nas.load_weights(",
    "bundle.graph is not None",
    "nas.load_network(",
    'torch.export.load("model.pt2")',
)
def test_a_bundle_is_used(shown: Sequence[Block], prepared: Prepared) -> None:
    """Each block by itself, the programs from within the bundle; the graph is made up."""
    at = prepared.folder
    text = "nas export quickstart --format pt2,onnx,state --to bundle\n"
    for number, block in enumerate(shown):
        first = SUPPOSED
        if ".load(" in block.text or "InferenceSession(" in block.text:
            first += 'import os; os.chdir("bundle")\n'
        if "InferenceSession" in block.text:  # it takes NumPy's arrays, as the page says
            first += "x, edge_index = x.numpy(), edge_index.numpy()\n"
        (at / f"{number}.py").write_text(first + block.text.replace('"DIR"', '"bundle"'))
        text += f"python {number}.py\n"
    done = shell(f"rm -r bundle\n{text}", at)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@runs("docs/latency.md", "MALLOC_MMAP_THRESHOLD_")
@runs("docs/bundles.md", 'torch.export.load("model.pt2")')
def test_a_bundle_is_used_where_memory_is_kept(shown: Sequence[Block], prepared: Prepared) -> None:
    """The program that serves it is that of the other page."""
    called = next(block.text for block in shown if block.language == "python")
    command = next(block.text for block in shown if block.language == "sh")
    load = shortened(called, {"model.pt2": "bundle/model.pt2"})
    (prepared.folder / "serve.py").write_text(f"{SUPPOSED}{load}print(*logits.shape)\n")
    done = shell(command, prepared.folder)
    assert (done.returncode, done.stdout) == (0, "5 10\n"), done.stderr


@pytest.mark.slow
@runs("docs/bundles.md", 'torch.export.load("model.pt2")', "torch.zeros(B")
def test_a_bundle_of_a_graph_task_is_used(shown: Sequence[Block], tmp_path: Path) -> None:
    """Its two more inputs; the program is the one that the first block loads."""
    loading, calling = shown
    (tmp_path / "graphs.toml").write_text(GRAPHS)
    load = shortened(loading.text, {"model.pt2": "bundle/model.pt2", "logits = ": "# "})
    shape = "assert logits.shape[0] == B\n"
    (tmp_path / "use.py").write_text(f"{SUPPOSED}{load}{calling.text}{shape}")
    text = "nas search graphs.toml\nnas export graphs --to bundle\npython use.py"
    done = shell(text, tmp_path)
    assert done.returncode == 0, done.stderr


@runs("docs/transformation.md", "reachable(space, task")
def test_a_network_grows(shown: Sequence[Block], tmp_path: Path) -> None:
    """A small one, with new weights, into one of its children."""
    text = shortened(shown[0].text, {"reason = ": f"{GROWING}reason = "})
    (tmp_path / "grow.py").write_text(text)
    done = shell("python grow.py", tmp_path)
    assert done.returncode == 0, done.stderr
