"""`nas compare`: what it prints, and what it refuses before the first run."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from fakes.table import worth

from nas.setting_up import set_up
from nas.spec import load_spec

from .conftest import run

STUDY = """
[study]
name = "hashes"
objectives = { val_accuracy = "maximize" }
[space]
name = "fakes.space"
kinds = ["plain"]
levels = 2
[strategy]
name = "evolution"
population = 6
sample = 3
[evaluator]
name = "fakes.table"
[budget]
trials = 12
"""
KEYS = ("strategy", "trials", "seeds", "mean", "stderr", "difference_to_random", "interval")
TWO = "study.objectives={val_accuracy='maximize', latency_ms='minimize'}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hashes.toml"
    path.write_text(STUDY)
    return path


def compared(file: Path, *arguments: str, **options: Any) -> Any:
    storage = f"sqlite:///{file.parent / 'nas.db'}"
    return run("compare", str(file), "--storage", storage, "--workers", "1", *arguments, **options)


def test_json(file: Path) -> None:
    """A list with the keys that programs read; random has no difference to itself."""
    result = compared(
        file, "--strategies", "evolution,nsga2:population=4", "--seeds", "4", "--format", "json"
    )
    rows = json.loads(result.stdout)
    assert [row["strategy"] for row in rows] == ["random", "evolution", "nsga2:population=4"]
    for row in rows:
        assert tuple(row)[:7] == KEYS
        assert set(row) - {*KEYS} == {"p_holm", "test_mean", "test_stderr"}
        assert (row["trials"], row["seeds"]) == (12, 4)
    assert rows[0]["difference_to_random"] is rows[0]["interval"] is rows[0]["p_holm"] is None
    for row in rows[1:]:
        assert row["difference_to_random"] == pytest.approx(row["mean"] - rows[0]["mean"])
        low, high = row["interval"]
        assert low < row["difference_to_random"] < high
    assert "12/12 runs" in result.stderr


def test_test_is_left_out_where_nothing_is_known_of_it(file: Path) -> None:
    result = compared(file, "--strategies", "random", "--set", TWO, "--format", "json")
    assert set(json.loads(result.stdout)[0]) == {*KEYS, "p_holm"}


def test_csv_and_budgets(file: Path) -> None:
    result = compared(file, "--strategies", "evolution", "--at", "12,4", "--format", "csv")
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert [(row["trials"], row["strategy"]) for row in rows] == [
        ("4", "random"),
        ("4", "evolution"),
        ("12", "random"),
        ("12", "evolution"),
    ]
    assert len(json.loads(rows[1]["interval"])) == 2


def test_text(file: Path) -> None:
    """A line each, and what the numbers are; a finished comparison prints them at once."""
    first = compared(file, "--strategies", "evolution:sample=2", "--seeds", "3")
    lines = first.stdout.splitlines()
    assert lines[0].split()[:5] == ["strategy", "trials", "seeds", "mean", "stderr"]
    assert lines[1].startswith("random")
    assert lines[2].startswith("evolution:sample=2")
    assert "best val_accuracy (larger is better)" in lines[-1]
    again = compared(file, "--strategies", "evolution:sample=2", "--seeds", "3")
    assert again.stdout == first.stdout
    assert again.stderr == ""
    one = compared(file, "--strategies", "evolution:sample=2", "--seeds", "1")
    assert "[" not in one.stdout


def test_several_objectives(file: Path) -> None:
    arguments = ["--strategies", "nsga2", "--set", TWO, "--seeds", "2"]
    assert "hypervolume" in compared(file, *arguments).stdout
    given = compared(file, *arguments, "--reference", "latency_ms=0.5,val_accuracy=0.5")
    assert "up to val_accuracy=0.5, latency_ms=0.5" in given.stdout


def test_nothing_feasible_is_no_mean(file: Path) -> None:
    tight = "study.constraints=['latency_ms <= 0']"
    arguments = ("--strategies", "evolution", "--set", tight, "--format", "json")
    result = compared(file, *arguments, code=1)
    assert [row["mean"] for row in json.loads(result.stdout)] == [None, None]
    assert "10 of 10 runs of evolution had found nothing" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--strategies", "evolutoin"], 'did you mean "evolution"?'),
        (["--strategies", ""], "expected names joined by commas"),
        (["--strategies", "random,,evolution"], "expected names joined by commas"),
        (["--strategies", "evolution:population=0"], "population: expected an integer >= 1, got 0"),
        (["--strategies", "evolution:popluation=9"], 'did you mean "population"?'),
        (["--strategies", "evolution:population"], "expected option=value"),
        (["--strategies", "random:speed=2"], "it takes no options"),
        (["--strategies", "fakes.picky"], "fakes.picky"),
        (["--strategies", "fakes.refuses"], 'fakes.refuses": [strategy] several objectives'),
        (["--strategies", "random", "--trials", "0"], "--trials"),
        (["--strategies", "random", "--seeds", "0"], "--seeds"),
        (["--strategies", "random", "--workers", "0"], "--workers"),
        (["--strategies", "random", "--at", "0,5"], "--at: expected integers from 1 to 12"),
        (["--strategies", "random", "--at", "13"], "--at: expected integers from 1 to 12"),
        (["--strategies", "random", "--at", "many"], "--at: expected integers from 1 to 12"),
        (["--strategies", "random", "--reference", "val_accuracy=0"], "the study has one"),
        (["--strategies", "random", "--reference", "val_accuracy"], "--reference: expected"),
        (
            ["--strategies", "random", "--set", TWO, "--reference", "val_accuracy=0"],
            "no value for latency_ms; expected --reference val_accuracy=VALUE,latency_ms=VALUE",
        ),
        (
            ["--strategies", "random", "--set", TWO, "--reference", "val_acuracy=0,latency_ms=1"],
            'did you mean "val_accuracy"?',
        ),
        (
            [
                "--strategies",
                "random",
                "--set",
                TWO,
                "--reference",
                "val_accuracy=nan,latency_ms=1",
            ],
            "expected finite values",
        ),
        (["--strategies", "random", "--set", "study.objectives={val_auc='maximize'}"], "val_auc"),
        (["--strategies", "random", "--set", "study.start=[{a=0}]"], "study.start=[]"),
        (["--strategies", "random", "--set", "halving.epochs=[1]"], "[halving]"),
        (["--strategies", "random", "--storage", "nas.db"], "database URL"),
        (["--seeds", "3"], "--strategies"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_run(
    arguments: list[str], part: str, file: Path
) -> None:
    result = compared(file, *arguments, code=2)
    assert part in result.stderr
    assert result.stdout == ""
    assert "runs" not in result.stderr


def test_several_objectives_need_a_point(tmp_path: Path) -> None:
    """What is measured here has no point of its own; the message says what to give."""
    file = tmp_path / "fake.toml"
    file.write_text(
        STUDY.replace("fakes.table", "fakes.evaluator").replace(
            '{ val_accuracy = "maximize" }', '{ val_accuracy = "maximize", params = "minimize" }'
        )
        + '[dataset]\nname = "fakes.graph"\n'
    )
    result = compared(file, "--strategies", "nsga2", code=2)
    assert "--reference val_accuracy=VALUE,params=VALUE" in result.stderr
    point = ["--reference", "val_accuracy=0,params=100"]
    rows = json.loads(
        compared(file, "--strategies", "nsga2", *point, "--format", "json", "--seeds", "2").stdout
    )
    assert all(row["mean"] > 0 for row in rows)


def test_trials_are_needed(file: Path) -> None:
    file.write_text(STUDY.replace("trials = 12", "seconds = 3"))
    assert "[budget] trials" in compared(file, "--strategies", "random", code=2).stderr
    compared(file, "--strategies", "random", "--trials", "3", "--seeds", "1")


def test_failing_candidates_are_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "fake.toml"
    failing = 'fakes.evaluator"\nfail_when_a_is = [0, 1]\n'
    file.write_text(STUDY.replace('fakes.table"', failing) + '[dataset]\nname = "fakes.graph"\n')
    result = compared(file, "--strategies", "evolution", code=1)
    assert "error: the first 10 candidates of random with seed 0 failed" in result.stderr


def test_at_needs_a_number_of_trials(file: Path) -> None:
    """It is the number that is missing, and not `--at` that is wrong."""
    file.write_text(STUDY.replace("trials = 12", "seconds = 9"))
    result = compared(file, "--strategies", "nsga2", "--at", "5", code=2)
    assert "[budget] trials: missing" in result.stderr


@pytest.mark.parametrize("two", [(), ("--set", TWO)])
def test_nothing_feasible_at_all_is_a_failure(file: Path, two: tuple[str, ...]) -> None:
    """A bound that one of 32 keeps, which three trials do not meet; with all of them they do."""
    values = sorted(worth(a, "latency_ms") for a in set_up(load_spec(file), Path()).space)
    bound = ("--set", f'study.constraints=["latency_ms <= {values[0]}"]', *two)
    arguments = ("--strategies", "nsga2", "--seeds", "1", *bound, "--trials")
    result = compared(file, *arguments, "1", code=1)
    counted = "their hypervolume is 0" if two else "no mean"
    assert f"feasible after 1 evaluations: {counted}" in result.stderr
    compared(file, *arguments, "32")
