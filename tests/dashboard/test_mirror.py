"""The studies of a database, as Optuna sees them, are what the record says."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from nas.dashboard.mirror import Mirror, MirrorError
from nas.store import Store

from .conftest import Watched

STATES = {
    "complete": TrialState.COMPLETE,
    "infeasible": TrialState.PRUNED,  # it was not trained
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


@pytest.fixture(scope="module")
def mirror(watched: Watched) -> Mirror:
    return Mirror(Store.open_existing(watched.storage))


def test_trials_are_those_of_the_record(watched: Watched, mirror: Mirror) -> None:
    """States, choices, values, rungs, metrics and bounds, trial by trial."""
    store = Store.open_existing(watched.storage)
    records = store.trials("watched")
    trials = mirror.get_all_trials(mirror.get_study_id_from_name("watched"))
    assert [trial.number for trial in trials] == [record.number for record in records]
    assert {"complete", "pruned", "infeasible"} <= Counter(r.state for r in records).keys()
    for trial, record in zip(trials, records, strict=True):
        assert trial.state == STATES[record.state]
        assert record.architecture is not None
        assert trial.params == dict(record.architecture.choices)
        rungs = store.evaluations("watched", record.number)
        measured = {rung["epoch"]: rung["metrics"]["val_accuracy"] for rung in rungs}
        assert trial.intermediate_values == measured
        assert trial.user_attrs["macs"] == record.metrics["macs"]
        assert trial.user_attrs["state"] == record.state
        assert trial.system_attrs == {"constraints": [record.violation]}
        assert trial.duration is not None
        if trial.state == TrialState.COMPLETE:
            assert trial.values == [record.metrics[m] for m in ("val_accuracy", "params")]
    assert mirror.get_trial(trials[3]._trial_id) == trials[3]


def test_a_study_has_its_objectives(mirror: Mirror) -> None:
    """In their order, with their directions and names."""
    (study,) = mirror.get_all_studies()
    assert study.study_name == "watched"
    assert study.directions == [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    assert study.system_attrs["study:metric_names"] == ["val_accuracy", "params"]
    assert study.user_attrs == {
        "space": "gnn",
        "dataset": "digits_knn",
        "strategy": "random",
        "evaluator": "training",
    }
    assert mirror.get_study_directions(study._study_id) == study.directions


def test_what_has_ended_is_read_once(watched: Watched) -> None:
    """A fold: what is known stays the same object; what is new is added."""
    now = 0.0
    mirror = Mirror(Store.open_existing(watched.storage), clock=lambda: now)
    first = mirror.get_all_trials(1, deepcopy=False)
    now = 10.0
    again = mirror.get_all_trials(1, deepcopy=False)
    assert all(old is new for old, new in zip(first, again, strict=True))


def test_studies_come_and_go(watched: Watched, tmp_path: Path) -> None:
    """One that is imported is there, one that is deleted is gone, and a renamed one is renamed."""
    lines = tmp_path / "lines.jsonl"
    watched.nas("storage", "export", "watched", "--to", str(lines))
    other = Watched(tmp_path)
    other.nas("storage", "import", str(lines), "--name", "first")
    now = 0.0
    mirror = Mirror(Store.open_existing(other.storage), clock=lambda: now)
    assert [study.study_name for study in mirror.get_all_studies()] == ["first"]
    assert len(mirror.get_all_trials(1)) == 8
    other.nas("rename", "first", "second")
    other.nas("storage", "import", str(lines), "--name", "first")
    now = 10.0
    assert {study.study_name for study in mirror.get_all_studies()} == {"first", "second"}
    assert len(mirror.get_all_trials(mirror.get_study_id_from_name("first"))) == 8
    other.nas("delete", "second", "--yes")
    now = 20.0
    assert [study.study_name for study in mirror.get_all_studies()] == ["first"]


def test_nothing_of_it_can_be_written(watched: Watched, mirror: Mirror) -> None:
    """Every method of a storage that writes refuses; the file is what it was."""
    file = watched.folder / "nas.db"
    before = hashlib.sha256(file.read_bytes()).digest()
    writing = [n for n in BaseStorage.__abstractmethods__ if n.startswith(("set", "cre", "del"))]
    assert len(writing) == 10
    for name in writing:
        with pytest.raises(MirrorError, match="nothing can be changed"):
            getattr(mirror, name)()
    mirror.get_all_trials(1)
    assert hashlib.sha256(file.read_bytes()).digest() == before
