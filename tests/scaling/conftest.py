"""A study on a planted surface: accuracy is a function of depth and width, macs are measured."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes.surface import accuracy

from nas.scaling.points import Point
from nas.setting_up import set_up
from nas.setup import Setup
from nas.spec import spec_from_mapping
from search_spaces import Architecture

DEPTHS, WIDTHS = range(1, 9), (4, 8, 16, 32, 64, 128, 256)
SPACE = {
    "depth": list(DEPTHS),
    "operators": ["gcn"],
    "width": list(WIDTHS),
    "activation": ["relu"],
    "normalization": ["none"],
    "connectivity": ["plain"],
    "pre_layers": [0],
    "post_layers": [0],
    "output": ["linear"],
}


def tables(**space: Any) -> dict[str, Any]:
    return {
        "study": {
            "name": "surface",
            "objectives": {"val_accuracy": "maximize", "macs": "minimize"},
        },
        "space": {**SPACE, **space},
        "dataset": {"name": "digits_knn"},
        "strategy": {"name": "random"},
        "evaluator": {"name": "fakes.surface"},
        "budget": {"trials": 40},
    }


def set_up_with(**space: Any) -> Setup:
    return set_up(spec_from_mapping(tables(**space)), Path("data"))


def even(setup: Setup, depth: int, width: int, **choices: Any) -> Architecture:
    """Equal layers, and the first choice of everything else."""
    widths = {f"layer{i}.width": width for i in range(depth)}
    given = {"depth": depth, **widths, **choices}
    return setup.space.fill(lambda decision: decision.choices[0], given)


@pytest.fixture(scope="session")
def surface() -> Setup:
    return set_up_with()


@pytest.fixture(scope="session")
def points(surface: Setup) -> Sequence[Point]:
    """Every depth with every width."""
    made = [even(surface, depth, width) for depth in DEPTHS for width in WIDTHS]
    return [Point(i, surface.facts(a)["macs"], -accuracy(a), a) for i, a in enumerate(made)]
