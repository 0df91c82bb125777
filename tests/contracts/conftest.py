"""The contracts against all that comes with the program, as part of its own suite."""

import os
from pathlib import Path

import pytest

# What is imported from there says what an assertion found.
pytest.register_assert_rewrite("nas.contracts")

from nas.contracts.conftest import *  # noqa: E402, F403 - its hooks and fixtures

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Raw files of public graphs; where there are none, their datasets are left out."""
    return Path(os.environ.get("NAS_TEST_DATA", _BESIDE))
