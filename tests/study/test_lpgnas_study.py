"""Studies over architecture and bits: by what learns both, and by every other kind of strategy."""

import math
from pathlib import Path
from typing import Any

import pytest
from fakes.studies import fake_spec

from nas._options import freeze
from nas.spec import SpecError, StudySpec
from nas.store import Store
from nas.study import resume, search
from search_spaces.plugins import Plugin

SPACE = {
    "name": "gnn",
    "depth": [1, 2],
    "operators": ["gcn", "linear"],
    "width": [4, 8, 16],
    "activation": ["relu"],
    "normalization": ["none"],
    "connectivity": ["plain"],
    "pre_layers": [0],
    "post_layers": [0],
    "output": ["linear"],
}
BITS = {"quantization": {"weight_bits": [2, 4, 8], "activation_bits": [4, 8], "per_layer": True}}
# So many epochs of the relaxed network, of which the decisions learn some.
LPGNAS = {"epochs": 6, "steps": 2, "architecture_lr": 0.1}


def spec(strategy: str, trials: int, cost: str | None = "model_bytes", **options: Any) -> StudySpec:
    objectives = {"val_accuracy": "maximize", **({} if cost is None else {cost: "minimize"})}
    made = fake_spec(
        trials,
        study={"objectives": objectives},
        space=SPACE,
        extension=BITS,
        evaluator={"name": "training", "epochs": 2},
    )
    return made.model_copy(update={"strategy": Plugin(strategy, freeze(options))})


@pytest.mark.parametrize("cost", ["model_bytes", "bit_operations"])
def test_a_front_is_traced(cost: str, storage: str) -> None:
    """Each trial costs about what its proposal aimed at, by the record's own count."""
    search(spec("lpgnas", 6, cost, **LPGNAS), storage=storage, data_root=Path())
    first, *others = Store(storage).trials("fake")
    assert first.note["phase"] == "most probable"
    (prepared,) = Store(storage).status("fake").preparations
    last = Store(storage).prepared_epochs("fake", prepared.key)[-1].metrics
    assert last["most_probable_cost"] == pytest.approx(first.metrics[cost], rel=1e-3)
    aims = [float(t.note["aim"] or 0) for t in others]
    assert len({t.architecture.key for t in (first, *others)}) == 1 + len(others)
    assert len(set(aims)) == len(aims)
    away = [abs(math.log(t.metrics[cost] / aim)) for t, aim in zip(others, aims, strict=True)]
    assert max(away) < 0.15
    assert math.log(max(aims) / min(aims)) > 1


def test_it_goes_on_as_if_it_had_not_stopped(storage: str) -> None:
    """Proposals and notes of a study that was resumed; of another weight there are others."""
    search(spec("lpgnas", 2, **LPGNAS), storage=storage, data_root=Path())
    resume("fake", storage=storage, data_root=Path(), trials=4)
    other, third = f"{storage}.other", f"{storage}.third"
    search(spec("lpgnas", 4, **LPGNAS), storage=other, data_root=Path())
    search(spec("lpgnas", 4, cost_weight=9.0, **LPGNAS), storage=third, data_root=Path())
    told = [
        [(t.architecture and t.architecture.key, dict(t.note)) for t in Store(at).trials("fake")]
        for at in (storage, other, third)
    ]
    assert told[0] == told[1] != told[2]


def test_what_cannot_be_learned_is_refused_before_anything_is_stored(storage: str) -> None:
    """Scales that each network learns for itself."""
    made = spec("lpgnas", 2)
    (extension,) = made.extension
    learned = Plugin("quantization", freeze({**extension.options, "scales": ["learned"]}))
    made = made.model_copy(update={"extension": (learned,)})
    with pytest.raises(SpecError, match=r'quantization.scales: with "learned" .* leave it out'):
        search(made, storage=storage, data_root=Path())
    assert Store(storage).studies() == []


@pytest.mark.parametrize(
    ("strategy", "cost", "options"),
    [
        ("random", "model_bytes", {}),
        ("evolution", None, {"population": 3, "sample": 2}),
        ("nsga2", "bit_operations", {"population": 3}),
        ("tpe", "buffer_bytes", {}),
        ("reinforce", None, {}),
        ("linas", "model_bytes", {}),
        ("darts", None, {"epochs": 1, "steps": 1}),
    ],
)
def test_other_strategies_search_bits_too(
    strategy: str, cost: str | None, options: dict[str, Any], storage: str
) -> None:
    """Their trials are of several formats, each counted for itself."""
    search(spec(strategy, 5, cost, **options), storage=storage, data_root=Path())
    trials = Store(storage).trials("fake")
    assert [t.state for t in trials] == ["complete"] * 5
    chosen = [t.architecture.choices for t in trials if t.architecture]
    formats = {c["quantization.layer0.weight_bits"] for c in chosen}
    assert len(formats) > 1
    assert len({t.metrics["model_bytes"] for t in trials}) > 1
    assert all(t.metrics["bit_operations"] <= 64 * t.metrics["macs"] for t in trials)
