"""The same study through every executor, with one worker: the same record for the same seed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fakes.cluster import RayCluster
from fakes.killed import check_exact
from fakes.studies import fake_spec

from nas.spec import StudySpec
from nas.store import Store
from nas.study import search
from search_spaces import plugins

TRIALS = 8


def _spec(table: Mapping[str, Any], seed: int = 0) -> StudySpec:
    """Real training, of networks that fail too, at two rungs."""
    return fake_spec(
        TRIALS,
        "evolution",
        study={"seed": seed, "objectives": {"val_accuracy": "maximize"}},
        space={"name": "fakes.space", "kinds": ["plain", "wide", "broken"]},
        evaluator={"name": "training", "epochs": 9, "seeds": 2},
        halving={"epochs": [3], "reduction": 2},
        executor=dict(table),
    )


def _table(name: str, tmp_path: Path, cluster: RayCluster | None) -> dict[str, Any]:
    table: dict[str, Any] = {"name": name}
    if cluster is not None:
        table |= {"address": cluster.address, "num_cpus": 0.5}
    if name == "ray_tune":
        table |= {"results": str(tmp_path / "tune"), "loggers": []}
    return table


def _told(storage: str) -> list[tuple[Any, ...]]:
    """All that is recorded but times, and what depends on them."""
    store = Store(storage)
    told = []
    for trial in store.trials("fake"):
        rungs = [
            (row["epoch"], {k: v for k, v in row["metrics"].items() if k != "train_seconds"})
            for row in store.evaluations("fake", trial.number)
        ]
        kind = (trial.failure or {}).get("kind")
        told.append((trial.number, trial.seq, trial.state, trial.architecture, kind, rungs))
    return told


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    storage = f"sqlite:///{tmp_path_factory.mktemp('reference') / 'nas.db'}"
    search(_spec({"name": "inline"}), storage=storage, data_root=Path())
    told = _told(storage)
    assert {state for _, _, state, *_ in told} >= {"complete", "pruned", "failed"}
    return told


@pytest.mark.parametrize("name", plugins.names("executor"))
def test_the_record_is_the_same(
    name: str,
    reference: list[tuple[Any, ...]],
    storage: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Metrics bit for bit."""
    cluster = request.getfixturevalue("ray_cluster") if name.startswith("ray") else None
    search(_spec(_table(name, tmp_path, cluster)), storage=storage, data_root=Path())
    check_exact(storage, "fake", TRIALS)
    assert _told(storage) == reference


def test_another_seed_is_another_record(reference: list[tuple[Any, ...]], storage: str) -> None:
    """Control."""
    search(_spec({"name": "inline"}, seed=1), storage=storage, data_root=Path())
    assert _told(storage) != reference
