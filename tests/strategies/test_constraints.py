"""Constraints: how they are written, and by how much they are broken."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.constraints import Constraint, ConstraintError, parse, total_violation
from search_spaces import UsageError

finite = st.floats(-1e9, 1e9).map(lambda v: float(f"{v:.12g}"))


@pytest.mark.parametrize("number", ["50000", "50_000", "5e4", "50000.0", "+5e+4"])
def test_the_same_bound_in_several_ways(number):
    """Spaces do not matter either."""
    expected = Constraint("params", "<=", 50_000)
    assert parse(f"params <= {number}") == parse(f"  params<={number} ") == expected


@given(st.sampled_from(["params", "latency.pi4_ms"]), st.sampled_from(["<=", ">="]), finite)
def test_text_reads_back(metric, operator, bound):
    """`str` writes what `parse` reads."""
    constraint = Constraint(metric, operator, bound)
    assert parse(str(constraint)) == constraint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("params", "expected a metric"),
        ("params <= ", "expected a metric"),
        ("<= 5", "expected a metric"),
        ("params < 5", "expected <= or >=, got <"),
        ("params == 5", "expected <= or >=, got =="),
        ("params <= many", "expected a number"),
        ("params <= nan", "finite"),
        ("params <= inf", "finite"),
        ("params <= 5 MB", "expected a metric"),
    ],
)
def test_bad_constraints_say_what_was_expected(text, said):
    """One message, with the remedy, of the type that the command line prints."""
    with pytest.raises(ConstraintError, match=said) as caught:
        parse(text)
    assert isinstance(caught.value, UsageError)


@pytest.mark.parametrize(
    ("text", "value", "violation"),
    [
        ("params <= 100", 100, 0.0),
        ("params <= 100", 50, 0.0),
        ("params <= 100", 150, 0.5),
        ("val_accuracy >= 0.8", 0.8, 0.0),
        ("val_accuracy >= 0.8", 0.6, 0.25),
        ("loss <= -2", -1, 0.5),
        ("gap <= 0", 3, 3.0),
        ("gap >= 0", -3, 3.0),
    ],
)
def test_the_violation_is_relative(text, value, violation):
    """Relative to the size of the bound; absolute where the bound is 0."""
    metric = text.split()[0]
    assert parse(text).violation({metric: value}) == pytest.approx(violation)


@given(finite, finite, st.sampled_from(["<=", ">="]))
def test_zero_means_satisfied(bound, value, operator):
    """The violation is 0 if and only if the bound is kept."""
    kept = value <= bound if operator == "<=" else value >= bound
    violation = Constraint("m", operator, bound).violation({"m": value})
    assert (violation == 0) == kept


def test_what_is_not_measured_is_not_held_against_it():
    """A missing metric is unknown, a NaN is as bad as can be; the total is a sum."""
    bounds = [parse("params <= 100"), parse("latency_ms <= 2")]
    assert bounds[1].violation({"params": 150}) is None
    assert total_violation(bounds, {"params": 150}) == 0.5
    assert total_violation(bounds, {"params": 150, "latency_ms": 4}) == 1.5
    assert total_violation(bounds, {"latency_ms": math.nan}) == math.inf
    assert total_violation([], {}) == 0.0
