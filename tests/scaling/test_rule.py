"""A rule rises with the budget, and knows what it does not know."""

import numpy as np

from nas.scaling.rule import Rule, isotonic

RATIOS = (0.01, 0.03, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
# It rises, but for the fourth.
DEPTHS = (1.0, 2.0, 4.0, 1.0, 4.0, 5.0, 6.0, 6.0)


def test_means_rise_where_points_do_not() -> None:
    """Over the fitted range; the values themselves fall once, and so does the plain posterior."""
    rule, ratios = Rule.fit(RATIOS, DEPTHS), np.geomspace(0.01, 1, 300)
    means = np.array([rule.mean(ratio) for ratio in ratios])
    assert (np.diff(means) >= -1e-9).all()
    assert means[-1] > means[0] + 1
    assert (np.diff(rule._raw_mean(np.log(ratios))) < 0).any()


def test_falling_points_have_a_level_rule() -> None:
    """Then macs tell nothing of the depth but its mean."""
    rule = Rule.fit(RATIOS, sorted(DEPTHS, reverse=True))
    assert abs(rule.mean(0.01) - rule.mean(1.0)) < 1e-6
    assert min(DEPTHS) < rule.mean(0.1) < max(DEPTHS)


def test_uncertainty_grows_beyond_the_points() -> None:
    """On either side, the further the more; nowhere among them is it as large."""
    rule = Rule.fit(RATIOS, DEPTHS)
    among = max(rule.sd(ratio) for ratio in np.geomspace(0.01, 1, 100))
    for beyond in ([1.0, 2, 5, 20, 100], [0.01, 0.005, 0.002, 0.0005, 0.0001]):
        sds = [rule.sd(ratio) for ratio in beyond]
        assert (np.diff(sds) > 0).all()
        assert among < sds[2]
    assert rule.covers(0.1)
    assert not rule.covers(2)
    assert not rule.covers(0.005)


def test_it_stays_at_its_ends_beyond_the_points() -> None:
    rule = Rule.fit(RATIOS, DEPTHS)
    assert rule.mean(100) == rule.mean(1.0)
    assert rule.mean(1e-4) == rule.mean(0.01)


def test_equal_points_are_not_certainty() -> None:
    """Networks of one depth are a rule of that depth, known to half a layer at most beyond them."""
    rule = Rule.fit(RATIOS, [3.0] * len(RATIOS))
    assert rule.mean(0.2) == rule.mean(50) == 3
    assert rule.sd(100) > 0.5 > rule.sd(0.1) > 0


def test_the_order_of_the_points_does_not_matter() -> None:
    one, other = Rule.fit(RATIOS, DEPTHS), Rule.fit(RATIOS[::-1], DEPTHS[::-1])
    assert one.mean(0.3) == other.mean(0.3)


def test_isotonic_projection() -> None:
    """By an example that is known by hand, and: nearer than any other ascending vector tried."""
    assert np.allclose(isotonic(np.array([1.0, 3, 2, 2, 5, 4])), [1, 7 / 3, 7 / 3, 7 / 3, 4.5, 4.5])
    rng = np.random.default_rng(0)
    values = rng.normal(size=12)
    nearest = isotonic(values)
    assert (np.diff(nearest) >= -1e-12).all()
    for _ in range(300):
        other = np.sort(nearest + rng.normal(0, 0.2, 12))
        assert ((nearest - values) ** 2).sum() <= ((other - values) ** 2).sum() + 1e-12
