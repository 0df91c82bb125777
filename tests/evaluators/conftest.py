"""What these tests share: small graphs, a store, and jobs over them."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Worker processes take over this path, and import the tests' spaces by their module's name.
sys.path.insert(0, str(Path(__file__).parent))

import tiny

from evaluators import artifacts
from evaluators.datasets._base import Dataset, save_sealed
from evaluators.values import Job
from search_spaces.plugins import Plugin


@pytest.fixture
def store(tmp_path: Path) -> str:
    return artifacts.store_url(tmp_path / "artifacts")


@pytest.fixture
def make_job(store: str) -> Callable[..., Job]:
    """A job over a dataset; `options` are the evaluator's."""

    def make(
        dataset: Dataset,
        kind: str = "gcn",
        until_epoch: int = 6,
        options: dict[str, Any] | None = None,
        seed: int = 3,
        **fields: Any,
    ) -> Job:
        sealed = save_sealed(dataset.seal(), store)
        architecture = tiny.SPACE.architecture({"kind": kind, "width": 8})
        evaluator = Plugin("training", {"epochs": 6} | (options or {}))
        return Job(architecture, tiny.SPACE, evaluator, sealed, store, seed, until_epoch, **fields)

    return make
