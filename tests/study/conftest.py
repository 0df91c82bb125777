"""A real PostgreSQL server on loopback, started for the session and thrown away."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def _binaries() -> Path | None:
    on_path = shutil.which("initdb")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(on_path).parent if on_path else (found[-1].parent if found else None)


def _run(command: list[Any], folder: Path) -> None:
    """Run a command of the server; PostgreSQL refuses to run as root."""
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        known = {entry.pw_name for entry in pwd.getpwall()}
        name = "postgres" if "postgres" in known else "nobody"
        entry = pwd.getpwnam(name)
        who = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    subprocess.run([*map(str, command)], check=True, capture_output=True, cwd=folder, **who)


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
    _run([binaries / "initdb", "-D", data, "-U", "nas", "-A", "trust"], folder)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
    control = [binaries / "pg_ctl", "-D", data, "-l", log, "-w"]
    _run([*control, "-o", options, "start"], folder)
    try:
        yield f"postgresql://nas:secret@127.0.0.1:{port}/postgres"
    finally:
        _run([*control, "-m", "immediate", "stop"], folder)
        shutil.rmtree(folder, ignore_errors=True)
