"""`nas scale` and its Python twin: from a study in a database to one that trains what it gives."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import nas
from nas.cli import main
from nas.scaling import ScalingError
from nas.setup import PYTHON_SPACE
from search_spaces import UsageError

from .conftest import set_up_with, tables

TRIALS = 40


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a random search on the surface."""
    url = f"sqlite:///{tmp_path_factory.mktemp('scaling') / 'nas.db'}"
    nas.search(tables(), storage=url)
    return url


def refused(storage: str, *arguments: str) -> str:
    """What is said of it, in one line, without a row on stdout."""
    result = run("scale", "surface", "--storage", storage, *arguments, code=2)
    assert not result.stdout
    (line,) = result.stderr.splitlines()
    return line


def test_rows_are_what_python_gives(storage: str) -> None:
    result = run(
        "scale", "surface", "--storage", storage, "--macs", "5e6", "--ratio", "0.1,0.5",
        "--format", "json",
    )  # fmt: skip
    rows = json.loads(result.stdout)
    scaling = nas.Study("surface", storage=storage).scale(macs=[5e6], ratios=[0.1, 0.5])
    assert rows == [row.to_json() for row in scaling.rows]
    assert [row["budget"] for row in rows] == [
        5e6, 0.1 * scaling.base.macs, 0.5 * scaling.base.macs
    ]  # fmt: skip
    for row in rows:
        assert abs(row["macs"] / row["budget"] - 1) <= 0.05
        assert row["architecture"]["depth"] == row["depth"]
        assert row["depth_sd"] > 0
        assert row["neighbors"] is row["neighbors_sd"] is None  # which nothing decides here
    best = nas.Study("surface", storage=storage).front()[0]
    assert scaling.base.trial == best.number


def test_the_table_says_what_lies_outside(storage: str) -> None:
    """Of the front, by which the rule knows nothing."""
    lines = run("scale", "surface", "--storage", storage, "--ratio", "0.5,3").stdout.splitlines()
    assert lines[0].split()[:8] == [
        "budget", "macs", "error", "ratio", "depth", "depth_sd", "width", "outside"
    ]  # fmt: skip
    inside, beyond = (line.partition("depth=")[0] for line in lines[1:])
    assert "yes" in beyond
    assert "yes" not in inside


def test_any_trial_can_be_the_base(storage: str) -> None:
    """Ratios are then of its macs."""
    study = nas.Study("surface", storage=storage)
    scaling = study.scale(ratios=[0.5], trial=3)
    assert scaling.base.macs == study.trial(3).metrics["macs"]
    assert scaling.rows[0].budget == scaling.base.macs / 2


def test_what_is_written_is_trained(storage: str, tmp_path: Path) -> None:
    """The scaled architectures, and no others, with the macs that were told."""
    file = tmp_path / "small.toml"
    budgets = ("--macs", "3e6,5e6", "--write-study", str(file))
    told = run("scale", "surface", "--storage", storage, *budgets, "--format", "json")
    result = run("search", str(file), "--storage", storage, "--format", "json")
    assert json.loads(result.stdout)["trials"]["complete"] == 2
    trained = nas.Study("small", storage=storage).trials()
    rows = json.loads(told.stdout)
    assert [dict(t.architecture.choices) for t in trained if t.architecture] == [
        row["architecture"] for row in rows
    ]
    assert [t.metrics["macs"] for t in trained] == [row["macs"] for row in rows]
    offered = {w for row in rows for n, w in row["architecture"].items() if n.endswith(".width")}
    assert not offered <= set(set_up_with().space.by_name["layer0.width"].choices)
    assert "exists; it is left as it is" in refused(storage, *budgets)


def test_one_space_offers_networks_with_and_without_heads(tmp_path: Path) -> None:
    """A layer of eight heads that the smaller network is too shallow to have."""
    url = f"sqlite:///{tmp_path / 'nas.db'}"
    mixed = {"operators": ["gcn", "gat"], "heads": [8], "width": [128, 256], "depth": [1, 2]}
    study = nas.search(tables(**mixed), storage=url)
    base = next(
        trial.number
        for trial in study.trials()
        if trial.architecture
        and [trial.architecture.choices.get(f"layer{i}.operator") for i in (0, 1)] == ["gcn", "gat"]
    )
    scaling = study.scale(ratios=[0.12, 0.17, 1.0], trial=base)
    small, *_, large = (dict(row.architecture.choices) for row in scaling.rows)
    assert "layer1.heads" not in small
    assert large["layer1.heads"] == 8
    assert small["layer0.width"] % 8 == large["layer1.width"] % 8 == 0
    assert scaling.spec.space.options["heads"] == (8,)


