"""A real PostgreSQL server on loopback, which tests start, restart, stop and throw away."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def binaries() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, where there is one."""
    on_path = shutil.which("initdb")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(on_path).parent if on_path else (found[-1].parent if found else None)


@dataclass(frozen=True)
class PostgresServer:
    """A server with a folder and a port of its own; `create` makes and starts one.

    It trusts every password, and does without fsync: what is tested outlives its processes, not a
    power failure.
    """

    programs: Path
    folder: Path
    port: int

    @classmethod
    def create(cls, programs: Path) -> "PostgresServer":
        folder = Path(tempfile.mkdtemp(prefix="nas-postgres-"))
        folder.chmod(0o777)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            server = cls(programs, folder, probe.getsockname()[1])
        server._run("initdb", "-D", folder / "data", "-U", "nas", "-A", "trust", "-E", "UTF8")
        server.start()
        return server

    @property
    def url(self) -> str:
        """Of its first database, which is empty."""
        return f"postgresql://nas:secret@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -c fsync=off"
        self._control("-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` ends what is under way with a word, `immediate` is a crash."""
        self._control("-m", mode, "stop")

    def restart(self, mode: str = "fast") -> None:
        """Stop it and start it again."""
        self.stop(mode)
        self.start()

    def remove(self) -> None:
        """Stop it if it runs, and delete its folder."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _control(self, *arguments: Any) -> None:
        log = self.folder / "log"
        self._run("pg_ctl", "-D", self.folder / "data", "-l", log, "-w", *arguments)

    def _run(self, program: str, *arguments: Any) -> None:
        """Run a command of the server; PostgreSQL refuses to run as root."""
        who: dict[str, Any] = {}
        if os.geteuid() == 0:
            known = {entry.pw_name for entry in pwd.getpwall()}
            entry = pwd.getpwnam("postgres" if "postgres" in known else "nobody")
            who = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        command = [str(self.programs / program), *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, **who)
