"""Studies over the fake plug-ins."""

from collections.abc import Mapping
from typing import Any

from nas._options import freeze
from nas.spec import StudySpec, spec_from_mapping
from search_spaces.plugins import Plugin

TWO_OBJECTIVES: Mapping[str, str] = {"val_accuracy": "maximize", "params": "minimize"}
FOR_ONE_OBJECTIVE = (
    "agnn",
    "darts",
    "lpgnas",  # or for one and a cost that it knows
    "pc_darts",
    "reinforce",
    "tas",
    "transformation",
)
# Strategies that train one network before the first trial.
PREPARED = ("darts", "lpgnas", "pc_darts", "tas")
# Strategies that are for spaces of networks, and the space that stands for the one without.
IN_PLACE: Mapping[str, str] = {
    "transformation": "fakes.networks",
    **dict.fromkeys(PREPARED, "fakes.relaxed"),
}
SMALL_POPULATION: Mapping[str, Mapping[str, int]] = {
    "evolution": {"population": 6, "sample": 3},
    "nsga2": {"population": 6},
    "transformation": {"starts": 4},
    "darts": {"epochs": 1, "steps": 1},
    "lpgnas": {"epochs": 1, "steps": 1},
    "pc_darts": {"epochs": 1, "steps": 1, "channel_parts": 2},
    "tas": {"epochs": 1, "steps": 1, "target": 0.3, "tolerance": 0.9},
}


def fake_spec(trials: int | None = 12, strategy: str = "random", **tables: Any) -> StudySpec:
    """A study over `tests/outside/fakes`; keyword arguments are merged into its tables.

    Its trials are proposed one by one, also by strategies that would rather have batches.
    """
    spec: dict[str, dict[str, Any]] = {
        "study": {"name": "fake", "objectives": {"val_accuracy": "maximize"}, "batch": 1},
        "space": {"name": IN_PLACE.get(strategy, "fakes.space")},
        "dataset": {"name": "fakes.graph"},
        "strategy": {"name": strategy, **SMALL_POPULATION.get(strategy, {})},
        "evaluator": {"name": "fakes.evaluator"},
        "budget": {} if trials is None else {"trials": trials},
        "executor": {"name": "inline"},
    }
    for table, content in tables.items():
        spec[table] = {**spec.get(table, {}), **content}
    return spec_from_mapping(spec, "a test")


def preparing_spec(trials: int | None = 4, name: str = "fake", **tables: Any) -> StudySpec:
    """A study with the strategy `fakes.preparing`; the table `strategy` has its options.

    `says` are the options of what it prepares.
    """
    options = {"epochs": 6, "says": tables.pop("says", {}), **tables.pop("strategy", {})}
    tables["study"] = {"name": name, **tables.get("study", {})}
    spec = fake_spec(trials, "fakes.preparing", **tables)
    return spec.model_copy(update={"strategy": Plugin("fakes.preparing", freeze(options))})
