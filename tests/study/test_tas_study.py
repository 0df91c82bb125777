"""Studies by the strategy `tas`: what is proposed is in the band, and what cannot be is refused."""

from pathlib import Path
from typing import Any

import pytest
from fakes.studies import fake_spec

from evaluators.datasets import load
from evaluators.facts import facts
from nas._options import freeze
from nas.spec import SpecError, StudySpec
from nas.store import Store
from nas.strategies import Objective, Problem, StrategyError
from nas.strategies.tas import build
from nas.study import resume, search
from search_spaces import Architecture, SearchSpace, UsageError, plugins
from search_spaces.plugins import Plugin

SPACE = {
    "name": "gnn",
    "depth": [1, 2],
    "operators": ["gcn"],
    "width": [4, 6, 8, 10, 12, 14, 16],
    "activation": ["relu"],
    "normalization": ["none"],
    "connectivity": ["plain"],
    "pre_layers": [0],
    "post_layers": [0],
    "output": ["linear"],
}
TAS = {"epochs": 12, "steps": 3, "architecture_lr": 0.1, "target": 0.6, "tolerance": 0.2}
TRAINING = {"name": "training", "epochs": 2}


def spec(trials: int = 5, evaluator: dict[str, Any] = TRAINING, **options: Any) -> StudySpec:
    made = fake_spec(trials, space=SPACE, evaluator=evaluator)
    return made.model_copy(update={"strategy": Plugin("tas", freeze({**TAS, **options}))})


def largest() -> float:
    """What the largest network costs."""
    task = load(Plugin("fakes.graph"), Path()).task
    options = {name: value for name, value in SPACE.items() if name != "name"}
    space: SearchSpace = plugins.load("space", "gnn").build(task, **options)
    return facts(space, space.fill(lambda d: d.choices[-1]), task)["macs"]


def test_trials_are_of_the_band(storage: str) -> None:
    """The most probable first, then draws; with the cost of no account the first is outside."""
    search(spec(), storage=storage, data_root=Path())
    trials = Store(storage).trials("fake")
    assert [t.note["phase"] for t in trials] == ["most probable", *["drawn"] * (len(trials) - 1)]
    shares = [t.metrics["macs"] / largest() for t in trials]
    inside = [0.6 * 0.8 <= share <= 0.6 for share in shares]
    own = ["distinct" not in t.note for t in trials]
    assert [one for one, mine in zip(inside, own, strict=True) if mine] == [
        str(t.note["band"]).startswith("inside ")
        for t, mine in zip(trials, own, strict=True)
        if mine
    ]
    assert inside[0]
    assert trials[0].note["macs"] == trials[0].metrics["macs"]
    assert sum(inside) > len(trials) / 2
    (prepared,) = Store(storage).status("fake").preparations
    last = Store(storage).prepared_epochs("fake", prepared.key)[-1].metrics
    assert last["most_probable_cost"] / largest() == pytest.approx(shares[0])
    other = f"{storage}.other"
    search(spec(1, cost_weight=0.0, start="largest"), storage=other, data_root=Path())
    (first,) = Store(other).trials("fake")
    assert not 0.6 * 0.8 <= first.metrics["macs"] / largest() <= 0.6
    assert str(first.note["band"]).startswith("outside ")


def test_a_study_that_goes_on_is_one_at_once(storage: str) -> None:
    """Proposals and notes; it is prepared once, and another target is another study."""
    search(spec(2), storage=storage, data_root=Path())
    resume("fake", storage=storage, data_root=Path(), trials=5)
    assert len(Store(storage).status("fake").preparations) == 1
    other, third = f"{storage}.other", f"{storage}.third"
    search(spec(5), storage=other, data_root=Path())
    search(spec(5, target=1.0), storage=third, data_root=Path())
    keys = [
        [(t.architecture and t.architecture.key, dict(t.note)) for t in Store(at).trials("fake")]
        for at in (storage, other, third)
    ]
    assert keys[0] == keys[1] != keys[2]


def test_with_transfer_the_networks_found_learn_of_the_unpruned_one(storage: str) -> None:
    """Two preparations, of the evaluator and of the strategy."""
    transfer = {"name": "transfer", "epochs": 2, "teacher_epochs": 3}
    search(spec(2, transfer), storage=storage, data_root=Path())
    prepared = Store(storage).status("fake").preparations
    assert {(one.plugin, one.epoch) for one in prepared} == {("tas", 12), ("teacher", 3)}
    assert [t.state for t in Store(storage).trials("fake")] == ["complete"] * 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"cost": "latency_ms"},
            r'cost: "latency_ms" is not known .* give the study a \[latency\]',
        ),
        ({"target_cost": 10.0}, "target: no network costs from .* the smallest .* change target"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_stored(
    options: dict[str, Any], says: str, storage: str
) -> None:
    """By what is to be changed."""
    with pytest.raises(SpecError, match=says):
        search(spec(**options), storage=storage, data_root=Path())
    assert Store(storage).studies() == []


def test_what_is_not_known_without_training_is_no_cost() -> None:
    """Nor can what is known be the objective."""
    from nas.contracts.planted import networks

    def problem(objective: str, *known: str) -> Problem:
        facts = dict.fromkeys(known, 1.0)
        objectives = (Objective(objective, "maximize"),)
        return Problem(networks(), objectives, 0, known=known, facts=lambda _: facts)

    with pytest.raises(StrategyError, match=r'cost: "params" is not known .* known are macs'):
        build(problem("val_accuracy", "macs"), cost="params")
    with pytest.raises(UsageError, match="got the objective macs, which is known"):
        build(problem("macs", "macs"))
    assert build(problem("val_accuracy", "macs")).high == 0.5


def test_the_target_is_of_what_costs_most() -> None:
    """Whichever operator is named first; without what is no scale it would be of another."""
    from nas.contracts.planted import networks

    def high(*operators: str) -> float:
        space = networks(operators=operators, hops=None, lr=None, dropout=None)
        costs = {"gcn": 1.0, "sage": 3.0, "linear": 2.0}

        def facts(architecture: Architecture) -> dict[str, float]:
            return {"macs": costs[str(architecture.choices["layer0.operator"])]}

        objectives = (Objective("val_accuracy", "maximize"),)
        return build(Problem(space, objectives, 0, known=("macs",), facts=facts)).high

    assert high("gcn", "sage", "linear") == high("linear", "gcn", "sage") == 1.5
    assert high("gcn", "linear") == 1.0
