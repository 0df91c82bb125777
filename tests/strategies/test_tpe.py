"""TPE on the mirror: exact, quiet, aware of what is pending or failed, and better than random."""

import warnings

import numpy as np
import optuna
import pytest

from nas.strategies import Finished, tpe


@pytest.mark.parametrize("informed", [True, False], ids=["planted", "shuffled"])
def test_it_beats_random_search_on_a_planted_reward(planted, informed):
    """100 trials, 10 paired seeds: better in at least 9; with shuffled losses it is not.

    Sign test: were both alike, 9 of 10 would happen by chance with probability 0.011.
    """
    space, wins = planted.flat(decisions=8, choices=6), 0
    for seed in range(10):
        noise = np.random.default_rng([seed, 7])

        def losses_of(architecture, ordinal, seed=seed, noise=noise):
            shown = architecture if informed else space.sample(noise)
            return (-planted.reward(shown, seed),)

        best = {}
        for name in ("tpe", "random"):
            tried = planted.search(planted.build(name, space, seed=seed), 100, losses_of)
            best[name] = max(planted.reward(a, seed) for a in tried)
        wins += best["tpe"] > best["random"]
    assert (wins >= 9) == informed


def test_a_used_mirror_equals_a_fresh_one(planted, monkeypatch):
    """After many proposals, also past the limit at which a mirror is made anew."""
    space = planted.conditional()
    trials = planted.record(space, 60)
    fresh = planted.build("tpe", space)
    state = planted.folded(fresh, trials)
    expected = [planted.propose(planted.build("tpe", space), state, o) for o in range(12)]
    monkeypatch.setattr(tpe, "_MOST_SCRATCH", 5)
    used = planted.build("tpe", space)
    mirrors = set()
    for length in (10, 40, 60):
        for ordinal in range(12):
            pending = [t.architecture for t in trials[ordinal : ordinal + 20]]
            planted.propose(used, state[:length], ordinal, pending)
            mirrors.add(id(used._memo.study))
    assert [planted.propose(used, state, o) for o in range(12)] == expected
    assert len(mirrors) > 1
    assert all(t.state != optuna.trial.TrialState.RUNNING for t in used._memo.study.trials)


@pytest.mark.parametrize("n_objectives", [1, 2])
def test_proposals_differ_in_conditional_spaces(planted, n_objectives):
    """From one record, 20 ordinals have mostly different proposals (sampled singly, about one)."""
    space = planted.conditional(6)
    strategy = planted.build("tpe", space, n_objectives)
    state = planted.folded(strategy, planted.record(space, 60, n_objectives))
    keys = {planted.propose(strategy, state, o).architecture.key for o in range(20)}
    assert len(keys) > 15


def test_pending_trials_count(planted):
    """Where everything good is already being tried, other choices are proposed more often."""
    space = planted.flat(decisions=1, choices=4)
    strategy = planted.build("tpe", space)
    every = list(space)
    trials = [Finished(i, every[i % 4], "complete", (float(i % 4),)) for i in range(40)]
    state = planted.folded(strategy, trials)

    def best_proposed(pending):
        proposed = [planted.propose(strategy, state, o, pending).architecture for o in range(40)]
        return proposed.count(every[0])

    assert best_proposed([]) == 40
    assert best_proposed([every[0]] * 30) < 20


@pytest.mark.parametrize("outcome", ["failed", "infeasible"])
def test_failures_are_kept_away_from(planted, outcome):
    """A choice that always fails is proposed less than its share; one that works is not."""
    space = planted.flat(decisions=3, choices=4)
    strategy = planted.build("tpe", space)
    rng = np.random.default_rng(0)

    def share(bad):
        trials = []
        for i in range(80):
            architecture = space.sample(rng)
            broken = bad and architecture.choices["d0"] == 0
            violation = 1.0 if broken and outcome == "infeasible" else 0.0
            losses = None if broken else (float(rng.random()),)
            result = outcome if broken else "complete"
            trials.append(Finished(i, architecture, result, losses, violation))
        state = planted.folded(strategy, trials)
        proposed = [planted.propose(strategy, state, o).architecture for o in range(60)]
        return sum(a.choices["d0"] == 0 for a in proposed) / 60

    assert share(bad=True) < 0.05


def test_it_is_quiet_and_leaves_optunas_verbosity(planted, capfd):
    """No log lines, no warnings of experimental features, and no setting of the user's changed."""
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            space = planted.conditional()
            for n_objectives in (1, 2):
                strategy = planted.build("tpe", space, n_objectives)
                trials = planted.record(space, 30, n_objectives)
                state = planted.folded(strategy, trials)
                planted.propose(strategy, state, 30, [trials[0].architecture])
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
