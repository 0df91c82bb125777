"""Numbers for people."""

import pytest

from nas.cards._numbers import number
from nas.cli._output import cell, measured


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.9312, "0.9312"),
        (-12.5, "-12.5000"),
        (0.0, "0.0000"),
        (39997083.3861, "3.9997e+07"),
        (-1.5e120, "-1.5000e+120"),
        (999_999.5, "999999.5000"),
    ],
)
def test_what_was_measured(value: float, shown: str) -> None:
    assert measured(value) == shown
    assert value == 0 or cell(value) == shown


def test_what_is_small_has_digits_in_tables() -> None:
    assert (cell(0.00012345), measured(0.00012345)) == ("0.000123", "0.0001")


def test_counts_have_all_their_digits() -> None:
    assert cell(39_997_083) == cell(39_997_083.0) == "39,997,083"


@pytest.mark.parametrize("value", [0.91, 0.878, 0.9312, 39_997_083.0])
def test_tables_and_pages_say_one_thing(value: float) -> None:
    """Of an accuracy, or a count, in the terminal, on the dashboard, in reports and cards."""
    assert number(value) == cell(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1356.4, "1356"), (135.64, "135.6"), (20_131.5, "2.013e+04"), (0.5, "0.5000")],
)
def test_pages_have_four_significant_digits(value: float, shown: str) -> None:
    """And no point behind the last."""
    assert number(value) == shown
