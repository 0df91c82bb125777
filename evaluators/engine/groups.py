"""Which runs train together, and what becomes of them when that fails."""

import copy
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch

from evaluators._faults import CandidateError, memory_fault
from evaluators._runs import Run
from evaluators.engine.cohort import Candidate, Cohort, Means
from evaluators.engine.dropout import is_dropped
from evaluators.engine.graph import Graph, View

# Columns of all runs of a cohort side by side: beyond that, weights leave the processor's cache.
_COLUMNS_CPU = 512
_COLUMNS_GPU = 8192
# Numbers in one value of a cohort; a graph that is large keeps the processor busy alone.
_NUMBERS_CPU = 2**22
# Values that a training step keeps for its backward pass, per step of the program.
_KEPT = 4


def train(
    graph: Graph,
    candidates: Sequence[Candidate],
    *,
    share_input_dropout: bool = False,
    in_bfloat16: bool = False,
) -> list[tuple[Run, Exception]]:
    """Train runs until they are done, in cohorts where they can be; see `Run.fault`.

    Returns the runs that a fault of the engine itself kept from being trained, with that fault;
    they are as they were.

    Args:
        candidates: runs on this graph, with the programs of their networks.
        share_input_dropout: one mask of the features for all runs of a seed, in each epoch.
        in_bfloat16: dense products are computed in it; everything else in the graph's own type.
    """
    means = Means(share_input_dropout, in_bfloat16)
    groups: dict[tuple[object, ...], list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(_alike(candidate), []).append(candidate)
    return [
        untrained
        for group in groups.values()
        for cohort in _split(group, _largest(graph, group[0]))
        for untrained in _train(graph, cohort, means)
    ]


def _alike(candidate: Candidate) -> tuple[object, ...]:
    """Equal for candidates that can be a cohort."""
    run = candidate.run
    units = (run.fold.train.numpy().tobytes(), run.fold.val.numpy().tobytes())
    # What nothing is dropped of is a constant, and computed in another order.
    drops = is_dropped(run.recipe.dropout)
    return (candidate.program.signature, run.recipe.optimizer, drops, *units)


def _largest(graph: Graph, candidate: Candidate) -> int:
    """How many such runs a cohort may have."""
    program = candidate.program
    view = graph.view(candidate.run.fold.val, program, training=False)
    columns = program.width
    if view.features.sparse is None and candidate.run.recipe.dropout:
        columns = max(columns, view.features.columns)
    numbers = view.field.rows(program.hops) * columns
    if graph.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(graph.device)
        needed = numbers * _KEPT * len(program.steps) * graph.dtype.itemsize
        return max(1, min(_COLUMNS_GPU // program.width, free // (2 * needed)))
    return max(1, min(_COLUMNS_CPU // program.width, _NUMBERS_CPU // numbers))


def _split(group: Sequence[Candidate], largest: int) -> Iterator[Sequence[Candidate]]:
    """Cohorts of nearly equal size, none over the largest."""
    pieces = -(-len(group) // largest)
    bounds = [len(group) * i // pieces for i in range(pieces + 1)]
    for start, end in pairwise(bounds):
        yield group[start:end]


def _train(
    graph: Graph, candidates: Sequence[Candidate], means: Means
) -> list[tuple[Run, Exception]]:
    """Train a cohort; whoever is done leaves it, and one that fails as a whole is halved."""
    remaining = [c for c in candidates if not c.run.is_done]
    for candidate in candidates:
        if candidate.run.is_done:  # stopped at an earlier rung
            _note(graph, candidate, means)
    while remaining:
        before = [(copy.copy(c.run.state), c.run.allowance.spent) for c in remaining]
        # Modules without a kernel are trained in their networks, all others in copies.
        weights = [copy.deepcopy(c.run.network.state_dict()) for c in remaining if c.program.stock]
        try:
            with memory_fault("training the network"):
                cohort = Cohort(graph, remaining, means)
                cohort.advance()
                cohort.close()
        except Exception as error:
            for candidate, (state, spent) in zip(remaining, before, strict=True):
                candidate.run.state, candidate.run.allowance.spent = state, spent
                candidate.run.fault = None
            for candidate, own in zip(remaining, weights, strict=False):
                candidate.run.network.load_state_dict(own)
            return _blame(graph, remaining, error, means)
        for candidate in remaining:
            _note(graph, candidate, means)
        remaining = [c for c in remaining if not c.run.is_done]
    return []


def _blame(
    graph: Graph, candidates: Sequence[Candidate], error: Exception, means: Means
) -> list[tuple[Run, Exception]]:
    """A failure of one run alone is its own (or ours); of several, that of whoever fails again."""
    if len(candidates) == 1:
        run = candidates[0].run
        if not isinstance(error, CandidateError):
            return [(run, error)]
        run.fault = CandidateError(error.failure, run.state.epoch)
        return []
    if graph.device.type == "cuda":
        torch.cuda.empty_cache()
    middle = len(candidates) // 2
    halves = (candidates[:middle], candidates[middle:])
    return [untrained for half in halves for untrained in _train(graph, half, means)]


def _note(graph: Graph, candidate: Candidate, means: Means) -> None:
    """How a run was trained, for the record."""
    precision = str(graph.dtype).removeprefix("torch.")
    fold, program = candidate.run.fold, candidate.program
    train = graph.view(fold.train, program, training=True)
    val = graph.view(fold.val, program, training=False)
    candidate.run.notes |= {
        "path": "fast",
        "receptive_field": f"train {_extent(train)}, val {_extent(val)}",
        "device": str(graph.device),
        "precision": "bfloat16 products" if means.in_bfloat16 else precision,
    }
    if candidate.run.recipe.dropout and candidate.program.drops_features:
        shared = means.share_input_dropout
        candidate.run.notes["input_dropout"] = "shared" if shared else "independent"
    stock = program.stock
    if stock:
        modules = ", ".join(f"{path}: {kind}" for path, kind in stock)
        candidate.run.notes["stock_modules"] = modules
        kinds = ", ".join(sorted({kind for _, kind in stock}))
        candidate.run.warn(
            f"no fast path for {kinds} as it is used here; its own code was run: right, but slower"
        )


def _extent(view: View) -> str:
    return "whole graph" if view.field.is_whole else f"{view.share:.2f} of the work"
