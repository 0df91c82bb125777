"""Studies that train nothing: confirmed and exported by training, and ranked by `nas rank`."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fakes.studies import fake_spec

from nas.candidate import candidate
from nas.cli import main
from nas.confirm import confirm
from nas.ranking import ProxyRanking, rank
from nas.spec import StudySpec
from nas.store import Store
from nas.study import search
from nas.supernet._agreement import agreement
from search_spaces import UsageError

SPACE = {
    "name": "gnn",
    "depth": [1, 2],
    "operators": ["gcn", "linear"],
    "width": [4, 8],
    "connectivity": ["plain"],
}
EVALUATOR = {"name": "zero_cost", "alone_epochs": 3}


def spec(trials: int = 3, dataset: str = "fakes.graph", **evaluator: Any) -> StudySpec:
    return fake_spec(
        trials,
        study={"objectives": {"val_accuracy_zero_cost": "maximize"}},
        space=SPACE,
        dataset={"name": dataset},
        evaluator={**EVALUATOR, **evaluator},
    )


def ranked(storage: str, **given: Any) -> ProxyRanking:
    wanted = {"architectures": 10, "seeds": 2, **given}
    return rank("fake", storage=storage, data_root=Path(), **wanted)


def test_confirmed_trials_are_ranked_by_accuracy(storage: str) -> None:
    """After training on fresh seeds, and not by what their scores had promised."""
    asked = spec(4, "fakes.product", score="gradient_norm", alone_epochs=10)
    search(asked, storage=storage, data_root=Path())
    assert all(trial.artifact is None for trial in Store(storage).trials("fake"))
    found = confirm("fake", storage=storage, data_root=Path(), top=4, seeds=2)
    fresh = [one.metrics["val_accuracy"]["mean"] for one in found]
    assert fresh == sorted(fresh, reverse=True)
    assert len(set(fresh)) > 1
    promised = {t.number: t.metrics["gradient_norm"] for t in Store(storage).trials("fake")}
    by_promise = sorted(promised, key=lambda number: -promised[number])
    assert [one.trial for one in found] != by_promise, "the order of both shows nothing"


def test_what_leaves_is_trained(storage: str) -> None:
    """For `alone_epochs`, as its metrics say."""
    search(spec(), storage=storage, data_root=Path())
    best = candidate("fake", "best", storage=storage, data_root=Path())
    assert best.retrained
    assert 1 <= best.metrics["best_epoch"] <= 3
    assert "synflow" not in best.metrics


def test_scores_are_ranked_beside_sizes_and_a_ceiling(storage: str) -> None:
    """By seeds that are not the study's, in studies of their own; repeated, nothing is trained."""
    search(spec(), storage=storage, data_root=Path())
    ranking = ranked(storage)
    assert [one.measure for one in ranking.agreements] == [
        "val_accuracy_zero_cost",
        "val_accuracy_read_out",
        "synflow",
        "snip",
        "grasp",
        "gradient_norm",
        "params",
        "macs",
        "ceiling",
    ]
    store = Store(storage)
    assert {s.name for s in store.studies()} == {"fake", "fake-alone-1", "fake-alone-2"}
    trials = [
        {
            t.architecture.key: t.metrics
            for t in store.trials(f"fake-alone-{seed}")
            if t.architecture
        }
        for seed in (1, 2)
    ]
    assert len(trials[0]) == 10
    means = {
        k: (one["val_accuracy"] + trials[1][k]["val_accuracy"]) / 2 for k, one in trials[0].items()
    }
    params = agreement("params", [trials[0][key]["params"] for key in means], list(means.values()))
    assert next(a for a in ranking.agreements if a.measure == "params").kendall == params.kendall
    seconds = store.status("fake-alone-1").seconds
    shown = invoked(storage, "--format", "json")
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout) == ranking.to_json()
    assert store.status("fake-alone-1").seconds == seconds
    table = invoked(storage).stdout
    assert "does not rank" in table
    assert "10 of 10 architectures, trained for 3 epochs with 2 seeds; by val_accuracy" in table


def invoked(storage: str, *arguments: str) -> Result:
    few = ("--architectures", "10", "--seeds", "2", "--storage", storage)
    return CliRunner().invoke(main, ["rank", "fake", *few, *arguments])


def test_what_cannot_be_ranked_is_refused(storage: str) -> None:
    """Too few; an evaluator that trains, or has a supernet, for which there is another command."""
    search(spec(), storage=storage, data_root=Path())
    for few in ({"architectures": 9}, {"seeds": 1}):
        with pytest.raises(UsageError, match="expected 10 architectures and 2 seeds or more"):
            ranked(storage, **few)


@pytest.mark.parametrize(
    ("evaluator", "says"),
    [
        ({"name": "training", "epochs": 1}, 'the evaluator "training", which foretells nothing'),
        (
            {"name": "inherited", "epochs": 1, "steps": 1, "samples": 10},
            "ranked by: nas supernet rank fake",
        ),
    ],
)
def test_evaluators_of_other_kinds_are_refused(
    evaluator: dict[str, Any], says: str, storage: str
) -> None:
    """With what to do instead."""
    search(fake_spec(1, space=SPACE, evaluator=evaluator), storage=storage, data_root=Path())
    with pytest.raises(UsageError, match=says):
        ranked(storage)