def test_budgets_that_are_none(storage: str) -> None:
    assert "no budget is given; expected macs, as 5e6, or a ratio, as 0.25" in refused(storage)
    assert 'error: --macs: expected a number > 0, got "many"' in refused(storage, "--macs", "many")
    assert 'error: --ratio: expected a number > 0, got "-1"' in refused(
        storage, "--ratio", "0.1,-1"
    )
    study = nas.Study("surface", storage=storage)
    with pytest.raises(ScalingError, match="expected a budget > 0, got nan"):
        study.scale(macs=[float("nan")])


def test_budgets_that_no_width_reaches(storage: str) -> None:
    """The nearest is said, with macs that can be asked for."""
    said = refused(storage, "--macs", "10")
    assert 'study "surface": no width comes within 5% of 10 macs with depth' in said
    assert "the least that can be had is width 1 with" in said
    nearest = said.partition("width 1 with ")[2].partition(" macs")[0].replace(",", "")
    rows = nas.Study("surface", storage=storage).scale(macs=[float(nearest)]).rows
    assert (rows[0].error, rows[0].width) == (0, 1)
    said = refused(storage, "--macs", "1e18")
    assert "1,000,000,000,000,000,000 macs" in said
    assert "the largest that can be had is width 65,536 with" in said
    largest = said.partition("width 65,536 with ")[2].partition(" macs")[0]
    assert re.fullmatch(r"\d{1,3}(,\d{3})+", largest)
    assert "ask for no more, or begin with another trial" in said


def test_of_several_budgets_the_one_without_a_network_is_named(storage: str) -> None:
    """No row is shown, and it is said."""
    study = nas.Study("surface", storage=storage)
    with pytest.raises(ScalingError, match=r"\(budget 2 of 3, ratio 1e\+09\).* no row either"):
        study.scale(ratios=[0.5, 1e9, 1])


def test_studies_and_trials_that_are_not_there(storage: str) -> None:
    assert "there is no trial 400" in refused(storage, "--macs", "1e6", "--trial", "400")
    result = run("scale", "surfac", "--storage", storage, "--macs", "1e6", code=2)
    assert 'no study "surfac"' in result.stderr
    assert 'did you mean "surface"?' in result.stderr


def searched(storage: str, spec: dict[str, Any], **arguments: Any) -> nas.Study:
    return nas.search(spec, storage=storage, **arguments)


def test_a_study_with_too_few_points(tmp_path: Path) -> None:
    """How many there are, how many are needed, and how to come by them."""
    spec = {**tables(), "budget": {"trials": 2}}
    study = searched(f"sqlite:///{tmp_path / 'nas.db'}", spec)
    with pytest.raises(ScalingError, match=r"needs 4 or more trials .* there (is 1|are 2) \(of 2 "):
        study.scale(macs=[1e6])


def test_spaces_that_do_not_scale(tmp_path: Path) -> None:
    """Without decisions about depth and width, made in Python, or of a table."""
    storage = f"sqlite:///{tmp_path / 'nas.db'}"
    spec = {**tables(), "budget": {"trials": 1}, "space": {"name": "fakes.space"}}
    other = {"evaluator": {"name": "fakes.evaluator"}, "study": {"name": "other"}}
    with pytest.raises(UsageError, match="has no decisions about depth and width that could"):
        searched(storage, {**spec, **other}).scale(macs=[1e6])
    own = set_up_with().space
    study = searched(storage, {**tables(), "budget": {"trials": 1}}, space=own)
    assert study._store.spec("surface")["space"]["name"] == PYTHON_SPACE
    with pytest.raises(UsageError, match="its space was made in Python"):
        study.scale(macs=[1e6])
    table = {"space": spec["space"], "evaluator": {"name": "fakes.table"}, "study": {"name": "t"}}
    with pytest.raises(UsageError, match=r"\"fakes.table\" looks results up"):
        searched(storage, {**table, "budget": {"trials": 1}}).scale(macs=[1e6])


def test_objectives_that_are_counted(tmp_path: Path) -> None:
    """A rule needs one that is learned."""
    spec = {**tables(), "budget": {"trials": 1}}
    spec["study"] = {"name": "counted", "objectives": {"params": "minimize", "macs": "minimize"}}
    study = searched(f"sqlite:///{tmp_path / 'nas.db'}", spec)
    with pytest.raises(ScalingError, match="params, macs are all known without training"):
        study.scale(macs=[1e6])
