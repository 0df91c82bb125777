"""What the processes that these tests fork need is imported before: each would take seconds."""

from pathlib import Path

import optuna.storages._rdb.models
import psycopg
import pytest
import torch_geometric.nn

import evaluators.datasets
import evaluators.facts
import evaluators.training
import nas.strategies.evolution

__all__ = ["evaluators", "nas", "optuna", "psycopg", "torch_geometric"]


@pytest.fixture(params=["sqlite", "postgres"])
def database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """URL of a database of either kind: a file of its own, or the server that all tests share."""
    monkeypatch.setenv("NAS_ARTIFACTS", str(tmp_path / "artifacts"))
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'nas.db'}"
    url: str = request.getfixturevalue("postgres")
    return url
