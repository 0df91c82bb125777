"""What a process learns of its memory: which cohorts are too large, and what to say of it."""

import gc
import math
import re
import sys
from collections.abc import Iterator

import pytest
import tiny
from faulty import touchy
from faulty.touchy import OutOfMemoryBeyond, Touchy
from hypothesis import given
from hypothesis import strategies as st
from test_company import evaluate, job, space
from torch import Tensor

from evaluators import Failure, Job
from evaluators._memory import Bound, available_bytes, explained
from evaluators.datasets import save_sealed
from evaluators.engine import groups
from evaluators.engine.cohort import Cohort
from evaluators.engine.graph import Graph, View
from evaluators.executors import processes
from evaluators.run import run
from search_spaces import plugins
from search_spaces.plugins import Plugin


@pytest.fixture(autouse=True)
def watch() -> Iterator[None]:
    """The modules of `touchy` are left alone afterwards."""
    yield
    Touchy.watch = staticmethod(touchy.nothing)


def raised(watcher: OutOfMemoryBeyond, store: str, seed: int, **options: str) -> int:
    """How often seven jobs, from a seed on, run out of memory; they all end well."""
    Touchy.watch = staticmethod(watcher)
    before = watcher.raised
    jobs = [
        job(space("faulty.touchy"), store, seed=s, options=options) for s in range(seed, seed + 7)
    ]
    assert all(evaluation.failure is None for evaluation in run(jobs))
    return watcher.raised - before


def test_a_size_that_has_failed_is_not_tried_again(store: str) -> None:
    """In a process, with a graph and a precision; the control: another precision, another graph."""
    watcher = OutOfMemoryBeyond(2)
    assert raised(watcher, store, 0) == 2  # with 7 of them, and with 3
    assert raised(watcher, store, 10) == 0
    assert raised(watcher, store, 20, precision="float64") == 2
    assert raised(watcher, store + "/other", 0) == 2
    assert raised(watcher, store, 30) == 0


def test_one_alone_is_tried_whatever_has_failed(store: str) -> None:
    """No candidate fails for what another has failed of; two of them are not tried again."""
    jobs = [job(space("faulty.touchy"), store, seed=seed) for seed in range(4)]
    Touchy.watch = staticmethod(OutOfMemoryBeyond(0))
    assert [one.failure and one.failure.kind for one in run(jobs)] == ["out_of_memory"] * 4
    watcher = OutOfMemoryBeyond(1)
    Touchy.watch = staticmethod(watcher)
    assert all(one.failure is None for one in run(jobs))
    assert watcher.raised == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 100))), st.integers(1, 30))
def test_a_bound(tries: list[tuple[bool, int]], each: int) -> None:
    """As many runs as stay below every size that failed since that much was last trained."""
    bound = Bound()
    for has_fitted, size in tries:
        (bound.has_fitted if has_fitted else bound.has_failed)(size)
    failed = [
        size
        for i, (has_fitted, size) in enumerate(tries)
        if not has_fitted and not any(other and at >= size for other, at in tries[i:])
    ]
    runs = bound.runs(each)
    if not failed:
        assert runs == math.inf
    elif min(failed) <= each:
        assert runs == 1
    else:
        assert runs * each < min(failed)
        assert runs == 1 or (runs + 1) * each >= min(failed)


@pytest.mark.parametrize("is_released", [True, False])
def test_the_memory_of_a_failed_cohort_is_free_for_its_halves(
    is_released: bool, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its exception still held, too; the control: where nobody lets go of that."""
    seen: list[int] = []
    kept: list[Exception] = []
    limit = OutOfMemoryBeyond(2)

    def watcher(module: Touchy, x: Tensor) -> None:
        if limit.raised and not seen:
            seen.append(sum(type(thing) is Cohort for thing in gc.get_objects()))
        limit(module, x)

    Touchy.watch = staticmethod(watcher)
    if not is_released:
        monkeypatch.setattr(groups, "release", kept.append)
    jobs = [job(space("faulty.touchy"), store, seed=seed) for seed in range(4)]
    assert all(len(one[3]) == 1 for one in evaluate(jobs))
    assert limit.raised == 1
    assert seen == [1 if is_released else 2]


def test_what_is_said_of_it(store: str) -> None:
    """What it takes, what was free, what has fitted, and what to do; of other failures nothing."""
    jobs = [job(space("faulty.touchy"), store, seed=seed) for seed in range(2)]
    Touchy.watch = staticmethod(OutOfMemoryBeyond(0))
    (first,) = run(jobs[:1])
    assert first.failure is not None
    for words in ("that were free", "estimate it needs 3.3 MiB", "nothing yet has", "width"):
        assert words in first.failure.message
    Touchy.watch = staticmethod(touchy.nothing)
    run(jobs)
    Touchy.watch = staticmethod(OutOfMemoryBeyond(0))
    (second,) = run(jobs[:1])
    assert second.failure is not None
    assert "up to 3.3 MiB by it have been trained on this graph" in second.failure.message
    other = Failure("error", "it raised")
    assert explained(other, available_bytes()) is other


def test_short_of_memory_before_a_cohort_begins(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its part of the graph is made: nobody fails, the usual loop trains them."""

    def view(*_: object, **__: object) -> View:
        raise MemoryError("no room for a copy of the features")

    jobs = [job(space("gcn"), store, seed=seed) for seed in range(2)]
    monkeypatch.setattr(Graph, "view", view)
    for evaluation in run(jobs):
        assert evaluation.failure is None
        assert evaluation.notes["path"] == "stock"
        assert "MemoryError: no room" in evaluation.notes["warning"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's")
def test_real_memory(store: str) -> None:
    """A worker's own limit: a wide network fails and says so, a narrow one trains there."""
    dataset = tiny.node_graph(nodes=100_000)
    sealed = save_sealed(dataset.seal(), store)
    evaluator = Plugin("training", {"epochs": 2, "device": "cpu"})
    executor = processes.build(memory_gb=0.5)
    ended = []
    for width in (512, 8):
        of = plugins.load("space", "gnn").build(
            dataset.task,
            depth=[2],
            operators=["gcn"],
            width=[width],
            activation=["relu"],
            connectivity=["plain"],
            output=["linear"],
        )
        one = Job(next(iter(of)), of, evaluator, sealed, store, 0, 2)
        handle = executor.submit([one])
        ended += executor.wait()[handle]
    executor.shutdown()
    wide, narrow = ended
    assert narrow.failure is None
    assert wide.failure is not None
    assert wide.failure.kind == "out_of_memory"
    said = re.search(r"taken ([\d.]+) MiB of the ([\d.]+) MiB that were free", wide.failure.message)
    assert said is not None
    taken, free = map(float, said.groups())
    assert 0.5 * free < taken <= free < 512
