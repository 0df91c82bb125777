"""Which processes drive a study, as far as this one can know."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from nas.store.clock import database_time
from nas.store.schema import runs

# A driver beats every BEAT_SECONDS; one that has been silent for GRACE_SECONDS is taken for dead.
BEAT_SECONDS = 10.0
GRACE_SECONDS = 60.0
# The runs that this very process has begun.
OWN_RUNS: set[str] = set()


@dataclass(frozen=True)
class Run:
    """A process that drives a study, or did.

    Attributes:
        id: of the run.
        host: see `this_host`.
        pid: of the process there.
        silent_seconds: since its last sign of life, by the database's clock.
    """

    id: str
    host: str
    pid: int
    silent_seconds: float

    @property
    def is_alive(self) -> bool:
        """Whether it may be: it has beaten lately, and its process is there as far as one sees."""
        return self.may_live(0.0)

    def may_live(self, excuse_seconds: float) -> bool:
        """The same, where it could not beat for a while: the database was away."""
        silent = self.silent_seconds - excuse_seconds
        return silent < GRACE_SECONDS and may_be_alive(self.id, self.host, self.pid)


def open_runs(connection: sa.Connection, study: int | None = None) -> list[Run]:
    """The runs that have not been ended, of a study or of all; some may be dead."""
    silent = database_time() - runs.c.beat
    query = sa.select(runs.c.id, runs.c.host, runs.c.pid, silent).where(sa.not_(runs.c.ended))
    if study is not None:
        query = query.where(runs.c.study_id == study)
    return [Run(*row) for row in connection.execute(query.order_by(runs.c.id))]


def this_host() -> str:
    """Within what process ids mean something: the host, and on Linux its boot and container."""
    parts = [socket.gethostname()]
    boot = Path("/proc/sys/kernel/random/boot_id")
    if boot.exists():
        parts += [
            boot.read_text(encoding="ascii").strip(),
            str(Path("/proc/self/ns/pid").readlink()),
        ]
    return " ".join(parts)


def host_of(host: str) -> str:
    """The name in a `this_host`, for people."""
    return host.partition(" ")[0]


def may_be_alive(run_id: str, host: str, pid: int) -> bool:
    """Whether the process of a run that has beaten lately may still run.

    On another host it may; on this one a process that is not there does not.
    """
    if host != this_host():
        return True
    if pid == os.getpid():
        return run_id in OWN_RUNS
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_same_machine(host: str) -> bool:
    """Whether a run's host is this machine, or a container on it."""
    ours, theirs = this_host().split(" "), host.split(" ")
    # The boot's id where there is one, else the name.
    return ours[1:2] == theirs[1:2] if ours[1:] and theirs[1:] else ours[0] == theirs[0]
