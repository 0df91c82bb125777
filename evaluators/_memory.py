"""How much memory this process may still take."""

import sys
from pathlib import Path


def available_bytes() -> float:
    """What the machine has free and the process's own limit leaves; infinite where unknown."""
    if not sys.platform.startswith("linux"):
        return float("inf")
    import resource

    free = _kilobytes("/proc/meminfo", "MemAvailable") * 1024
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if limit == resource.RLIM_INFINITY:
        return free
    return min(free, limit - _kilobytes("/proc/self/status", "VmData") * 1024)


def _kilobytes(file: str, name: str) -> float:
    for line in Path(file).read_text(encoding="ascii").splitlines():
        if line.startswith(name):
            return float(line.split()[1])
    return float("inf")
