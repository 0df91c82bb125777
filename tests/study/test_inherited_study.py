"""Studies whose candidates are slices: refused where they cannot be, else done and recorded."""

from pathlib import Path
from typing import Any

import pytest
from fakes.studies import fake_spec

from nas.confirm import confirm
from nas.spec import SpecError, StudySpec
from nas.store import Store
from nas.study import resume, search

SPACE = {"name": "gnn", "depth": [1, 2], "operators": ["gcn", "linear"], "width": [4, 8]}
INHERITED = {"name": "inherited", "epochs": 2, "steps": 1, "subnets": 2, "samples": 10}


def spec(trials: int = 3, **tables: Any) -> StudySpec:
    whole = {"space": SPACE, "evaluator": INHERITED, **tables}
    study = {"objectives": {"val_accuracy_foreseen": "maximize"}}
    return fake_spec(trials, study=study, **whole)


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ({"operators": ["gcn", "skip"]}, 'layer0.operator: "skip" leaves a layer out'),
        ({"lr": [0.1, 0.01]}, "train.lr: all architectures of a supernet are trained together"),
        ({"operators": ["gcn", "fakes.unsliced"]}, 'layer0.operator: "fakes.unsliced": twice has'),
        ({"name": "fakes.space"}, 'the space "fake" has no slices; use name = "gnn"'),
    ],
    ids=lambda given: str(given)[:30],
)
def test_a_space_without_a_supernet_is_refused_before_anything_is_stored(
    space: dict[str, Any], says: str, storage: str
) -> None:
    """By the decision, and where it stands."""
    asked = {"name": space["name"]} if "name" in space else {**SPACE, **space}
    with pytest.raises(SpecError) as refused:
        search(spec(space=asked), storage=storage, data_root=Path(), where="mine.toml")
    assert str(refused.value).startswith("mine.toml: [evaluator] its preparation supernet: ")
    assert says in str(refused.value)
    assert Store(storage).studies() == []


def test_all_trials_are_slices_of_one_supernet(storage: str) -> None:
    """Trained once, before the first; a study that goes on has the numbers of one at once."""
    search(spec(3), storage=storage, data_root=Path())
    resume("fake", storage=storage, data_root=Path(), trials=6)
    store = Store(storage)
    (prepared,) = store.status("fake").preparations
    assert (prepared.plugin, prepared.epoch, prepared.epochs) == ("supernet", 2, 2)
    trials = store.trials("fake")
    assert [trial.state for trial in trials] == ["complete"] * 6
    assert all("val_accuracy" in trial.metrics for trial in trials)
    other = f"{storage}.other"
    search(spec(6), storage=other, data_root=Path())
    assert [dict(t.metrics) for t in Store(other).trials("fake")] == [
        dict(t.metrics) for t in trials
    ]
    assert len({tuple(sorted(t.metrics.items())) for t in trials}) > 1


@pytest.mark.parametrize("ending", ["", "_foreseen", "_read_out"])
def test_confirmed_trials_are_ranked_by_what_was_foretold(ending: str, storage: str) -> None:
    """By accuracy after training alone on fresh seeds, and not by what slices had promised."""
    objectives = {f"val_accuracy{ending}": "maximize"}
    alone = {**INHERITED, "alone_epochs": 3}
    whole = {"space": SPACE, "evaluator": alone, "study": {"objectives": objectives}}
    search(fake_spec(3, **whole), storage=storage, data_root=Path())
    ranked = confirm("fake", storage=storage, data_root=Path(), top=3, seeds=2)
    fresh = [one.metrics["val_accuracy"]["mean"] for one in ranked]
    assert len(fresh) > 1
    assert fresh == sorted(fresh, reverse=True)
    assert all(one.metrics["val_accuracy"]["n"] == 2 for one in ranked)
