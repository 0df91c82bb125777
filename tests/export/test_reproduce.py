"""A bundle says how its network was trained: it can be trained again, and trained on."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from fakes.resealing import replaced
from torch_geometric.utils import to_undirected

import nas
from evaluators.datasets import load
from nas.cli import main
from nas.export import BundleError, ExportError
from nas.export._manifest import manifest_digest, text_of
from nas.export._recipe import read_recipe
from nas.export.bundle import export_trial
from nas.reproducing import ReproduceError, reproduce
from search_spaces import UsageError
from search_spaces.plugins import Plugin

DATASET = Plugin("digits_knn", {"normalize": "standardize"})
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A study whose later trials begin with the weights of earlier ones."""
    folder = tmp_path_factory.mktemp("study")
    url = f"sqlite:///{folder}/nas.db"
    spec: dict[str, Any] = {
        "study": {"name": "heirs", "seed": 5, "objectives": {"val_accuracy": "maximize"}},
        "space": {"name": "gnn", "depth": [1, 2], "width": [8], "operators": ["gcn", "sage"]},
        "dataset": {"name": DATASET.name, **DATASET.options},
        "strategy": {
            "name": "evolution",
            "population": 2,
            "sample": 2,
            "inherit": "alike",
        },
        "evaluator": {"name": "training", "epochs": 8},
        "budget": {"trials": 6},
        "executor": {"name": "inline"},
    }
    nas.search(spec, storage=url, data_root=folder)
    return url


@pytest.fixture(scope="module")
def bundle(storage: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a trial that began with another one's weights."""
    root = tmp_path_factory.mktemp("bundles")
    trials = nas.Study("heirs", storage=storage, data_root=root).trials()
    heir = next(t for t in reversed(trials) if t.inherit is not None and t.state == "complete")
    to = root / "b"
    export_trial(
        "heirs", heir.number, to, storage=storage, data_root=root, formats=("pt2", "state")
    )
    return to


@pytest.fixture
def edited(bundle: Path, tmp_path: Path) -> Callable[[Edit], Path]:
    """A copy with another recipe, for which its manifest vouches."""

    def edit(change: Edit) -> Path:
        folder = Path(shutil.copytree(bundle, tmp_path / "edited"))
        recipe = json.loads((folder / "recipe.json").read_text())
        change(recipe)
        content = text_of(recipe).encode()
        (folder / "recipe.json").write_bytes(content)
        manifest = json.loads((folder / "manifest.json").read_text())
        entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        manifest["files"]["recipe.json"] = entry
        manifest["digest"] = manifest_digest(manifest)
        (folder / "manifest.json").write_text(text_of(manifest))
        return folder

    return edit


def test_a_network_is_trained_again_to_the_same_weights(bundle: Path, tmp_path: Path) -> None:
    """With those it began with; the new bundle is kept where that is asked for."""
    assert len(read_recipe(bundle).steps) > 1
    found = reproduce(bundle, data_root=tmp_path, out=tmp_path / "again")
    assert found.is_same
    assert found.weights == found.largest == 0
    assert found.versions == {}
    assert "val_accuracy" in found.metrics
    again, weights = tmp_path / "again", "weights.safetensors"
    assert (again / weights).read_bytes() == (bundle / weights).read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda recipe: recipe.update(seed=6),
        lambda recipe: recipe["steps"].pop(0),
        lambda recipe: recipe["evaluator"].update(lr=0.02),
        lambda recipe: recipe["steps"][-1].update(epochs=7),
    ],
    ids=["seed", "inheritance", "rate", "epochs"],
)
def test_another_recipe_gives_another_network(
    change: Edit, edited: Callable[[Edit], Path], tmp_path: Path
) -> None:
    """Control: what is compared can differ."""
    found = reproduce(edited(change), data_root=tmp_path)
    assert not found.is_same
    assert found.weights is not None
    assert found.weights > 0


def test_other_data_are_refused(edited: Callable[[Edit], Path], tmp_path: Path) -> None:
    folder = edited(lambda recipe: recipe["dataset"].update(labels_per_class=6))
    with pytest.raises(ReproduceError, match=r"fingerprint .* name the same dataset"):
        reproduce(folder, data_root=tmp_path)
    assert reproduce(folder, data_root=tmp_path, dataset=DATASET).is_same


