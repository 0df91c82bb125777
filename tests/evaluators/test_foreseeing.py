"""Accuracy learned from slices: what is there to be learned is, and what is not is not."""

import numpy as np
import pytest
from fakes import elastic

from evaluators.foreseeing import FEWEST, Floats, Foresight, together
from search_spaces import Architecture
from search_spaces.features import decision_parts

NET = elastic.supernet("few")
SEEN, OTHERS = elastic.sampled(NET, 200), elastic.sampled(NET, 50, seed=1)


def planted(architectures: list[Architecture], noise: float = 0.0) -> list[float]:
    """An accuracy that is a sum over parts of the architecture."""
    worth: dict[object, float] = {}
    values = []
    for architecture in [*SEEN, *architectures]:
        counted = decision_parts(NET.space, architecture)
        for part in sorted(counted):
            worth.setdefault(part, np.random.default_rng([len(worth)]).standard_normal())
        values.append(sum(worth[part] * count for part, count in counted.items()))
    drawn = np.random.default_rng(0).standard_normal(len(values))
    return [v + noise * d for v, d in zip(values, drawn, strict=True)][len(SEEN) :]


def learned_of(architectures: list[Architecture], values: list[float]) -> Foresight:
    """From two read-outs that agree."""
    return Foresight(NET.space, architectures, np.array(values), np.array(values))


def test_a_sum_over_parts_is_learned() -> None:
    """Of architectures that were not seen, too; of shuffled values nothing is."""
    values = planted(SEEN)
    learned = learned_of(SEEN, values)
    assert learned.held_out_tau > 0.85
    expected = learned(OTHERS)
    assert np.corrcoef(expected, planted(OTHERS))[0, 1] > 0.95
    shuffled = np.random.default_rng(1).permutation(values).tolist()
    assert abs(learned_of(SEEN, shuffled).held_out_tau) < 0.2


def test_what_is_foreseen_is_less_noisy_than_what_was_seen() -> None:
    """Of the very slices that it has learned from: that is what it is for."""
    truth, noisy = planted(SEEN), planted(SEEN, noise=3.0)
    expected = learned_of(SEEN, noisy)(SEEN)
    assert np.corrcoef(expected, truth)[0, 1] > np.corrcoef(noisy, truth)[0, 1] + 0.02


def test_in_company_it_is_what_it_is_alone() -> None:
    """Bit for bit."""
    learned = learned_of(SEEN, planted(SEEN))
    together = learned(OTHERS)
    assert together.tolist() == [learned([one])[0] for one in OTHERS]
    assert len(set(together.tolist())) > 40


def test_equal_values_rank_nothing() -> None:
    """The held-out tau is 0 and no nan."""
    assert learned_of(SEEN, [0.5] * len(SEEN)).held_out_tau == 0.0


def test_too_few_are_refused() -> None:
    few = SEEN[: FEWEST - 1]
    with pytest.raises(ValueError, match=f"expected {FEWEST} architectures or more, got 9"):
        learned_of(few, [0.1] * len(few))
    assert learned_of(SEEN[:FEWEST], planted(SEEN[:FEWEST]))


def test_values_of_before_and_after_weigh_alike() -> None:
    """Whatever their units, in that of the latter; values that are all equal say nothing."""
    rng = np.random.default_rng(0)
    begun, trained = rng.random(20), 5 + 2 * rng.random(20)
    both = together(begun, trained)
    assert both.mean() == pytest.approx(trained.mean())
    assert np.allclose(both, together(100 * begun + 7, trained))
    corrected = [np.corrcoef(both, one)[0, 1] for one in (begun, trained)]
    assert corrected[0] == pytest.approx(corrected[1])
    assert np.argsort(together(np.ones(20), trained)).tolist() == np.argsort(trained).tolist()


@pytest.mark.parametrize("peculiar", [0.0, 3.0])
def test_a_slices_own_read_out_counts_as_far_as_two_agree(peculiar: float) -> None:
    """What is peculiar to an architecture both witnesses see; chance each for itself."""
    rng = np.random.default_rng(0)

    def seen(architectures: list[Architecture], own: Floats) -> tuple[Floats, Floats]:
        truth = np.array(planted(architectures)) + own
        begun, trained = (truth + 1.5 * rng.standard_normal(len(own)) for _ in range(2))
        return begun, trained

    own = peculiar * rng.standard_normal(len(SEEN))
    learned = Foresight(NET.space, SEEN, *seen(SEEN, own))
    assert learned.belief > (0.8 if peculiar else 0.4)
    own = peculiar * rng.standard_normal(len(OTHERS))
    truth, (_, read_out) = np.array(planted(OTHERS)) + own, seen(OTHERS, own)
    with_own, without = learned(OTHERS, read_out), learned(OTHERS)
    ranks = [float(np.corrcoef(values, truth)[0, 1]) for values in (with_own, without, read_out)]
    assert ranks[0] >= max(ranks) - 0.01
    if peculiar:
        assert ranks[0] > ranks[1] + 0.1


def test_witnesses_who_do_not_agree_are_not_believed() -> None:
    """Chance alone: what one says beyond the regression is nothing that the other says."""
    drawn = np.random.default_rng(0).standard_normal((2, len(SEEN)))
    assert Foresight(NET.space, SEEN, *drawn).belief < 0.1
    assert learned_of(SEEN, [0.5] * len(SEEN)).belief == 0.0
