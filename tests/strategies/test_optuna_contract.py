"""Every strategy as a sampler of plain Optuna: Optuna's own tests, and a study by `optimize`."""

import functools
import pickle

import optuna
import pytest
from fakes.studies import PREPARED
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase

from nas.strategies import Finished, Problem, StrategySampler, suggest
from nas.strategies._sampler import distributions, finished_from_trial
from search_spaces import plugins

# Plain Optuna has no place for what is trained before the first trial, and says so (tests/study).
STRATEGIES = [name for name in plugins.names("strategy") if name not in PREPARED]

every_strategy = pytest.mark.parametrize("name", STRATEGIES)


@pytest.fixture(autouse=True)
def _quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


class TestStrategySampler(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    """Optuna's contract of a sampler, for studies that are not over our space at all."""

    @pytest.fixture(params=STRATEGIES)
    def sampler(self, request, planted):
        build = plugins.load("strategy", request.param).build
        return functools.partial(
            StrategySampler, build, planted.space_for(request.param, "conditional")
        )


def optimize(planted, name, space, trials, study=None, n_jobs=1, directions=("maximize",)):
    sampler = StrategySampler(plugins.load("strategy", name).build, space, seed=4)
    if study is None:
        study = optuna.create_study(sampler=sampler, directions=directions)
    study.sampler = sampler

    def objective(trial):
        value = planted.reward(suggest(trial, space), 0)
        return (value,) * len(directions)

    study.optimize(objective, n_trials=trials, n_jobs=n_jobs)
    return study


@every_strategy
def test_a_conditional_space_by_optimize(planted, name):
    """Each trial is an architecture of the space, with the active decisions and no others."""
    space = planted.space_for(name, "conditional")
    study = optimize(planted, name, space, 70)
    assert all(space.architecture(trial.params) is not None for trial in study.trials)


@every_strategy
def test_trials_are_the_strategys_proposals(planted, name):
    """The study goes as the strategy's own search does: nothing is resampled on the way."""
    space = planted.space_for(name, "conditional")
    study = optimize(planted, name, space, 60)
    strategy = planted.build(name, space, seed=4)
    tried = planted.search(strategy, 60, lambda a, _: (-planted.reward(a, 0),))
    assert [space.architecture(t.params) for t in study.trials] == tried


@every_strategy
def test_a_fresh_sampler_goes_on_as_the_old_one(planted, name):
    """30 trials and 30 more with a new sampler are the 60 trials of one; a pickled one likewise."""
    space = planted.space_for(name, "conditional")
    whole = optimize(planted, name, space, 60)
    parts = optimize(planted, name, space, 30)
    optimize(planted, name, space, 30, study=parts)
    assert [t.params for t in parts.trials] == [t.params for t in whole.trials]
    copied = pickle.loads(pickle.dumps(whole.sampler))  # noqa: S301 - our own, of a moment ago
    whole.sampler = copied
    parts_next = parts.ask(distributions(space)).params
    assert whole.ask(distributions(space)).params == parts_next


@every_strategy
def test_several_objectives_and_threads(planted, name):
    """Two directions where it can have two, two jobs at a time: every trial completes."""
    space = planted.space_for(name, "conditional")
    directions = ("maximize", "minimize")[: max(planted.objectives_of(name))]
    study = optimize(planted, name, space, 20, n_jobs=2, directions=directions)
    states = {t.state for t in study.trials}
    assert states == {optuna.trial.TrialState.COMPLETE}


def test_other_trials_are_left_out(planted):
    """A trial of other parameters, or with other choices, is no architecture of the space."""
    space = planted.flat(decisions=2, choices=3)
    study = optuna.create_study()
    problem = Problem(space, (planted.Objective("value0", "maximize"),), 0)

    def added(params, choices, **kwargs):
        ours = {n: optuna.distributions.CategoricalDistribution(choices) for n in params}
        trial = optuna.create_trial(params=params, distributions=ours, **kwargs)
        study.add_trial(trial)
        return finished_from_trial(study.trials[-1], problem)

    right = added({"d0": 1, "d1": 2}, (0, 1, 2), value=0.5)
    assert right == Finished(0, space.decode([1, 2]), "complete", (-0.5,))
    assert added({"d0": 1}, (0, 1, 2), value=0.5) is None
    assert added({"d0": 1, "d1": 2}, (0, 1, 2, 3), value=0.5) is None
    extra = added({"d0": 1, "d1": 2, "other": 0}, (0, 1, 2), value=0.5)
    assert extra is not None
    assert extra.architecture == space.decode([1, 2])


def test_outcomes_and_constraints_are_read(planted):
    """Pruned, failed and infeasible trials come through as such."""
    space = planted.single()
    problem = Problem(space, (planted.Objective("value0", "minimize"),), 0)
    study = optuna.create_study()
    for state in (optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.FAIL):
        trial = study.ask()
        suggest(trial, space)
        study.tell(trial, state=state)
    trial = study.ask()
    suggest(trial, space)
    trial.set_constraint("params", 0.25)
    trial.set_constraint("macs", -3.0)
    study.tell(trial, 1.0)
    running = study.ask()
    suggest(running, space)
    found = [finished_from_trial(t, problem) for t in study.trials]
    assert [f and (f.outcome, f.losses, f.violation) for f in found] == [
        ("pruned", None, 0.0),
        ("failed", None, 0.0),
        ("infeasible", (1.0,), 0.25),
        None,
    ]
