"""Whether a process that drives a study may be alive, as far as this one can know."""

import os
import socket
from pathlib import Path

# The runs that this very process has begun.
OWN_RUNS: set[str] = set()


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
