"""The ways of benchmarks/evaluation.py beside the naive loop: levers alone, and the engine.

Each prepares itself for a dataset and a model and returns what trains for so many epochs,
validating after each; None where it has nothing to do on this dataset.
"""

from functools import lru_cache

import torch
from evaluation_alone import fast_operators, receptive_fields, sparse_features
from evaluation_measure import DROPOUT, LR, WEIGHT_DECAY, Line, Model, Trains, jobs_of

from evaluators._folds import run_folds
from evaluators._recipe import Recipe
from evaluators._runs import Allowance, Run
from evaluators.datasets import Dataset
from evaluators.engine.cohort import Candidate, Cohort, Means
from evaluators.engine.graph import Graph
from evaluators.engine.reading import read
from evaluators.run import run

# Of the runs alone: no patience, the whole graph in one batch.
RECIPE = Recipe(LR, WEIGHT_DECAY, DROPOUT, "adam", None, 1)


@lru_cache(maxsize=1)
def _graph(dataset: Dataset) -> Graph:
    """What is prepared once for all candidates."""
    return Graph(dataset, torch.float32, torch.device("cpu"))


def _cohort(
    dataset: Dataset, model: Model, epochs: int, *, candidates: int, shared_mask: bool = False
) -> Trains:
    """All levers, so many candidates at a time, with one mask of the input for all or not."""
    space, architecture = model.candidate(dataset.task)
    (fold,) = run_folds(dataset, 0, seeds=1, folds=0)
    members = []
    for index in range(candidates):
        torch.manual_seed(index)
        network = space.network(architecture, dataset.task)
        one = Run(network, RECIPE, fold, 0, index, index, epochs, Allowance(None))
        members.append(Candidate(one, read(network, dataset.x.size(1))))
    cohort = Cohort(_graph(dataset), members, Means(share_input_dropout=shared_mask))

    def train() -> None:
        cohort.advance()
        cohort.close()
        faults = [str(member.run.fault) for member in members if member.run.fault is not None]
        if faults:
            raise RuntimeError(f"expected no fault of {model}, got: {faults[0]}")

    return train


def together(dataset: Dataset, model: Model, epochs: int) -> Trains:
    """All levers, one candidate at a time."""
    return _cohort(dataset, model, epochs, candidates=1)


def cohort_of_8(dataset: Dataset, model: Model, epochs: int) -> Trains:
    return _cohort(dataset, model, epochs, candidates=8)


def cohort_of_8_shared(dataset: Dataset, model: Model, epochs: int) -> Trains:
    return _cohort(dataset, model, epochs, candidates=8, shared_mask=True)


def cohort_of_32(dataset: Dataset, model: Model, epochs: int) -> Trains:
    return _cohort(dataset, model, epochs, candidates=32)


def cohort_of_32_shared(dataset: Dataset, model: Model, epochs: int) -> Trains:
    return _cohort(dataset, model, epochs, candidates=32, shared_mask=True)


def as_a_study(dataset: Dataset, model: Model, epochs: int) -> Trains:
    """Eight jobs handed to the evaluator, as a study does: with checkpoints and all metrics."""
    space, architecture = model.candidate(dataset.task)
    jobs = jobs_of(dataset, [(space, architecture, seed) for seed in range(8)], epochs)

    def train() -> None:
        failures = [e.failure.message for e in run(jobs) if e.failure is not None]
        if failures:
            raise RuntimeError(f"expected no failure of {model}, got: {failures[0]}")

    return train


TOGETHER = Line("all together, one at a time", together)
COHORT = Line("cohort of 8, independent masks", cohort_of_8, 8)
SHARED = Line("cohort of 8, shared input mask", cohort_of_8_shared, 8)
LEVERS = (
    Line("sparse features alone", sparse_features),
    Line("receptive fields alone", receptive_fields),
    Line("fast operators alone", fast_operators),
    TOGETHER,
    COHORT,
    SHARED,
    Line("8 jobs of a study, everything included", as_a_study, 8),
)
NARROW = (
    TOGETHER,
    Line("cohort of 32, independent masks", cohort_of_32, 32),
    Line("cohort of 32, shared input mask", cohort_of_32_shared, 32),
)
