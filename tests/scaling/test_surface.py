"""On a planted surface a fitted rule is worth it, and one fitted to noise is not."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from fakes.surface import accuracy

from nas.scaling.closing import WITHIN, Closing
from nas.scaling.points import Point, frontier
from nas.scaling.rules import Rules
from nas.scaling.scale import scaled
from nas.scaling.widening import template
from nas.setup import Setup

RATIOS = (0.05, 0.1, 0.25, 0.5, 0.9)


def best(points: Sequence[Point]) -> Point:
    return min(points, key=lambda p: p.loss)


def mean_accuracy(setup: Setup, base: Point, depth: Callable[[float], float]) -> float:
    """Over budgets, which the width closes for each depth."""
    found = []
    for ratio in RATIOS:
        budget = ratio * base.macs
        like = template(setup, base.architecture, max(1, round(depth(ratio))))
        architecture, macs = Closing.of(setup).nearest(like, budget)
        assert macs == pytest.approx(budget, rel=WITHIN)
        found.append(accuracy(architecture))
    return float(np.mean(found))


def test_no_point_of_the_front_is_beaten(points: Sequence[Point]) -> None:
    """By any other, and whoever is beaten by none is on it."""
    front = frontier(points)

    def beaten(one: Point) -> bool:
        return any(
            other.macs <= one.macs
            and other.loss <= one.loss
            and (other.macs, other.loss) != (one.macs, one.loss)
            for other in points
        )

    assert [p.trial for p in front] == [
        p.trial for p in sorted(points, key=lambda p: p.macs) if not beaten(p)
    ]
    assert 4 < len(front) < len(points)


@pytest.mark.parametrize("ratio", RATIOS)
def test_measured_macs_are_within_five_percent(
    surface: Setup, points: Sequence[Point], ratio: float
) -> None:
    """Of the network that is built, counted once more."""
    front = frontier(points)
    base = best(front)
    rules, budget = Rules.fit(surface, front, base), ratio * base.macs
    like = template(surface, base.architecture, *rules.at(ratio))
    row = scaled(Closing.of(surface), like, budget, base, rules)
    macs = surface.space.network(row.architecture, surface.task)
    assert sum(p.numel() for p in macs.parameters()) == surface.facts(row.architecture)["params"]
    assert row.macs == surface.facts(row.architecture)["macs"]
    assert abs(row.macs / (ratio * base.macs) - 1) <= 0.05
    assert row.is_covered


def test_it_beats_shrinking_all_alike(surface: Setup, points: Sequence[Point]) -> None:
    """At equal macs: depth and width by one ratio, whose cube is that of the macs.

    Rules that were fitted to accuracies in another order do not, and none is as good.
    """
    front = frontier(points)
    base = best(front)
    depth = int(base.architecture.choices["depth"])
    rule = mean_accuracy(surface, base, Rules.fit(surface, front, base).depth.mean)
    alike = mean_accuracy(surface, base, lambda ratio: depth * ratio ** (1 / 3))
    controls = []
    for seed in range(8):
        losses = [p.loss for p in points]
        random.Random(seed).shuffle(losses)
        spoiled = [replace(p, loss=loss) for p, loss in zip(points, losses, strict=True)]
        control = Rules.fit(surface, frontier(spoiled), base).depth
        controls.append(mean_accuracy(surface, base, control.mean))
    assert rule > alike > np.mean(controls)
    assert rule > max(controls)
