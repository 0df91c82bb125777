"""Which runs train together, and what becomes of them when that fails."""

import copy
from collections.abc import Sequence

import torch

from evaluators._faults import CandidateError, memory_fault, release
from evaluators._memory import Bound, available_bytes, explained
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
    """Train runs until they are done or to be stopped, in cohorts where they can be.

    Returns the runs that a fault of the engine itself kept from being trained, with that fault;
    they are as they were. A candidate's own fault is its `Run.fault`.

    Args:
        candidates: runs on this graph, with the programs of their networks.
        share_input_dropout: one mask of the features for all runs of a seed, in each epoch.
        in_bfloat16: dense products are computed in it; everything else in the graph's own type.
    """
    means = Means(share_input_dropout, in_bfloat16)
    groups: dict[tuple[object, ...], list[Candidate]] = {}
    for candidate in candidates:
        if candidate.run.is_done:  # at an earlier rung, or before it was stopped
            _note(graph, candidate, means)
        elif candidate.run.goes_on:
            groups.setdefault(_alike(candidate), []).append(candidate)
    untrained = []
    for group in groups.values():
        try:
            untrained += _train_alike(graph, group, means)
        except Exception as error:  # before a cohort began: what its losses see could not be made
            untrained += [(c.run, error) for c in group if c.run.goes_on]
    return untrained


def _alike(candidate: Candidate) -> tuple[object, ...]:
    """Equal for candidates that can be a cohort."""
    run = candidate.run
    units = (run.fold.train.numpy().tobytes(), run.fold.val.numpy().tobytes())
    # What nothing is dropped of is a constant, and computed in another order.
    drops = is_dropped(run.recipe.dropout)
    lesson = None if run.lesson is None else id(run.lesson)
    return (candidate.program.signature, run.recipe.optimizer, drops, lesson, *units)


def _train_alike(
    graph: Graph, candidates: Sequence[Candidate], means: Means
) -> list[tuple[Run, Exception]]:
    """Train runs that can be a cohort, in as few of nearly equal size as there may be."""
    waiting, untrained = list(candidates), []
    while waiting and waiting[0].run.goes_on:
        # Anew each time: what a cohort has failed of, the next one is not tried with.
        pieces = -(-len(waiting) // _largest(graph, waiting[0], means))
        size = -(-len(waiting) // pieces)
        untrained += _train(graph, waiting[:size], means)
        waiting = waiting[size:]
    return untrained


def _largest(graph: Graph, candidate: Candidate, means: Means) -> int:
    """How many such runs a cohort may have."""
    program = candidate.program
    numbers, each = _numbers(graph, candidate), _bytes(graph, candidate)
    bound = _bound(graph, candidate, means).runs(each)
    if graph.device.type == "cuda":
        free = available_bytes(graph.device)
        return int(max(1, min(_COLUMNS_GPU // program.width, free // (2 * each), bound)))
    return int(max(1, min(_COLUMNS_CPU // program.width, _NUMBERS_CPU // numbers, bound)))


def _numbers(graph: Graph, candidate: Candidate) -> int:
    """In the largest value of a run."""
    program = candidate.program
    view = graph.view(candidate.run.fold.val, program, training=False)
    columns = program.width
    if view.features.sparse is None and candidate.run.recipe.dropout:
        columns = max(columns, view.features.columns)
    rows = view.field.rows(program.hops)
    if candidate.run.lesson is not None:  # which may be of more nodes than validation
        train = graph.view(candidate.run.seen, program, training=True)
        rows = max(rows, train.field.rows(program.hops))
    return rows * columns


def _bytes(graph: Graph, candidate: Candidate) -> int:
    """What a run takes in training, by a rough estimate: several times too high."""
    steps = len(candidate.program.steps)
    return _numbers(graph, candidate) * _KEPT * steps * graph.dtype.itemsize


def _bound(graph: Graph, candidate: Candidate, means: Means) -> Bound:
    """Of cohorts like this one. The estimate knows nothing of modules without a kernel."""
    kinds = frozenset(kind for _, kind in candidate.program.stock)
    return graph.bounds[means.in_bfloat16, kinds]


def _train(
    graph: Graph, candidates: Sequence[Candidate], means: Means
) -> list[tuple[Run, Exception]]:
    """Train a cohort; whoever is done leaves it, and one that fails as a whole is halved."""
    remaining = list(candidates)
    bound, each = _bound(graph, remaining[0], means), _bytes(graph, remaining[0])
    while remaining:
        free = available_bytes(graph.device)
        before = [(copy.copy(c.run.state), c.run.allowance.spent) for c in remaining]
        # Modules without a kernel are trained in their networks, all others in copies.
        weights = [copy.deepcopy(c.run.network.state_dict()) for c in remaining if c.program.stock]
        size = each * len(remaining)
        error = _attempt(graph, remaining, means)
        if error is not None:
            if isinstance(error, CandidateError) and error.failure.kind == "out_of_memory":
                bound.has_failed(size)
                known = {"needed": size, "fitted": bound.fitted}
                error.failure = explained(error.failure, free, graph.device, **known)
            # Whoever is tried again needs the memory that the failed cohort has taken.
            release(error)
            for candidate, (state, spent) in zip(remaining, before, strict=True):
                candidate.run.state, candidate.run.allowance.spent = state, spent
                candidate.run.fault = None
            for candidate, own in zip(remaining, weights, strict=False):
                candidate.run.network.load_state_dict(own)
            return _blame(graph, remaining, error, means)
        bound.has_fitted(size)
        for candidate in remaining:
            _note(graph, candidate, means)
        remaining = [c for c in remaining if c.run.goes_on]
    return []


def _attempt(graph: Graph, candidates: Sequence[Candidate], means: Means) -> Exception | None:
    """Train a cohort until one of its runs is done; what kept it from that, if anything."""
    try:
        with memory_fault("training the network"):
            cohort = Cohort(graph, candidates, means)
            cohort.advance()
            cohort.close()
    except Exception as error:
        return error
    return None


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
    return [untrained for half in halves for untrained in _train_alike(graph, half, means)]


def _note(graph: Graph, candidate: Candidate, means: Means) -> None:
    """How a run was trained, for the record."""
    precision = str(graph.dtype).removeprefix("torch.")
    fold, program = candidate.run.fold, candidate.program
    train = graph.view(candidate.run.seen, program, training=True)
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
        for kind in sorted({kind for _, kind in stock}):
            candidate.run.warn(f"{kind} has no fast path as it is used here: right, but slower")


def _extent(view: View) -> str:
    return "whole graph" if view.field.is_whole else f"{view.share:.2f} of the work"
