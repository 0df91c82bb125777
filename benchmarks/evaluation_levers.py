"""The levers of fast evaluation as benchmarks/evaluation.py times them: one by one, and together.

Each is a way of training: it prepares itself for a dataset and a model and returns what trains for
so many epochs, validating after each; None where it has nothing to do on this dataset.
"""

from evaluation_measure import Line, Model, Trains, jobs_of

from evaluators.datasets import Dataset
from evaluators.run import run


# FILL (1 of 5)
def sparse_features(dataset: Dataset, model: Model, epochs: int) -> Trains | None:
    """Sparse features alone: dropout and the first product on non-zeros; None where dense."""
    return None


# FILL (2 of 5)
def receptive_fields(dataset: Dataset, model: Model, epochs: int) -> Trains | None:
    """Exact receptive fields alone: only the nodes that the losses see."""
    return None


# FILL (3 of 5)
def fast_operators(dataset: Dataset, model: Model, epochs: int) -> Trains | None:
    """Operators on CSR with stored transposes alone."""
    return None


# FILL (4 of 5)
def together(dataset: Dataset, model: Model, epochs: int) -> Trains | None:
    """All levers, one candidate at a time."""
    return None


# FILL (5 of 5)
def _cohort(
    dataset: Dataset, model: Model, epochs: int, *, candidates: int, shared_mask: bool
) -> Trains | None:
    """All levers, so many candidates at a time, with one mask of the input for all or not."""
    return None


def cohort_of_8(dataset: Dataset, model: Model, epochs: int) -> Trains | None:
    return _cohort(dataset, model, epochs, candidates=8, shared_mask=False)


def cohort_of_8_shared(dataset: Dataset, model: Model, epochs: int) -> Trains | None:
    return _cohort(dataset, model, epochs, candidates=8, shared_mask=True)


def cohort_of_32(dataset: Dataset, model: Model, epochs: int) -> Trains | None:
    return _cohort(dataset, model, epochs, candidates=32, shared_mask=False)


def cohort_of_32_shared(dataset: Dataset, model: Model, epochs: int) -> Trains | None:
    return _cohort(dataset, model, epochs, candidates=32, shared_mask=True)


def as_a_study(dataset: Dataset, model: Model, epochs: int) -> Trains | None:
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
    Line("all together, one at a time", together),
    Line("cohort of 32, independent masks", cohort_of_32, 32),
    Line("cohort of 32, shared input mask", cohort_of_32_shared, 32),
)
