"""Proposals along a ladder of costs, near what was learned; and what is refused."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from evaluators import Artifact, Preparation, Prepared, cost_of
from evaluators.preparation import PreparedEpoch
from nas.contracts import planted
from nas.strategies import Finished, Objective, Problem, StrategyError
from nas.strategies._belief import Belief, lost
from nas.strategies._ladder import Ladder, end, halved
from nas.strategies.lpgnas import Lpgnas, build
from search_spaces import Architecture, SearchSpace
from search_spaces.extensions import quantization
from search_spaces.plugins import Plugin


def space() -> SearchSpace:
    plain = planted.networks(
        lr=None,
        dropout=None,
        hops=None,
        depth=(1, 2),
        operators=("gcn", "linear"),
        normalization=("none",),
        activation=("relu",),
        connectivity=("plain",),
        pre_layers=(0,),
        post_layers=(0,),
        output=("linear",),
    )
    return plain.extended(quantization.build(plain, planted.TASK, per_layer=True))


SPACE = space()
_row = cost_of(SPACE, planted.TASK, "model_bytes")
EVEN: Mapping[str, tuple[float, ...]] = {
    d.name: (1 / len(d.choices),) * len(d.choices) for d in SPACE.decisions
}
BYTES = {"val_accuracy": "maximize", "model_bytes": "minimize"}


def cost(architecture: object) -> float:
    return _row(architecture).value  # type: ignore[arg-type]


def problem(**objectives: str) -> Problem:
    asked = tuple(Objective(metric, direction) for metric, direction in objectives.items())
    known = ("params", "macs", "model_bytes", "bit_operations")
    return Problem(SPACE, asked, 0, known=known, task=planted.TASK)


def leaning(sure: float) -> dict[str, tuple[float, ...]]:
    """So much on the last choice of each decision, and the same of the others each."""
    return {
        d.name: (*((1 - sure) / (n - 1) for _ in range(n - 1)), sure) if n > 1 else (1.0,)
        for d in SPACE.decisions
        for n in (len(d.choices),)
    }


def strategy(
    rows: Mapping[str, tuple[float, ...]] = EVEN, **objectives: str
) -> tuple[Lpgnas, object]:
    made = build(problem(**(objectives or BYTES)))
    prepared = Prepared(
        Preparation(Plugin("lpgnas"), 1, 1.0),
        Artifact("file:///", "0" * 64),
        PreparedEpoch(1, {}, rows),
    )
    return made, made.prepared(made.initial(), prepared)


def losing(rows: Mapping[str, tuple[float, ...]]) -> Callable[[Architecture], float]:
    """What is expected before any trial."""
    return lambda architecture: lost(SPACE, rows, architecture)


def test_before_any_trial_the_probable_is_expected_to_do_best() -> None:
    """And in the same order after one, of which nothing can be learned."""
    rows, some = leaning(0.6), [SPACE.sample(np.random.default_rng(seed)) for seed in range(20)]
    order = np.argsort([lost(SPACE, rows, a) for a in some])
    for trials in ([], [(some[0], 0.5)]):
        belief = Belief(SPACE, rows, trials)
        assert (np.argsort([belief.loss(a) for a in some]) == order).all()


def test_trials_teach_of_what_is_alike() -> None:
    """A choice that did badly in trials is expected to do so elsewhere; control: with losses that
    say nothing of it."""
    rng = np.random.default_rng(0)
    some = [SPACE.sample(rng) for _ in range(60)]
    deep = np.array([a.choices["depth"] == 2 for a in some])
    told, silent = (
        Belief(SPACE, EVEN, list(zip(some[:30], losses, strict=True)))
        for losses in (deep[:30].astype(float), rng.permutation(deep[:30].astype(float)))
    )
    apart = [
        np.mean([b.loss(a) for a, is_deep in zip(some[30:], deep[30:], strict=True) if is_deep])
        - np.mean(
            [b.loss(a) for a, is_deep in zip(some[30:], deep[30:], strict=True) if not is_deep]
        )
        for b in (told, silent)
    ]
    assert apart[0] > 1 > 0.5 > abs(apart[1])


def test_trials_outvote_what_was_learned() -> None:
    """Where the improbable did better, again and again."""
    rows, rng = leaning(0.8), np.random.default_rng(1)
    some = [SPACE.sample(rng) for _ in range(80)]
    losses = [-lost(SPACE, rows, a) for a in some]
    belief = Belief(SPACE, rows, list(zip(some[:60], losses[:60], strict=True)))
    expected = [belief.loss(a) for a in some[60:]]
    assert np.corrcoef(expected, losses[60:])[0, 1] > 0.7


def test_impossible_choices_are_expected_to_do_worst() -> None:
    """And expectations stay finite."""
    rows = leaning(1.0)
    trials = [(SPACE.sample(np.random.default_rng(s)), float(s)) for s in range(5)]
    belief = Belief(SPACE, rows, trials)
    some = [SPACE.sample(np.random.default_rng(s)) for s in range(5, 15)]
    likely = SPACE.fill(lambda d: d.choices[-1])
    assert all(math.isfinite(belief.loss(a)) for a in some)
    assert all(Belief(SPACE, rows, []).loss(likely) < Belief(SPACE, rows, []).loss(a) for a in some)


def test_a_ladder_is_between_the_smallest_and_the_largest() -> None:
    """Of all architectures; both ends, then halves of what is between."""
    costs = [cost(SPACE.sample(np.random.default_rng(seed))) for seed in range(300)]
    ladder = Ladder(SPACE, cost)
    ends = ladder.rung(1), ladder.rung(2)
    assert ends == (cost(end(SPACE, cost, 1)), cost(end(SPACE, cost, -1)))
    assert ends[0] <= min(costs) < max(costs) <= ends[1]
    places = sorted(
        math.log(ladder.rung(n) / ends[0]) / math.log(ends[1] / ends[0]) for n in range(1, 10)
    )
    assert places == pytest.approx([n / 8 for n in range(9)])
    assert sorted(halved(n) for n in range(1, 64)) == [n / 64 for n in range(1, 64)]


def test_the_ends_are_those_of_all_architectures() -> None:
    """Of a space that can be gone through."""
    small = planted.network()
    small = small.extended(quantization.build(small, planted.TASK, per_layer=True))
    row = cost_of(small, planted.TASK, "model_bytes")
    costs = [row(architecture).value for architecture in small]
    found = [row(end(small, lambda a: row(a).value, sign)).value for sign in (1, -1)]
    assert len(set(costs)) > 5
    assert found == [min(costs), max(costs)]


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_what_is_proposed_is_near_the_cost_and_the_distribution(place: float) -> None:
    """It loses less than draws of an even distribution do, which are as near (control)."""
    ladder, rows = Ladder(SPACE, cost), leaning(0.7)
    low, high = ladder.rung(1), ladder.rung(2)
    aim = low * (high / low) ** place
    loses = []
    for distribution in (rows, EVEN):
        found = [
            ladder.nearest(
                aim, distribution, losing(distribution), set(), np.random.default_rng(seed)
            )
            for seed in range(8)
        ]
        assert all(abs(math.log(cost(a) / aim)) < 0.15 for a in found)
        loses.append(np.mean([lost(SPACE, rows, a) for a in found]))
    assert loses[0] < 0.7 * loses[1]


def test_what_was_tried_is_not_proposed_again() -> None:
    """A distribution that has converged repeats itself; control: without knowing what was."""
    ladder, rows, seen = Ladder(SPACE, cost), leaning(0.97), set[str]()
    aim = cost(SPACE.fill(lambda d: d.choices[-1]))
    for seed in range(12):
        found = ladder.nearest(aim, rows, losing(rows), seen, np.random.default_rng(seed))
        assert found.key not in seen
        seen.add(found.key)
    again = {
        ladder.nearest(aim, rows, losing(rows), set(), np.random.default_rng(seed)).key
        for seed in range(12)
    }
    assert len(again) < 6 < len(seen)


def test_a_front_begins_with_the_most_probable_one() -> None:
    """Then come both ends, and costs between two of the front where most is still to be gained."""
    made, state = strategy(leaning(0.9))
    likely = SPACE.fill(lambda d: d.choices[-1])
    first = made.propose(state, 0, [], np.random.default_rng(0))  # type: ignore[arg-type]
    assert (first.architecture, first.note["phase"]) == (likely, "most probable")
    ladder, keys = Ladder(SPACE, cost), {likely.key}
    state = made.fold(state, Finished(0, likely, "complete", (0.1, 1.0)))  # type: ignore[arg-type]
    for ordinal in range(1, 6):
        found = made.propose(state, ordinal, [], np.random.default_rng(ordinal))
        assert found.note["phase"] == "at a cost"
        # Losses are all alike, so there is no gap, and the ladder is followed.
        assert found.note["aim"] == float(f"{ladder.rung(ordinal):.4g}")
        waiting = made.propose(state, ordinal, [found.architecture], np.random.default_rng(ordinal))
        assert waiting.architecture != found.architecture
        keys.add(found.architecture.key)
        state = made.fold(state, Finished(ordinal, found.architecture, "complete", (0.1, 1.0)))
    assert len(keys) == 6
    alone, state = strategy(leaning(0.9), val_accuracy="maximize")
    drawn = alone.propose(state, 1, [likely], np.random.default_rng(0))  # type: ignore[arg-type]
    assert drawn.note["phase"] == "drawn"


def test_the_widest_gap_is_aimed_at() -> None:
    """Of what dominates; by its ratio and by its losses; none where all are near each other."""
    ladder = Ladder(SPACE, cost)
    front = [(1e3, 0.5), (2e3, 0.2), (32e3, 0.19), (3e3, 0.9)]
    assert ladder.widest_gap(front) == pytest.approx(math.sqrt(2) * 1e3)
    steep = [(1e3, 0.5), (2e3, 0.49), (32e3, 0.19)]
    assert ladder.widest_gap(steep) == pytest.approx(8e3)
    in_vain = [*steep, (8e3, 0.6)]
    assert ladder.widest_gap(in_vain) == pytest.approx(4e3)
    assert ladder.widest_gap([(1e3, 0.5), (1.1e3, 0.1)]) is None
    assert ladder.widest_gap([(1e3, 0.2), (2e3, 0.5)]) is None


def test_what_is_under_way_is_not_aimed_at_again() -> None:
    """It halves its gap; then another one is wider."""
    made, state = strategy(EVEN)
    ends = [end(SPACE, cost, sign) for sign in (1, -1)]
    for ordinal, (architecture, loss) in enumerate(zip(ends, (-0.5, -0.8), strict=True)):
        ended = Finished(ordinal, architecture, "complete", (loss, cost(architecture)))
        state = made.fold(state, ended)  # type: ignore[arg-type]
    likely = made.first(state)  # type: ignore[arg-type]
    assert likely is not None
    one = made.propose(state, 3, [likely], np.random.default_rng(0))  # type: ignore[arg-type]
    waiting = [likely, one.architecture]
    other = made.propose(state, 4, waiting, np.random.default_rng(0))  # type: ignore[arg-type]
    assert abs(math.log(float(other.note["aim"]) / cost(one.architecture))) > 0.2


@pytest.mark.parametrize(
    ("objectives", "options", "said"),
    [
        (
            {"val_accuracy": "maximize", "val_loss": "minimize"},
            {},
            "for one objective, or for one and a cost to be minimized, of model_bytes, bit_op",
        ),
        ({**BYTES, "macs": "minimize"}, {}, "got 3: val_accuracy"),
        ({"val_accuracy": "maximize", "model_bytes": "maximize"}, {}, r"model_bytes \(maximize\)"),
        ({"model_bytes": "minimize", "bit_operations": "minimize"}, {}, "for one objective"),
        ({"params": "minimize", "model_bytes": "minimize"}, {}, "known without training"),
        (BYTES, {"cost": "bit_operations"}, "cost: the study's objective is model_bytes, got"),
        ({"val_accuracy": "maximize"}, {"cost": "latency_ms"}, r"give the study a \[latency\]"),
    ],
)
def test_what_it_is_not_for_is_refused(
    objectives: dict[str, str], options: dict[str, str], said: str
) -> None:
    """By name, with what to do."""
    with pytest.raises(StrategyError, match=said):
        build(problem(**objectives), **options)  # type: ignore[arg-type]


def test_it_is_charged_for_single_networks() -> None:
    """However many choices there are; a step of the decisions for four forward and one back."""
    for warm_up, passes in ((None, 3 * (7 + 2 * 4)), (5, 3 * (7 + 2 * 2))):
        made = build(problem(**BYTES), epochs=7, steps=3, warm_up_epochs=warm_up)
        assert made.preparation.passes == passes
