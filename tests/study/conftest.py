"""A real PostgreSQL server on loopback, started for the session and thrown away."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def _binaries() -> Path | None:
    on_path = shutil.which("initdb")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(on_path).parent if on_path else (found[-1].parent if found else None)


def _as_server(*command: str | Path) -> list[str]:
    """PostgreSQL refuses to run as root."""
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    return [*prefix, *map(str, command)]


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of an empty database on a server of its own."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server here; install the package postgresql to run this")
    folder = Path(tempfile.mkdtemp(prefix="nas-postgres-"))
    folder.chmod(0o777)
    data, log = folder / "data", folder / "log"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    initialize = _as_server(binaries / "initdb", "-D", data, "-U", "nas", "-A", "trust")
    subprocess.run(initialize, check=True, capture_output=True, cwd=folder)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
    control = [binaries / "pg_ctl", "-D", data, "-l", log, "-w"]
    start = _as_server(*control, "-o", options, "start")
    subprocess.run(start, check=True, capture_output=True, cwd=folder)
    try:
        yield f"postgresql://nas:secret@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run(
            _as_server(*control, "-m", "immediate", "stop"), capture_output=True, cwd=folder
        )
        shutil.rmtree(folder, ignore_errors=True)
