"""What tests share: the folder of real graphs, where there is one, and one thread a process."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Raw files of public graphs, read-only."""
    root = Path(os.environ.get("NAS_TEST_DATA", _BESIDE))
    if not root.is_dir():
        pytest.skip("no public graphs here; name their folder in NAS_TEST_DATA to run this")
    return root
