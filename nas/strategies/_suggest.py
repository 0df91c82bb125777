"""A search space in Optuna's words: a categorical distribution for each decision."""

from typing import cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from search_spaces import Architecture, Choice, SearchSpace


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """One categorical distribution for each decision, active or not, parents first."""
    return {d.name: CategoricalDistribution(d.choices) for d in space.decisions}


def suggest(trial: optuna.Trial, space: SearchSpace) -> Architecture:
    """Ask an Optuna trial for an architecture, define-by-run: only active decisions are suggested.

    Works with every Optuna sampler; with a `StrategySampler` on the same space, the whole
    architecture is the strategy's proposal.
    """
    return space.fill(lambda d: cast(Choice, trial.suggest_categorical(d.name, d.choices)))
