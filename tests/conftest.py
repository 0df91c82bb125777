"""What tests share: graphs and servers, where there are any, and one thread a process."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from fakes.cluster import RayCluster
    from fakes.postgres import PostgresServer
    from playwright.sync_api import Browser

os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell's background job ignores Ctrl-C, and hands that down; tests of it would see nothing.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy a machine is, and no test is about that.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Closed with its module: its library takes no second one, nor another event loop beside it."""
    from fakes.browser import PROGRAM, chromium

    if PROGRAM is None:
        pytest.skip("no Chromium here; install the package chromium to run this")
    with chromium(PROGRAM) as found:
        yield found


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Raw files of public graphs, read-only."""
    root = Path(os.environ.get("NAS_TEST_DATA", _BESIDE))
    if not root.is_dir():
        pytest.skip("no public graphs here; name their folder in NAS_TEST_DATA to run this")
    return root


# Study files of tests name the plug-ins in tests/outside ("fakes.space"), also in child processes.
_OUTSIDE = str(Path(__file__).parent / "outside")
sys.path.insert(0, _OUTSIDE)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_OUTSIDE, os.environ.get("PYTHONPATH")]))


@pytest.fixture
def storage(tmp_path: Path) -> str:
    """URL of a database of its own."""
    return f"sqlite:///{tmp_path / 'nas.db'}"


@contextmanager
def _running_server() -> "Iterator[PostgresServer]":
    from fakes.postgres import PostgresServer, binaries

    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL server here; install the package postgresql to run this")
    server = PostgresServer.create(programs)
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of an empty database on a server that all tests share: it stays up."""
    with _running_server() as server:
        yield server.url


@pytest.fixture(scope="module")
def postgres_server() -> "Iterator[PostgresServer]":
    """A server of the module's own, which its tests may restart and stop; they leave it running."""
    with _running_server() as server:
        yield server


@pytest.fixture(scope="session")
def ray_cluster() -> "Iterator[RayCluster]":
    """A cluster of this machine with 4 CPUs, which all tests share."""
    from fakes.cluster import RayCluster

    cluster = RayCluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()
