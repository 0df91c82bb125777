"""How much memory this process may still take, and what it has learnt of what suffices."""

import dataclasses
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch

from evaluators.values import Failure

_REMEDY = (
    'try smaller networks (width, depth, or a constraint such as "params <= 50_000"), a smaller '
    "batch_size for a graph task, or more memory for each worker (the executor's memory_gb, or "
    "fewer workers)"
)
_CPU = torch.device("cpu")


@dataclass
class Bound:
    """What this process has learnt of a graph: which cohorts have fitted, and which have not.

    Attributes:
        failed: bytes, by the estimate, of those that ran out of memory.
        fitted: bytes, by the estimate, of the largest that was trained.
    """

    failed: set[int] = field(default_factory=set)
    fitted: int = 0

    def has_failed(self, size: int) -> None:
        self.failed.add(size)

    def has_fitted(self, size: int) -> None:
        self.fitted = max(self.fitted, size)
        # When a smaller one failed there was less memory, or it was another kind of network.
        self.failed = {failed for failed in self.failed if failed > size}

    def runs(self, each: int) -> float:
        """How many runs of a size take less than has failed; one is tried whatever has failed."""
        return max(1, (min(self.failed) - 1) // each) if self.failed else math.inf


def available_bytes(device: torch.device = _CPU) -> float:
    """What the device has free and the process's own limit leaves; infinite where unknown."""
    if device.type == "cuda":
        # torch keeps what was freed, for itself.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + kept)
    if not sys.platform.startswith("linux"):
        return math.inf
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
    return math.inf


def explained(
    failure: Failure,
    before: float,
    device: torch.device = _CPU,
    *,
    needed: float = 0.0,
    fitted: float = 0.0,
) -> Failure:
    """A failure for want of memory with what is known of the want; others as they are.

    Args:
        failure: just caught: what it had taken is not free yet.
        before: bytes that were free before.
        device: where.
        needed: bytes that it needs, by the estimate; 0 where there is none.
        fitted: bytes of the largest that was trained, by the estimate; 0 where none was.
    """
    if failure.kind != "out_of_memory":
        return failure
    said = [failure.message]
    if before < math.inf:
        taken = max(0.0, before - available_bytes(device))
        said.append(f"it had taken {_told(taken)} of the {_told(before)} that were free")
    if needed:
        said.append(f"by a rough, high estimate it needs {_told(needed)}")
        fits = f"up to {_told(fitted)} by it have" if fitted else "nothing yet has"
        said.append(f"{fits} been trained on this graph")
    return dataclasses.replace(failure, message="; ".join([*said, _REMEDY]))


def _told(size: float) -> str:
    return f"{size / 2**20:.1f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"
