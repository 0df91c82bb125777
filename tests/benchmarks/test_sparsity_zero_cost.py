"""benchmarks/sparsity_zero_cost.py: what scores are judged by can miss its target; verdicts."""

from collections.abc import Sequence

import numpy as np
import pytest
import sparsity_zero_cost as benchmark

from nas.supernet._agreement import Agreement


def missed(control: float, ceiling: float, count: int = 60) -> list[str]:
    agreements = [
        Agreement(benchmark.CONTROL, control, (control - 0.2, control + 0.2), control),
        Agreement("ceiling", ceiling, (ceiling - 0.2, ceiling + 0.2), ceiling),
    ]
    found = benchmark.Found(agreements, {}, count, (0.1, 0.1, 1.0))
    rows = benchmark._rows("graph", found)
    return [row["measure"].split(" ")[1] for row in rows if row["ok"] is False]


def test_a_control_that_ranks_and_training_that_does_not_are_noticed() -> None:
    """Chance is narrower with more architectures."""
    assert missed(control=0.1, ceiling=0.6) == []
    assert missed(control=-0.3, ceiling=0.6) == ["read-out,"]
    assert missed(control=-0.3, ceiling=0.6, count=16) == []
    assert missed(control=0.1, ceiling=0.1) == ["ceiling,"]


@pytest.mark.parametrize(
    ("interval", "beyond", "says"),
    [
        ((-0.4, -0.1), (-0.9, -0.5), "the wrong way round"),
        ((-0.1, 0.3), (-0.2, 0.2), "does not rank"),
        ((0.1, 0.5), (-0.1, 0.3), "ranks"),
        ((0.1, 0.5), (0.05, 0.3), "ranks, better than size"),
    ],
)
def test_scores_are_judged_by_their_intervals(
    interval: tuple[float, float], beyond: tuple[float, float], says: str
) -> None:
    assert benchmark._judged(Agreement("snip", 0.2, interval, 0.2), beyond)[1] == says
    assert benchmark._judged(Agreement("params", 0.2, interval, 0.2), None) == ("", "")


def test_what_a_score_has_beyond_size_is_over_the_same_architectures() -> None:
    """Nothing where it is the size; a whole tau where the size says nothing at all."""
    rng = np.random.default_rng(0)
    trained: Sequence[float] = rng.random(40).tolist()
    assert benchmark._beyond(trained, trained, trained) == (0.0, 0.0)
    alike = [1.0] * len(trained)
    assert benchmark._beyond(trained, alike, trained) == pytest.approx((1.0, 1.0))
    assert benchmark._beyond(alike, trained, trained) == pytest.approx((-1.0, -1.0))
