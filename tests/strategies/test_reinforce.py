"""The controller of GraphNAS learns, where there is something to learn, and not otherwise."""

import math

import numpy as np
import pytest

from nas.strategies import Finished, StrategyError, reinforce

SEEDS, STEPS, LAST = range(5), 600, 200
PUBLISHED_RATE = 3.5e-4


def the_last(rewards, rng):
    del rng
    return rewards[-1]


def late_rewards(planted, seed, shown_of=the_last, lr=PUBLISHED_RATE):
    """The mean true reward of the last of 600 trials; `shown_of` is what the strategy sees."""
    space = planted.components()
    target, rng = planted.hidden(space, seed), np.random.default_rng([seed, 7])
    rewards = []

    def losses_of(architecture, _):
        rewards.append(planted.matched(architecture, target))
        return (-shown_of(rewards, rng),)

    planted.search(planted.build("reinforce", space, seed=seed, lr=lr), STEPS, losses_of)
    return float(np.mean(rewards[-LAST:]))


def of_a_random_earlier_trial(rewards, rng):
    return rewards[int(rng.integers(len(rewards)))]


def with_outliers(rewards, rng):
    return -1e4 if rng.random() < 0.01 else rewards[-1]


def test_a_random_architecture_matches_a_quarter_or_so(planted):
    """What the checks below start from, exactly and by sampling."""
    space = planted.components()
    expected = np.mean([1 / len(d.choices) for d in space.decisions])
    assert expected == pytest.approx(0.235, abs=5e-4)
    rng, target = np.random.default_rng(0), planted.hidden(space, 0)
    drawn = [planted.matched(space.sample(rng), target) for _ in range(4000)]
    assert np.mean(drawn) == pytest.approx(expected, abs=0.01)


def test_it_learns_a_planted_reward(planted):
    """One seed: the true reward is learned; a random earlier trial's, or at rate 0, is not."""
    assert late_rewards(planted, 0) > 0.45
    assert late_rewards(planted, 0, of_a_random_earlier_trial) < 0.30
    assert late_rewards(planted, 0, lr=0.0) < 0.30


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shown_of", "low", "high"),
    [(the_last, 0.45, 1.0), (of_a_random_earlier_trial, 0.0, 0.30)],
    ids=["true", "shuffled"],
)
def test_it_learns_planted_rewards(planted, shown_of, low, high):
    """5 seeds of 600 trials, the mean reward of the last 200; 0.235 at random."""
    assert low < np.mean([late_rewards(planted, seed, shown_of) for seed in SEEDS]) < high
    default = [late_rewards(planted, seed, shown_of, lr=3.5e-3) for seed in SEEDS]
    assert low < np.mean(default) < high


def test_outliers_do_not_stop_it(planted, monkeypatch):
    """One loss in a hundred is 10,000; without the limit on advantages nothing would be learned."""
    assert late_rewards(planted, 0, with_outliers) > 0.45
    monkeypatch.setattr(reinforce, "_FAR", math.inf)
    assert late_rewards(planted, 0, with_outliers) < 0.30


def test_the_scale_of_the_objective_does_not_matter(planted):
    """Losses times 1000, plus 7: the same controller, but for the entropy bonus."""
    space = planted.components()
    strategy = planted.build("reinforce", space, entropy=0.0)
    trials = [t for t in planted.record(space, 60) if t.outcome == "complete"]
    scaled = [
        Finished(t.ordinal, t.architecture, "complete", (t.losses[0] * 1000 + 7,)) for t in trials
    ]
    one, other = planted.folded(strategy, trials), planted.folded(strategy, scaled)
    moved = np.abs(one.parameters.values - strategy.initial().parameters.values)
    apart = np.abs(one.parameters.values - other.parameters.values)
    assert moved.max() > 1e-3
    assert apart.mean() < 1e-2 * moved.mean()


def log_probability(strategy, state, architecture):
    return strategy.walk_of(state, Finished(0, architecture, "failed", None)).log_probability


def begun(strategy, losses=(0.2, 0.5, 0.7, 0.5, 0.4)):
    """The state after the five trials that make the baseline and teach nothing."""
    space = strategy.problem.space
    first = [space.sample(np.random.default_rng(100 + i)) for i in range(len(losses))]
    trials = [
        Finished(i, a, "complete", (x,)) for i, (a, x) in enumerate(zip(first, losses, strict=True))
    ]
    state = strategy.initial()
    for trial in trials:
        state = strategy.fold(state, trial)
    assert np.array_equal(state.parameters.values, strategy.initial().parameters.values)
    return state


def test_a_good_result_becomes_more_probable(planted):
    """Also of an architecture that was given or comes late; a bad one becomes less probable."""
    space = planted.conditional()
    strategy = planted.build("reinforce", space, lr=0.01)
    rng = np.random.default_rng(1)
    good, bad = (space.sample(rng) for _ in range(2))
    state = begun(strategy)
    better = strategy.fold(state, Finished(3, good, "complete", (0.1,)))
    worse = strategy.fold(state, Finished(5, bad, "complete", (0.9,)))
    assert log_probability(strategy, better, good) > log_probability(strategy, state, good)
    assert log_probability(strategy, worse, bad) < log_probability(strategy, state, bad)


def test_probabilities_of_a_conditional_space_sum_to_one(planted):
    """Inactive decisions are no tokens."""
    space = planted.conditional(2)
    strategy = planted.build("reinforce", space, lr=0.01)
    state = planted.folded(strategy, planted.record(space, 80))
    total = sum(math.exp(log_probability(strategy, state, a)) for a in space)
    assert total == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("outcome", ["pruned", "infeasible"])
def test_what_has_no_result_gets_the_worst(planted, outcome):
    """As if it had the highest loss so far; before there is one, it teaches nothing."""
    space = planted.flat()
    strategy = planted.build("reinforce", space)
    a, d = (space.sample(np.random.default_rng(i)) for i in range(2))
    violation = 1.0 if outcome == "infeasible" else 0.0
    early = strategy.fold(strategy.initial(), Finished(0, a, outcome, None, violation))
    assert np.array_equal(early.parameters.values, strategy.initial().parameters.values)
    state = begun(strategy)
    ended = strategy.fold(state, Finished(3, d, outcome, None, violation))
    worst = strategy.fold(state, Finished(3, d, "complete", (0.7,)))
    assert np.array_equal(ended.parameters.values, worst.parameters.values)
    assert not np.array_equal(ended.parameters.values, state.parameters.values)
    assert strategy.fold(state, Finished(3, d, "failed", None)) is state


def test_several_objectives_are_refused(planted):
    """With what to use instead."""
    with pytest.raises(StrategyError, match=r"loss0, loss1.*nsga2 or linas"):
        planted.build("reinforce", planted.flat(), 2)


@pytest.mark.parametrize("at", [0, 1])
def test_an_outlier_at_the_beginning_does_not_stop_it(planted, at):
    """One loss of 10,000 among the first two, from which the deviation is not known yet."""

    def shown(rewards, rng):
        return -1e4 if len(rewards) == at + 1 else rewards[-1]

    assert late_rewards(planted, 0, shown, lr=3.5e-3) > 0.45
