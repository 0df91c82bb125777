"""This machine as a device: what decides how fast it is, in words and as a fingerprint."""

import os
import platform
import re
from pathlib import Path
from typing import Literal

from evaluators.latency.values import Device, LatencyError
from search_spaces.canonical import digest

# Instructions that the kernels of PyTorch and its libraries are chosen by.
_INSTRUCTIONS = (
    "sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile",
    "amx_int8", "amx_bf16", "neon", "asimd", "asimddp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip
_SLASH = Path("/")


def this_device(
    name: str = "",
    *,
    threads: int = 1,
    kind: Literal["cpu", "cuda"] = "cpu",
    root: Path = _SLASH,
) -> Device:
    """The machine that runs this process.

    Its fingerprint is made of the model, the instructions, cores and caches of the processor, or of
    the model, memory and multiprocessors of the GPU: equal on equal machines, whatever they are
    called and however fast their clocks run at the moment.

    Args:
        name: as people call it; by default made of its model: "amd-epyc-2c".
        threads: that a network may use; a GPU takes 1.
        root: the folder in which `proc` and `sys` lie.

    Raises:
        LatencyError: more threads than cores that this process may use, or no GPU.
    """
    if kind == "cuda":
        return _gpu(name, threads)
    cores_for(threads)
    cores = os.cpu_count() or 1
    model, instructions = _processor(root / "proc/cpuinfo")
    caches = _caches(root / "sys/devices/system/cpu/cpu0/cache")
    parts = [model, f"{cores} core{'s' * (cores != 1)}"]
    parts += [f"{level} {size}" for level, size in caches.items()]
    identity = {
        "model": model,
        "instructions": instructions,
        "cores": cores,
        "caches": caches,
        "architecture": platform.machine(),
    }
    machine = ", ".join(parts)
    return Device(name or f"{_slug(model)}-{cores}c", machine, digest(identity), "cpu", threads)


def cores_for(threads: int) -> tuple[int, ...]:
    """The cores that this process may run on, if there are enough for so many threads.

    Raises:
        LatencyError: there are fewer.
    """
    if hasattr(os, "sched_getaffinity"):
        usable = tuple(sorted(os.sched_getaffinity(0)))
    else:
        usable = tuple(range(os.cpu_count() or 1))
    if not 1 <= threads <= len(usable):
        raise LatencyError(
            f"threads: expected 1 to {len(usable)}, the cores that this process may use, "
            f"got {threads}"
        )
    return usable


def _gpu(name: str, threads: int) -> Device:
    import torch

    if not torch.cuda.is_available():
        raise LatencyError(
            "kind: no GPU was found by this torch; use cpu, or install a torch for CUDA and its "
            "driver"
        )
    if threads != 1:
        raise LatencyError(f"threads: expected 1 for a GPU, got {threads}")
    found = torch.cuda.get_device_properties(torch.cuda.current_device())
    gigabytes = round(found.total_memory / 2**30)
    units = found.multi_processor_count
    identity = {"gpu": found.name, "memory": gigabytes, "multiprocessors": units}
    machine = f"{found.name}, {gigabytes} GiB, {units} multiprocessors"
    return Device(name or _slug(found.name), machine, digest(identity), "cuda", 1)


def _processor(cpuinfo: Path) -> tuple[str, list[str]]:
    """Model and instructions, as far as this system tells them."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    # The first processor's; a hybrid machine is told by its number of cores.
    told: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        told.setdefault(key.strip(), value.strip())
    flags = set((told.get("flags") or told.get("Features") or "").split())
    instructions = [flag for flag in _INSTRUCTIONS if flag in flags]
    if model := told.get("model name") or told.get("Hardware") or told.get("cpu"):
        return _tidy(model), instructions
    if part := told.get("CPU part"):
        maker = told.get("CPU implementer", "?")
        return f"{platform.machine()} implementer {maker} part {part}", instructions
    return _tidy(platform.processor() or platform.machine() or "unknown processor"), instructions


def _caches(folder: Path) -> dict[str, str]:
    """Sizes by level, "L1d 32K", where the system tells them."""
    found: dict[str, str] = {}
    for index in sorted(folder.glob("index*")):
        try:
            level, kind, size = (
                (index / name).read_text(encoding="ascii").strip()
                for name in ("level", "type", "size")
            )
        except OSError:
            continue
        suffix = {"Data": "d", "Instruction": "i"}.get(kind, "")
        found[f"L{level}{suffix}"] = size
    return found


def _tidy(model: str) -> str:
    return " ".join(re.sub(r"\((R|TM|r|tm)\)", "", model).split())


def _slug(model: str) -> str:
    """A name for files: without clock rates and what every processor is called."""
    plain = re.sub(r"@.*|\b(cpu|processor|\d+-core)\b", " ", model.lower())
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "device"