@pytest.mark.parametrize(
    "change",
    [
        lambda recipe: recipe["space"].update(name="os.path"),
        lambda recipe: recipe["space"].update(operators=["os.path"]),
        lambda recipe: recipe["steps"][-1]["choices"].update({"layer0.operator": "os.path"}),
        lambda recipe: recipe["evaluator"].update(name="os.path"),
        lambda recipe: recipe["dataset"].update(name="os.path"),
        lambda recipe: recipe["extension"].append(["os.path", {}]),
    ],
)
def test_a_bundle_does_not_choose_what_is_imported(
    change: Edit, edited: Callable[[Edit], Path], tmp_path: Path
) -> None:
    folder = edited(change)
    for run in (lambda: reproduce(folder, data_root=tmp_path), lambda: nas.load_network(folder)):
        with pytest.raises(
            BundleError, match=r'"os\.path", code that did not .*--allow "os'
        ) as caught:
            run()
        assert str(caught.value).endswith('in Python allowed=["os.path"]')


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda recipe: recipe.update(obstacle="it had a teacher"), "it had a teacher"),
        (lambda recipe: recipe.update(surprise=1), "surprise"),
        (lambda recipe: recipe["steps"].clear(), "steps"),
        (lambda recipe: recipe["steps"][-1]["choices"].update(depth=9), "depth"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(
    change: Edit, reason: str, edited: Callable[[Edit], Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=reason):
        reproduce(edited(change), data_root=tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v: v["space"].update(width="8"), "[space] width: expected a list of integers"),
        (lambda v: v["space"].update(operators=["gnc"]), "[space] operators: no operator is"),
        (lambda v: v["evaluator"].update(epochs=-1), "[evaluator] epochs: expected an integer"),
        (lambda v: v["task"].update(n_features="64"), ""),
    ],
)
def test_what_no_network_can_be_built_of_is_a_fault_of_the_bundle(
    change: Edit, reason: str, edited: Callable[[Edit], Path], tmp_path: Path
) -> None:
    """The file, what is wrong in it, and its remedy: no data that lie elsewhere."""
    folder = edited(change)
    runs = [lambda: nas.load_network(folder)]
    if reason:
        runs.append(lambda: reproduce(folder, data_root=tmp_path))
    for run in runs:
        with pytest.raises(BundleError) as caught:
            run()
        said = str(caught.value)
        assert said.startswith(f"{folder / RECIPE}: {reason}")
        assert said.endswith("; copy the bundle again, or use the gnn-nas that wrote it")


def test_data_that_are_not_found_are_to_be_named(
    edited: Callable[[Edit], Path], tmp_path: Path
) -> None:
    """The control: nothing is wrong with that bundle."""
    gone = {"name": "graph_file", "path": "gone.npz"}
    folder = edited(lambda recipe: recipe.update(dataset=gone))
    with pytest.raises(ReproduceError, match=r"gone\.npz.* lie elsewhere, name .* --dataset study"):
        reproduce(folder, data_root=tmp_path)


def test_by_the_command_line(bundle: Path, edited: Callable[[Edit], Path], tmp_path: Path) -> None:
    """The exit status says whether it is the same, or near enough."""

    def run(*arguments: str) -> Any:
        root = f"--data-root={tmp_path}"
        return CliRunner().invoke(main, ["reproduce", *arguments, root])

    same = run(str(bundle), "--format=json")
    assert same.exit_code == 0, same.output
    assert json.loads(same.stdout)["same"] is True
    other = str(edited(lambda recipe: recipe.update(seed=6)))
    assert run(other).exit_code == 1
    assert "weights differ by up to" in run(other).stderr
    assert run(other, "--within=1e9").exit_code == 0
    assert run(str(tmp_path)).exit_code == 2


def test_a_network_can_be_trained_on(bundle: Path, tmp_path: Path) -> None:
    """It is the one that the program was made of, with gradients."""
    network = nas.load_network(bundle)
    prepared, raw = load(DATASET, tmp_path), load(Plugin(DATASET.name), tmp_path)
    edges = to_undirected(prepared.edge_index)
    logits = network(prepared.x, edges)
    expected = nas.load_bundle(bundle).predict(raw.x, raw.edge_index)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_network_without_its_state_is_refused(
    storage: str, bundle: Path, edited: Callable[[Edit], Path], tmp_path: Path
) -> None:
    export_trial("heirs", 0, tmp_path / "plain", storage=storage, data_root=tmp_path)
    with pytest.raises(BundleError, match=r"has no state\.safetensors; export it again"):
        nas.load_network(tmp_path / "plain")
    wider = edited(lambda recipe: recipe["task"].update(n_features=65))
    with pytest.raises(BundleError, match="is not of this network"):
        nas.load_network(wider)


def _twice(name: str) -> Callable[[str], str]:
    """A change of a text: the line of a key is there twice."""

    def change(text: str) -> str:
        line = next(each for each in text.splitlines() if f'"{name}": ' in each).rstrip(",")
        return text.replace(line, f"{line},\n{line}", 1)

    return change


