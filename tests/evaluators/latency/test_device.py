"""This machine as a device."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from evaluators.latency.device import this_device
from evaluators.latency.values import LatencyError

CPUINFO = """processor : 0
model name : Intel(R) Xeon(R) Gold 6226R CPU @ 2.90GHz
cpu MHz : {mhz}
flags : fpu sse4_2 avx2 {flags}

processor : 1
model name : Intel(R) Xeon(R) Gold 6226R CPU @ 2.90GHz
"""


def machine(root: Path, *, mhz: str = "2900", flags: str = "fma", l2: str = "1024K") -> Path:
    """The files in which Linux describes a machine."""
    (root / "proc").mkdir(parents=True)
    (root / "proc/cpuinfo").write_text(CPUINFO.format(mhz=mhz, flags=flags))
    cache = root / "sys/devices/system/cpu/cpu0/cache"
    for index, (level, kind, size) in enumerate([("1", "Data", "32K"), ("2", "Unified", l2)]):
        folder = cache / f"index{index}"
        folder.mkdir(parents=True)
        for name, text in (("level", level), ("type", kind), ("size", size)):
            (folder / name).write_text(f"{text}\n")
    return root


def test_a_machine_is_told_in_words(tmp_path: Path) -> None:
    """Model, cores and caches; the default name is made of the model, without its clock rate."""
    device = this_device(root=machine(tmp_path))
    cores = os.cpu_count()
    assert device.name == f"intel-xeon-gold-6226r-{cores}c"
    assert device.machine.startswith("Intel Xeon Gold 6226R CPU @ 2.90GHz, ")
    assert device.machine.endswith("L1d 32K, L2 1024K")
    assert (device.kind, device.threads) == ("cpu", 1)
    assert this_device("laptop", root=tmp_path) == replace(device, name="laptop")


def test_the_clock_rate_of_the_moment_changes_nothing(tmp_path: Path) -> None:
    """Equal machines have one fingerprint, in whatever state they are."""
    first = this_device(root=machine(tmp_path / "a", mhz="1200.1"))
    assert this_device("b", root=machine(tmp_path / "b", mhz="3900")).fingerprint == (
        first.fingerprint
    )


@pytest.mark.parametrize("other", [{"flags": "fma avx512f"}, {"l2": "2048K"}])
def test_what_decides_speed_changes_the_fingerprint(tmp_path: Path, other: dict[str, str]) -> None:
    """Instructions and caches; instructions that no kernel is chosen by do not."""
    first = this_device(root=machine(tmp_path / "a")).fingerprint
    assert this_device(root=machine(tmp_path / "b", **other)).fingerprint != first
    assert this_device(root=machine(tmp_path / "c", flags="fma xtopology")).fingerprint == first


def test_an_arm_processor_is_known_by_its_part(tmp_path: Path) -> None:
    """It has no model name."""
    (tmp_path / "proc").mkdir()
    cpuinfo = tmp_path / "proc/cpuinfo"
    cpuinfo.write_text("Features : fp asimd\nCPU implementer : 0x41\nCPU part : 0xd0c\n")
    device = this_device(root=tmp_path)
    assert "implementer 0x41 part 0xd0c" in device.machine
    cpuinfo.write_text("Features : fp asimd sve\nCPU implementer : 0x41\nCPU part : 0xd0c\n")
    assert this_device(root=tmp_path).fingerprint != device.fingerprint


def test_a_system_that_tells_nothing_is_a_device_too(tmp_path: Path) -> None:
    """As on other systems than Linux."""
    device = this_device(root=tmp_path)
    assert device.name
    assert "core" in device.machine


def test_more_threads_than_cores_are_refused() -> None:
    """The message has the number that may be used."""
    cores = len(os.sched_getaffinity(0))
    assert this_device(threads=cores).threads == cores
    for threads in (0, cores + 1):
        with pytest.raises(LatencyError, match=f"expected 1 to {cores}, .* got {threads}"):
            this_device(threads=threads)
