"""Labels of plots in letters: they differ by what they name, and stand where their values do."""

import re
from itertools import pairwise

import pytest

from nas.cli._axis import Axis, below, beside
from nas.cli._plot import Plot, _in_letters

SPANS = [
    (0.2, 0.878),
    (0.9101, 0.9104),
    (-3.5, 0.25),
    (0.0, 1.0),
    (162, 5000),
    (1e-5, 0.9),
    (3e6, 4e12),
    (0.878, 0.878),
    (0.0, 0.0),
]


@pytest.mark.parametrize("low_high", SPANS)
@pytest.mark.parametrize("wanted", [2, 4, 8])
def test_labels_say_where_they_stand(low_high: tuple[float, float], wanted: int) -> None:
    axis = Axis.of(low_high)
    ticks = axis.ticks(wanted)
    labels = [label for _, label in ticks]
    assert len(set(labels)) == len(labels) >= 1
    for value, label in ticks:
        assert axis.low <= value <= axis.high
        assert float(label.replace(",", "")) == pytest.approx(value)


@pytest.mark.parametrize("low_high", SPANS)
def test_labels_across_do_not_touch(low_high: tuple[float, float]) -> None:
    for columns in (20, 70, 150):
        line = below(Axis.of(low_high), columns)
        assert len(line) <= columns
        assert not re.search(r"\d,\d{4}|\.\d+\.", line)


@pytest.mark.parametrize("spread", [1.0, 1000.0])
def test_a_label_is_in_the_row_and_column_of_its_value(
    spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the plot itself places a point of that value, linear or by logarithms."""
    monkeypatch.setenv("COLUMNS", "80")
    ends = [(0.2, 0.2), (0.878 * spread, 0.878 * spread)]
    axis = Axis.of([value for value, _ in ends])
    for value, label in axis.ticks(4):
        lines = _in_letters(Plot("t", ("all", "one"), (ends, [(value, value)]))).splitlines()
        (row,) = (line for line in lines if line.startswith("│") and "●" in line)
        shown = row.rpartition("│")[2].strip()
        assert shown == label
        across = next(line for at, line in pairwise(lines) if at[0] == "└")
        found = re.search(rf"(?<!\S){re.escape(label)}(?!\S)", across)
        assert found
        assert found.start() <= row.index("●") <= found.end()


def test_labels_beside_have_a_row_each() -> None:
    """The uppermost is the largest."""
    labels = [float(label) for label in beside(Axis.of([0.2, 0.878]), 16) if label]
    assert labels == sorted(labels, reverse=True)
    assert len(labels) >= 2
