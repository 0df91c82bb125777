"""Whole studies whose networks grow: what the record says, resumed and retrained exactly."""

from pathlib import Path
from typing import Any

import pytest
from fakes.studies import fake_spec

from evaluators import Artifact, artifacts
from evaluators.checkpoint import best_weights
from nas._options import freeze
from nas.candidate import candidate
from nas.spec import SpecError, StudySpec
from nas.store import Store
from nas.study import resume, search
from search_spaces.plugins import Plugin

SPACE = {
    "name": "gnn",
    "depth": [1, 2],
    "operators": ["sage"],
    "width": [4, 8, 16, 32],
    "activation": ["relu"],
    "aggregation": ["mean"],
    "connectivity": ["plain", "dense"],
    "normalization": ["none", "batch"],
    "pre_layers": [0],
    "post_layers": [0],
}
STRATEGIES: dict[str, dict[str, Any]] = {
    "transformation": {"starts": 3},
    "evolution": {"population": 3, "sample": 2, "inherit": "morphism"},
}
each = pytest.mark.parametrize("strategy", sorted(STRATEGIES))


def spec(strategy: str, trials: int, **tables: Any) -> StudySpec:
    whole: dict[str, Any] = {
        "space": SPACE,
        "evaluator": {"name": "training", "epochs": 3},
        **tables,
    }
    chosen = Plugin(strategy, freeze(STRATEGIES[strategy]))
    return fake_spec(trials, **whole).model_copy(update={"strategy": chosen})


def told(store: Store) -> list[tuple[Any, ...]]:
    """All of the trials but times."""
    return [
        (
            t.number,
            t.architecture,
            t.inherit,
            t.inherit_by,
            dict(t.note),
            {k: v for k, v in t.metrics.items() if k != "train_seconds"},
        )
        for t in store.trials("fake")
    ]


@each
def test_the_record_says_what_grew_from_what(strategy: str, storage: str) -> None:
    """A trial that inherits names its parent; one that begins anew beside a parent says why."""
    search(spec(strategy, 16), storage=storage, data_root=Path())
    trials = Store(storage).trials("fake")
    assert {t.state for t in trials} == {"complete"}
    grown = [t for t in trials if t.inherit is not None]
    assert {t.inherit_by for t in grown} == {"morphism"}
    assert all(t.note["parent"] == t.inherit for t in grown)
    anew = [t for t in trials[3:] if t.inherit is None]
    assert all({"new weights", "distinct"} & {*t.note} or t.note["phase"] == "anew" for t in anew)
    assert grown


@each
def test_a_resumed_study_goes_on_as_it_would_have(
    strategy: str, storage: str, tmp_path: Path
) -> None:
    whole = f"sqlite:///{tmp_path / 'whole.db'}"
    search(spec(strategy, 12), storage=whole, data_root=Path())
    search(spec(strategy, 7), storage=storage, data_root=Path())
    resume("fake", storage=storage, data_root=Path(), trials=12)
    assert told(Store(storage)) == told(Store(whole))


def test_weights_that_are_lost_are_made_again(storage: str) -> None:
    """Of a child and of all that it came from; bit for bit."""
    search(spec("transformation", 14), storage=storage, data_root=Path())
    store = Store(storage)
    trials, place = store.trials("fake"), store.artifacts("fake")
    last = max((t for t in trials if t.inherit is not None), key=lambda t: t.number)
    assert last.inherit is not None
    before = best_weights(Artifact(place, str(last.artifact)))
    for trial in trials:
        artifacts.path(Artifact(place, str(trial.artifact))).unlink(missing_ok=True)
    again = candidate("fake", last.number, storage=storage, data_root=Path())
    assert again.retrained
    assert all((again.weights[name] == tensor).all() for name, tensor in before.items())


@each
def test_a_space_without_networks_that_grow_is_refused(strategy: str, storage: str) -> None:
    """Before anything is stored, by the table."""
    tables = {"space": {"name": "fakes.space"}, "evaluator": {"name": "fakes.evaluator"}}
    with pytest.raises(SpecError, match=r'\[strategy\] .*networks that grow, got "fake"; expected'):
        search(spec(strategy, 5, **tables), storage=storage, data_root=Path(), where="mine.toml")
    assert Store(storage).studies() == []
