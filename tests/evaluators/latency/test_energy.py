"""Energy that the processor counts, read from a folder like Linux's own."""

from pathlib import Path

import pytest

from evaluators.latency.energy import Reading, counter


def zone(powercap: Path, name: str, energy: int, reach: int = 1_000_000) -> Path:
    folder = powercap / name
    folder.mkdir()
    (folder / "energy_uj").write_text(f"{energy}\n")
    (folder / "max_energy_range_uj").write_text(f"{reach}\n")
    return folder / "energy_uj"


def test_packages_are_added_and_their_parts_are_not(tmp_path: Path) -> None:
    """The cores within a package are counted in the package already."""
    first = zone(tmp_path, "intel-rapl:0", 100)
    second = zone(tmp_path, "intel-rapl:1", 0)
    part = zone(tmp_path, "intel-rapl:0:0", 7)
    read = counter(powercap=tmp_path)
    assert read is not None
    before = read()
    first.write_text("200100")
    second.write_text("50000")
    part.write_text("90000")
    assert before.until(read()) == pytest.approx(0.25)


def test_a_counter_that_begins_again(tmp_path: Path) -> None:
    """From 0.9 J past the end of its range, 1 J, to 0.2 J."""
    energy = zone(tmp_path, "intel-rapl:0", 900_000)
    read = counter(powercap=tmp_path)
    assert read is not None
    before = read()
    energy.write_text("200000")
    assert before.until(read()) == pytest.approx(0.3)


def test_other_zones_than_before_tell_nothing() -> None:
    """As where a processor was switched off in between."""
    before = Reading({"a": 1.0, "b": 2.0}, {"a": 9.0, "b": 9.0})
    assert before.until(Reading({"a": 3.0}, {"a": 9.0})) is None


@pytest.mark.parametrize("content", [None, "no number"])
def test_a_device_that_reports_none(tmp_path: Path, content: str | None) -> None:
    """No zone at all, or one that cannot be read."""
    if content is not None:
        zone(tmp_path, "intel-rapl:0", 0).write_text(content)
    assert counter(powercap=tmp_path) is None
    assert counter(powercap=tmp_path / "absent") is None
