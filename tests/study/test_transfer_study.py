"""Studies whose candidates learn of a teacher: one teacher for all, in confirmation too."""

from pathlib import Path
from typing import Any

import pytest
from fakes.studies import fake_spec

from nas.candidate import candidate
from nas.confirm import confirm
from nas.spec import SpecError, StudySpec
from nas.store import Store
from nas.study import resume, search

SPACE = {"name": "gnn", "depth": [1, 2], "operators": ["gcn", "linear"], "width": [4, 8]}
TRANSFER = {"name": "transfer", "epochs": 4, "teacher_epochs": 6, "lr": 0.05}


def spec(trials: int = 3, **options: Any) -> StudySpec:
    return fake_spec(trials, space=SPACE, evaluator={**TRANSFER, **options})


def metrics(storage: str) -> list[dict[str, float]]:
    return [
        {name: v for name, v in trial.metrics.items() if not name.endswith("_seconds")}
        for trial in Store(storage).trials("fake")
    ]


def test_the_teacher_is_trained_once(storage: str) -> None:
    """Before the first trial; a study that goes on has the numbers of one at once."""
    search(spec(2), storage=storage, data_root=Path())
    resume("fake", storage=storage, data_root=Path(), trials=4)
    (prepared,) = Store(storage).status("fake").preparations
    assert (prepared.plugin, prepared.epoch) == ("teacher", 6)
    other = f"{storage}.other"
    search(spec(4), storage=other, data_root=Path())
    assert metrics(storage) == metrics(other)
    (again,) = Store(other).status("fake").preparations
    assert again.epoch == 6


def test_another_teacher_is_another_result(storage: str) -> None:
    """The control of the above: results of one are not taken for those of the other."""
    search(spec(2), storage=storage, data_root=Path())
    other = f"{storage}.other"
    search(spec(2, teacher={"depth": 1}), storage=other, data_root=Path())
    assert metrics(storage) != metrics(other)


def test_confirmed_and_exported_candidates_have_the_same_teacher(storage: str) -> None:
    """Trained on fresh seeds as in the search, and not as `training` trains; and with weights."""
    search(spec(2), storage=storage, data_root=Path())
    ranked = confirm("fake", storage=storage, data_root=Path(), top=2, seeds=2)
    assert all(one.metrics["test_accuracy"]["n"] == 2 for one in ranked)
    exported = candidate("fake", "best", storage=storage, data_root=Path())
    assert exported.weights
    assert not exported.retrained
    plain = f"{storage}.plain"
    training = {"name": "training", "epochs": 4, "lr": 0.05}
    search(fake_spec(2, space=SPACE, evaluator=training), storage=plain, data_root=Path())
    alone = confirm("fake", storage=plain, data_root=Path(), top=2, seeds=2)
    losses = [{c.trial: c.metrics["val_loss"]["mean"] for c in found} for found in (ranked, alone)]
    assert losses[0].keys() == losses[1].keys()
    assert all(losses[0][trial] != losses[1][trial] for trial in losses[0])
    share_0 = f"{storage}.share"
    search(spec(2, share=0.0), storage=share_0, data_root=Path())
    again = confirm("fake", storage=share_0, data_root=Path(), top=2, seeds=2)
    assert {c.trial: c.metrics["val_loss"]["mean"] for c in again} == losses[1]


def test_a_teacher_outside_the_space_is_refused(storage: str) -> None:
    """Before anything is stored, by its table."""
    with pytest.raises(SpecError, match=r"preparation teacher: teacher: .* expected one of"):
        search(spec(teacher={"depth": 3}), storage=storage, data_root=Path(), where="mine.toml")
    assert Store(storage).studies() == []
