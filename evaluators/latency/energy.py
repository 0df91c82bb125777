"""Energy that the device itself counts: RAPL of a processor, NVML of a GPU."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

# Where Linux shows the counters of Intel's and AMD's processors.
POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Reading:
    """Counters at one time.

    Attributes:
        joules: {zone: joules}; each grows, and begins again at 0 behind its range.
        ranges: {zone: joules}; infinite where a counter does not begin again.
    """

    joules: Mapping[str, float]
    ranges: Mapping[str, float]

    def until(self, later: "Reading") -> float | None:
        """Joules of all zones between two readings, at most one turn apart; None if a zone left."""
        if self.joules.keys() != later.joules.keys():
            return None
        total = 0.0
        for zone, joules in later.joules.items():
            spent = joules - self.joules[zone]
            total += spent if spent >= 0 else spent + self.ranges[zone]
        return total


def counter(
    kind: Literal["cpu", "cuda"] = "cpu", powercap: Path = POWERCAP
) -> Callable[[], Reading] | None:
    """What reads the device's energy; None where it reports none.

    The whole of the processor's packages, or of the GPU, is counted: all that runs there, and what
    they take when idle.
    """
    return _nvml() if kind == "cuda" else _rapl(powercap)


def _rapl(powercap: Path) -> Callable[[], Reading] | None:
    zones = sorted(
        zone
        for zone in powercap.glob("intel-rapl:*")
        # A zone within a package ("intel-rapl:0:1", its cores) is part of the package.
        if zone.name.count(":") == 1 and (zone / "energy_uj").is_file()
    )
    try:
        ranges = {zone.name: _joules(zone / "max_energy_range_uj") for zone in zones}
        for zone in zones:
            _joules(zone / "energy_uj")
    except (OSError, ValueError):  # on many systems readable for root alone
        return None
    if not zones:
        return None

    def read() -> Reading:
        return Reading({zone.name: _joules(zone / "energy_uj") for zone in zones}, ranges)

    return read


def _joules(file: Path) -> float:
    return int(file.read_text(encoding="ascii")) / 1e6


def _nvml() -> Callable[[], Reading] | None:
    try:
        pynvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return None
    import torch

    try:
        pynvml.nvmlInit()
        uuid = str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return None

    def read() -> Reading:
        joules = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3
        return Reading({"gpu": joules}, {"gpu": float("inf")})

    return read
