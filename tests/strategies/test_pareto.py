"""Fronts, ranks, crowding and hypervolume against their definitions."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.pareto import crowding_distances, front, hypervolume, non_dominated_ranks

# Few distinct values, so that equal points and equal coordinates are common.
points = st.tuples(st.integers(1, 14), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(0, 4).map(float))
)


def dominates(a, b):
    return bool((a <= b).all() and (a < b).any())


@given(points)
def test_front_zero_is_what_nothing_dominates(losses):
    """Brute force over all pairs, duplicates included; dominated points are never in it."""
    expected = [i for i, p in enumerate(losses) if not any(dominates(q, p) for q in losses)]
    assert front(losses).tolist() == expected
    assert np.flatnonzero(non_dominated_ranks(losses) == 0).tolist() == expected


@given(points)
def test_ranks_peel_off_fronts(losses):
    """A rank is one more than the highest rank of what dominates the point."""
    ranks = non_dominated_ranks(losses)
    for i, p in enumerate(losses):
        above = [ranks[j] for j, q in enumerate(losses) if dominates(q, p)]
        assert ranks[i] == (max(above) + 1 if above else 0)


@given(points)
def test_hypervolume_counts_the_cells_of_a_grid(losses):
    """On integer points, the volume is the number of unit cells that some point dominates."""
    cells = itertools.product(range(5), repeat=losses.shape[1])
    covered = sum(bool((losses <= cell).all(axis=1).any()) for cell in cells)
    assert hypervolume(losses, [5.0] * losses.shape[1]) == pytest.approx(covered)


@given(points, st.integers(1, 4))
def test_points_beyond_the_reference_do_not_count(losses, bound):
    """With a nearer reference, too: what is not better everywhere adds nothing."""
    cells = itertools.product(range(bound), repeat=losses.shape[1])
    covered = sum(bool((losses <= cell).all(axis=1).any()) for cell in cells)
    assert hypervolume(losses, [float(bound)] * losses.shape[1]) == pytest.approx(covered)


def test_crowding_by_hand():
    """Ends are infinite; between them, the normalized gaps between neighbors add up."""
    distances = crowding_distances([[0, 4], [1, 2], [2, 1], [4, 0]])
    assert distances.tolist() == [np.inf, 2 / 4 + 3 / 4, 3 / 4 + 2 / 4, np.inf]


def test_copies_are_crowded():
    """Of equal points the first keeps its distance; a single point is infinitely lonely."""
    assert crowding_distances([[0, 1], [0, 1], [1, 0]]).tolist() == [np.inf, 0.0, np.inf]
    assert crowding_distances([[3, 3], [3, 3]]).tolist() == [np.inf, 0.0]
    assert crowding_distances([]).tolist() == []


@given(points)
def test_crowding_does_not_depend_on_the_order_of_distinct_points(losses):
    """Each distinct point of a front has its distance wherever it stands."""
    distinct = np.unique(losses[front(losses)], axis=0)
    backwards = crowding_distances(distinct[::-1])[::-1]
    assert np.allclose(crowding_distances(distinct), backwards)


def test_nothing_at_all():
    """No points: no ranks, no front, no volume."""
    assert non_dominated_ranks([]).tolist() == []
    assert front([]).tolist() == []
    assert hypervolume([], (1.0, 1.0)) == 0.0


@pytest.mark.parametrize("function", [non_dominated_ranks, front, crowding_distances])
def test_bad_losses_are_refused(function):
    """NaN compares with nothing, so it has no place among the points."""
    with pytest.raises(ValueError, match="NaN"):
        function([[0.0, float("nan")]])
    with pytest.raises(ValueError, match="shape"):
        function([1.0, 2.0])


def test_infinite_losses_and_wrong_references():
    """Infinite losses rank last and have no volume; a reference has one value an objective."""
    assert non_dominated_ranks([[np.inf, 1.0], [0.0, 0.0]]).tolist() == [1, 0]
    assert hypervolume([[np.inf, 0.0]], (1.0, 1.0)) == 0.0
    with pytest.raises(ValueError, match="2 values"):
        hypervolume([[0.0, 0.0]], (1.0,))
    with pytest.raises(ValueError, match="finite"):
        crowding_distances([[np.inf, 0.0], [0.0, 1.0]])
