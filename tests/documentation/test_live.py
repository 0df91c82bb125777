"""Blocks of what goes on until Ctrl-C, asked over HTTP as the pages say: servers and dashboards.

Ports are free ones, in the places of the pages'.
"""

import json
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from mlflow import MlflowClient
from safetensors.torch import load_file

from .conftest import STUDY, Prepared
from .pages import Block, asked, free_port, live, shell, shortened

pytestmark = pytest.mark.slow
runs = pytest.mark.runs
# Nodes with two features and two classes, as those of the page's request and answer.
PETS = """
[study]
name = "pets"
[dataset]
name = "graph_file"
nodes = "nodes.csv"
edges = "edges.csv"
train_ratio = 0.5
val_ratio = 0.25
[space]
depth = [1]
operators = ["gcn"]
[strategy]
name = "random"
[evaluator]
epochs = 2
[budget]
trials = 1
"""
KEPT = '\nfrom safetensors.torch import save_file\nsave_file(tensors, "graph.safetensors")\n'


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle that tells cats from dogs."""
    at = tmp_path_factory.mktemp("pets")
    nodes = [f"{i},{('cat', 'dog')[i % 2]},{i % 2}.5,{i % 5}.0\n" for i in range(40)]
    (at / "nodes.csv").write_text("id,label,weight,age\n" + "".join(nodes))
    edges = "".join(f"{i},{i + 2}\n" for i in range(38))
    (at / "edges.csv").write_text(f"source,target\n{edges}")
    (at / "pets.toml").write_text(PETS)
    done = shell("nas search pets.toml\nnas export pets --to bundle", at)
    assert done.returncode == 0, done.stderr
    return at


@runs(
    "docs/serving.md",
    "nas serve bundle --port 8000",
    "-H 'Content-Type: application/json'",
    "import urllib.request",
    "from safetensors.torch import load, save",
    "--data-binary @graph.safetensors",
)
def test_a_bundle_is_served(shown: Sequence[Block], pets: Path) -> None:
    """Asked by curl and by Python, in both forms; the answers are those of the page."""
    port = free_port()
    server, curl, python, binary, curled = (
        shortened(block.text, {"8000": str(port)}) if "8000" in block.text else block.text
        for block in shown
    )
    with live(server, pets, f"http://127.0.0.1:{port}/health"):
        done = shell(curl, pets)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert list(answer) == ["predictions", "classes", "probabilities"]
        assert answer["classes"] == ["cat", "dog"]
        assert set(answer["predictions"]) <= {"cat", "dog"}
        (pets / "ask.py").write_text(python + binary + KEPT)
        done = shell("python ask.py", pets)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[1].startswith("tensor([")
        done = shell(curled, pets)
        assert done.returncode == 0, done.stderr
        assert load_file(pets / "answer.safetensors")["logits"].shape == (1000, 2)


@runs("docs/dashboard.md", "nas dashboard quickstart")
def test_a_dashboard_shows_a_study(shown: Sequence[Block], prepared: Prepared) -> None:
    """Its page, and what that reads."""
    url = f"http://127.0.0.1:{free_port()}"
    text = shortened(shown[0].text, {"quickstart": f"quickstart --port {url.rpartition(':')[2]}"})
    with live(text, prepared.folder, url):
        assert b"8 of 8" in asked(url)
        assert b"<script" in asked(f"{url}/dashboard/studies/1")
        study = json.loads(asked(f"{url}/api/studies/1?after=0"))
    assert len(study["trials"]) == 8
    assert f"\n{url}/dashboard/studies/1\n" in f"\n{(prepared.folder / 'live.log').read_text()}"


@runs("docs/dashboard.md", 'mlflow = "http://127.0.0.1:5000"', "tensorboard --logdir runs")
def test_a_study_is_logged(shown: Sequence[Block], tmp_path: Path) -> None:
    """TensorBoard itself shows the curves, while MLflow has its run in a folder."""
    table, commands = shown
    log = shortened(table.text, {"http://127.0.0.1:5000": "mlflow"})
    (tmp_path / "study.toml").write_text(f"{STUDY}{log}")
    url = f"http://127.0.0.1:{free_port()}"
    port = url.rpartition(":")[2]
    text = shortened(commands.text, {"--logdir runs": f"--logdir runs --port {port}"})
    with live(text, tmp_path, url):
        tags = json.loads(asked(f"{url}/data/plugin/scalars/tags"))
        assert {"trial/val_accuracy", "best/val_accuracy"} <= set(tags["quickstart"])
        curve = f"{url}/data/plugin/scalars/scalars?run=quickstart&tag=trial/val_accuracy"
        assert [step for _, step, _ in json.loads(asked(curve))] == list(range(8))
    assert _told(f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}") == [("quickstart", "FINISHED")]


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[str]:
    """MLflow's own server, by its URL."""
    if missing := [name for name in ("flask", "flask_cors") if not find_spec(name)]:
        pytest.skip(
            f"MLflow's server needs {', '.join(missing)}: pip install '.[test]' to run this"
        )
    at, port = tmp_path / "server", free_port()
    at.mkdir()
    text = "export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false\nmlflow server --workers 1"
    text += f" --host 127.0.0.1 --port {port} --backend-store-uri sqlite:///server.db"
    with live(text, at, f"http://127.0.0.1:{port}/health"):
        yield f"http://127.0.0.1:{port}"


@runs("docs/dashboard.md", 'mlflow = "http://127.0.0.1:5000"')
def test_a_study_is_logged_to_a_server(
    shown: Sequence[Block], mlflow_server: str, tmp_path: Path
) -> None:
    """What the end of the search has not waited for comes with `nas resume`, as the page says."""
    log = shortened(shown[0].text, {"http://127.0.0.1:5000": mlflow_server})
    (tmp_path / "study.toml").write_text(f"{STUDY}{log}")
    done = shell("nas search study.toml", tmp_path)
    for _ in range(5):
        assert done.returncode == 0, done.stderr
        if _told(mlflow_server) == [("quickstart", "FINISHED")]:
            return
        done = shell("nas resume quickstart", tmp_path)
    raise AssertionError(done.stderr)


def _told(uri: str) -> list[tuple[str, str]]:
    """The runs of the experiment of the studies, each with where it stands."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("gnn-nas")
    found = client.search_runs([experiment.experiment_id]) if experiment else []
    return [(run.info.run_name, run.info.status) for run in found]
