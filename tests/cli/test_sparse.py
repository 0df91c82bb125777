"""`nas sparse compare`: three arms as text, JSON and CSV; what is refused."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

import nas as api
from nas.sparse import Arm, SparseComparison, Trained

from .conftest import Nas, run

SPEC: dict[str, Any] = {
    "study": {"name": "sparse", "objectives": {"val_accuracy": "maximize"}},
    "space": {
        "name": "gnn",
        "depth": [1],
        "operators": ["gcn"],
        "width": [8],
        "pre_layers": [0],
        "post_layers": [0],
    },
    "extension": {
        "sparsity": {
            "method": ["snip"],
            "weight_density": [0.5],
            "edge_density": [0.8],
        }
    },
    "dataset": {"name": "digits_knn"},
    "strategy": {"name": "random"},
    "evaluator": {"name": "training", "epochs": 2},
    "budget": {"trials": 1},
    "executor": {"name": "inline"},
}
ARM = ["mean", "sd", "n", "nonzero_weights", "edges", "values"]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A study of one sparse trial."""
    folder = tmp_path_factory.mktemp("sparse")
    url = f"sqlite:///{folder / 'nas.db'}"
    api.search(SPEC, storage=url, data_root=folder)
    return url


@pytest.fixture(scope="module")
def line(storage: str) -> list[str]:
    """With the trainings of the first call kept for the others."""
    to = Path(storage.removeprefix("sqlite:///")).with_name("trainings.jsonl")
    return ["sparse", "compare", "sparse", "--seeds", "2", "--to", str(to), "--storage", storage]


def test_the_object_has_all_three_arms(line: list[str]) -> None:
    result = run(*line, "--format", "json")
    assert "6/6 trained" in result.stderr
    printed = json.loads(result.stdout)
    assert [*printed] == [
        "study",
        "trial",
        "metric",
        "split",
        "epochs",
        "seeds",
        "arms",
        "differences",
        "is_better_than_random",
        "verdict",
    ]
    assert printed["split"] == "validation"
    arms, differences = printed["arms"], printed["differences"]
    assert [*arms] == ["dense", "searched", "random"]
    assert all([*arm] == ARM and arm["n"] == 2 for arm in arms.values())
    assert arms["searched"]["nonzero_weights"] == arms["random"]["nonzero_weights"]
    assert arms["searched"]["edges"] == arms["random"]["edges"] < arms["dense"]["edges"]
    assert 2 * arms["searched"]["nonzero_weights"] == arms["dense"]["nonzero_weights"]
    assert [*differences] == ["searched_dense", "searched_random"]
    for other, difference in zip(("dense", "random"), differences.values(), strict=True):
        apart = arms["searched"]["mean"] - arms[other]["mean"]
        assert difference["mean"] == pytest.approx(apart)
    assert not any("test" in name for name in json.dumps(printed).split('"'))


def test_text_and_csv(line: list[str]) -> None:
    """What is kept is not trained again; the last line is the verdict."""
    result = run(*line)
    assert result.stderr == "6/6 trained\n"
    head, dense, searched, random, _, *rest = result.stdout.splitlines()
    assert head.split() == ["arm", "n", "mean", "sd", "nonzero", "weights", "edges"]
    assert [row.split()[0] for row in (dense, searched, random)] == ["dense", "searched", "random"]
    assert rest[0].startswith("searched - dense ")
    assert rest[1].startswith("searched - random ")
    assert "test stays sealed" in rest[3]
    assert "better than random at this density" in rest[-1]
    rows = list(csv.DictReader(io.StringIO(run(*line, "--format", "csv").stdout)))
    assert [row["arm"] for row in rows] == ["dense", "searched", "random"]
    assert [*rows[0]] == [
        "arm",
        *ARM,
        *(f"searched_less_this.{n}" for n in ("mean", "interval", "p")),
    ]
    assert rows[1]["searched_less_this.mean"] == ""
    apart = float(rows[1]["mean"]) - float(rows[2]["mean"])
    assert float(rows[2]["searched_less_this.mean"]) == pytest.approx(apart)


def test_the_api_is_its_twin(line: list[str], storage: str, tmp_path: Path) -> None:
    found = api.Study("sparse", storage=storage, data_root=tmp_path).compare_sparse(
        0, seeds=2, to=line[6]
    )
    assert found.to_json() == json.loads(run(*line, "--format", "json").stdout)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sparse", "--trial", "9"], "trial 9"),
        (["sparse", "--trial", "x"], 'a trial\'s number, from 0, or "best", got "x"'),
        (["sparse", "--seeds", "1"], 'expected an integer >= 2, got "1"'),
        (["other"], "other"),
        (["sparse", "--to", "no such folder/t.jsonl"], "there is no folder"),
    ],
)
def test_what_does_not_go_is_refused(storage: str, arguments: list[str], said: str) -> None:
    result = run("sparse", "compare", *arguments, "--storage", storage, code=2)
    assert said in result.stderr
    assert result.stdout == ""


def test_a_study_without_the_extension(nas: Nas) -> None:
    """The first error names the table."""
    said = nas("sparse", "compare", "tiny", "--trial", "0", code=2).stderr
    assert "was searched without [extension.sparsity]" in said
    assert "anything was pruned" in nas("sparse", "compare", "tiny", code=2).stderr


@pytest.mark.parametrize("kept", [True, False])
def test_interrupted(
    kept: bool, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 130, and a word on what is left."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nas.sparse.training.Bench.measured", stop)
    to = tmp_path / "t.jsonl"
    more = ["--to", str(to)] if kept else []
    result = run("sparse", "compare", "sparse", *more, "--storage", storage, code=130)
    assert ("the same command goes on" in result.stderr) == kept
    assert ("nothing is kept" in result.stderr) != kept
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_failure_has_the_status_of_one(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.sparse.training.best_weights", _no_weights)
    result = run("sparse", "compare", "sparse", "--seeds", "2", "--storage", storage, code=1)
    assert "keeps no checkpoint" in result.stderr


def _no_weights(_: object) -> None:
    from nas.sparse import SparseTrainingError

    raise SparseTrainingError("the evaluator keeps no checkpoint")


def test_a_comparison_that_is_better_says_so() -> None:
    """By the same object that the command prints."""

    def arm(*values: float) -> Arm:
        return Arm(tuple(Trained(seed, v, 1, 1, {}) for seed, v in enumerate(values)))

    searched, random = arm(0.9, 0.91, 0.92), arm(0.5, 0.52, 0.51)
    found = SparseComparison("s", 0, "val_accuracy", False, 1, searched, searched, random)
    assert found.to_json()["is_better_than_random"]
    assert found.to_json()["verdict"] == "better than random at this density"
