"""What strategies propose that have learned a distribution beforehand, and what they refuse."""

import numpy as np
import pytest

from evaluators import Artifact, Preparation, Prepared
from evaluators.preparation import PreparedEpoch
from nas.contracts import planted
from nas.strategies import Finished, Objective, Problem, StrategyError, darts, pc_darts
from search_spaces.plugins import Plugin

SPACE = planted.networks(lr=None, dropout=None, depth=(1, 2), operators=("gcn", "sage"), hops=None)
TASK = planted.TASK


def problem(**objectives: str) -> Problem:
    wanted = objectives or {"val_accuracy": "maximize"}
    asked = tuple(Objective(metric, direction) for metric, direction in wanted.items())
    return Problem(SPACE, asked, 0, known=("params", "macs"))


def learned(sure: float) -> tuple[darts.Learned, object]:
    """A strategy whose distribution has so much on the last choice of each decision."""
    strategy = darts.build(problem())
    rows = {}
    for decision in SPACE.decisions:
        n = len(decision.choices)
        rest = (1 - sure) / (n - 1) if n > 1 else 0.0
        rows[decision.name] = (*(rest for _ in range(n - 1)), sure if n > 1 else 1.0)
    last = PreparedEpoch(1, {}, rows)
    prepared = Prepared(Preparation(Plugin("darts"), 1, 1.0), Artifact("file:///", "0" * 64), last)
    return strategy, strategy.prepared(strategy.initial(), prepared)


def test_the_most_probable_comes_first_then_draws() -> None:
    """And is not proposed again when it has ended, or is under way."""
    strategy, state = learned(0.9)
    likely = SPACE.fill(lambda d: d.choices[-1])
    first = strategy.propose(state, 0, [], np.random.default_rng(0))
    assert first.architecture == likely
    assert first.note["phase"] == "most probable"
    several = len([d for d in SPACE.decisions if d.name in likely.choices and len(d.choices) > 1])
    assert first.note["probability"] == pytest.approx(0.9**several)
    for seen in ([likely], []):
        ended = state if seen else strategy.fold(state, Finished(0, likely, "complete", (0.1,)))
        assert strategy.propose(ended, 1, seen, np.random.default_rng(1)).note["phase"] == "drawn"


def test_draws_are_by_the_distribution() -> None:
    """A decision's choices come as often as they are probable; even ones evenly (control)."""
    for sure in (0.9, 1 / 3):
        strategy, state = learned(sure)
        rng = np.random.default_rng(0)
        drawn = [strategy.drawn(state, rng).choices["layer0.width"] for _ in range(600)]
        assert drawn.count(32) / 600 == pytest.approx(sure, abs=0.06)


@pytest.mark.parametrize(
    ("objectives", "said"),
    [
        ({"val_accuracy": "maximize", "params": "minimize"}, "one objective, got 2"),
        ({"params": "minimize"}, "known without training"),
        ({"train_seconds": "minimize"}, "not measured on them"),
        ({"val_accuracy": "minimize"}, 'val_accuracy = "minimize"; expected "maximize"'),
        ({"val_loss": "maximize"}, 'val_loss = "maximize"; expected "minimize"'),
    ],
)
@pytest.mark.parametrize("strategy", [darts, pc_darts], ids=["darts", "pc_darts"])
def test_objectives_that_are_not_learned_are_refused(
    strategy: object, objectives: dict[str, str], said: str
) -> None:
    """By their name; what is measured on validation is not."""
    with pytest.raises(StrategyError, match=said):
        strategy.build(problem(**objectives))  # type: ignore[attr-defined]
    strategy.build(problem(val_loss="minimize"))  # type: ignore[attr-defined]


def test_what_is_prepared_costs_what_it_computes() -> None:
    """More for the second order, less for a part of the channels, more for more operators."""

    def passes(build: object, space: object = SPACE, **options: object) -> float:
        asked = Problem(space, problem().objectives, 0)  # type: ignore[arg-type]
        preparation = build(asked, **options).preparation  # type: ignore[operator]
        return float(preparation.passes)

    whole = passes(darts.build)
    assert passes(darts.build, order="second") > whole > passes(pc_darts.build)
    fewer = planted.networks(lr=None, dropout=None, operators=("gcn",), hops=None)
    assert passes(darts.build, fewer) < whole
    assert passes(darts.build, epochs=100) == 2 * whole