def _with(edit: Edit) -> Callable[[str], str]:
    """A change of what a text says."""

    def change(text: str) -> str:
        value = json.loads(text)
        edit(value)
        return text_of(value)

    return change


ARCHITECTURE, RECIPE = "architecture.json", "recipe.json"


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        (ARCHITECTURE, _with(lambda v: v.update(x=1)), "x: Extra inputs are not permitted, got 1"),
        (ARCHITECTURE, _with(lambda v: v.pop("choices")), "choices: Field required"),
        (ARCHITECTURE, _with(lambda v: v.update(space=3)), "should be a valid string, got 3"),
        (
            ARCHITECTURE,
            _with(lambda v: v["choices"].update(depth=True)),
            "choices.depth: expected a text or a number, got true",
        ),
        (
            ARCHITECTURE,
            _with(lambda v: v["choices"].update(depth=[1, 2])),
            "choices.depth: expected a text or a number, got [1, 2]",
        ),
        (ARCHITECTURE, _with(lambda v: v["choices"].update(depth=3)), "and the manifest is of"),
        (ARCHITECTURE, _twice("space"), 'the key "space" is there twice'),
        (ARCHITECTURE, lambda text: text + " ", "is not as it was written"),
        (ARCHITECTURE, lambda text: text.replace(": 8", ": NaN"), "NaN is no number of JSON"),
        (ARCHITECTURE, lambda _: "[]\n", "expected a JSON object, got a list"),
        (ARCHITECTURE, lambda _: "[" * 100_000, "is nested too deeply"),
        (ARCHITECTURE, lambda _: " " * 2**21, "is larger than 1048576 bytes"),
        (RECIPE, _with(lambda v: v.update(version=1.0)), "version: expected an integer, got 1.0"),
        (RECIPE, _with(lambda v: v["steps"].clear()), "steps: expected at least 1, got 0"),
        (RECIPE, _twice("seed"), 'the key "seed" is there twice'),
        (
            RECIPE,
            _with(lambda v: v["steps"][-1]["choices"].pop("depth")),
            "is of another architecture than architecture.json",
        ),
        (RECIPE, _with(lambda v: v["task"].update(more=1)), "task: "),
        (RECIPE, _with(lambda v: v.update(seed=[])), "seed: Input should be a valid integer"),
    ],
)
def test_what_describes_a_network_is_read_strictly(
    name: str, change: Callable[[str], str], reason: str, bundle: Path, tmp_path: Path
) -> None:
    """Although the manifest vouches for it: the file, what is wrong with it, and the remedy."""
    folder = Path(shutil.copytree(bundle, tmp_path / "changed"))
    path = folder / name
    replaced(folder, name, change(path.read_text()).encode())
    with pytest.raises(BundleError) as caught:
        nas.load_network(folder)
    said = str(caught.value)
    assert said.startswith(str(path))
    assert reason in said
    assert any(remedy in said for remedy in ("copy the bundle again", "export it again"))
    assert "\n" not in said


def test_no_folder_leaves_the_machine(tmp_path: Path) -> None:
    """Of a graph of one's own there is its file's name; which is then named to reproduce it."""
    import numpy as np

    rng = np.random.default_rng(0)
    arrays = {
        "x": rng.random((40, 5), dtype=np.float32),
        "edge_index": rng.integers(0, 40, (2, 120)),
        "y": np.arange(40) % 2,
    }
    data = tmp_path / "private" / "graph.npz"
    data.parent.mkdir()
    np.savez(data, **arrays)
    spec = {
        "study": {"name": "own"},
        "space": {"name": "gnn", "depth": [1], "width": [8], "operators": ["gcn"]},
        "dataset": {"name": "graph_file", "path": str(data)},
        "strategy": {"name": "random"},
        "evaluator": {"name": "training", "epochs": 3},
        "budget": {"trials": 1},
        "executor": {"name": "inline"},
    }
    url = f"sqlite:///{tmp_path}/nas.db"
    nas.search(spec, storage=url, data_root=tmp_path)
    to = tmp_path / "b"
    export_trial("own", 0, to, storage=url, data_root=tmp_path)
    text = b"".join(path.read_bytes() for path in to.iterdir())
    assert b"private" not in text
    assert b"graph.npz" in text
    given = Plugin("graph_file", {"path": str(data)})
    assert reproduce(to, data_root=tmp_path, dataset=given).is_same


def test_a_network_that_no_study_trained_has_no_recipe(
    node_bundle: Path, tmp_path: Path, write: Callable[..., Any]
) -> None:
    with pytest.raises(BundleError, match="does not say how its network was trained"):
        reproduce(node_bundle, data_root=tmp_path)
    with pytest.raises(ExportError, match=r"state: it is not known what builds"):
        write(tmp_path / "b", formats=["state"])
