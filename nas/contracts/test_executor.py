"""What every executor keeps: batches come back whole, in order, and with the numbers of inline."""

import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence

import pytest

from evaluators import Artifact, Evaluation, Executor, Job, artifacts, stopping
from evaluators.datasets import save_sealed
from evaluators.executors import inline
from nas.contracts import _signature, graphs, networks
from search_spaces import plugins
from search_spaces.plugins import Plugin

KIND = "executor"
_WAIT_SECONDS = 300.0


@pytest.fixture
def idle(plugin: Plugin) -> Executor:
    """One that nothing is asked of."""
    made: Executor = plugins.load(KIND, plugin.name).build(**plugin.options)
    return made


@pytest.fixture(scope="module")
def running(plugin: Plugin) -> Iterator[Executor]:
    """One for all of these tests: it may take seconds to start."""
    executor: Executor = plugins.load(KIND, plugin.name).build(**plugin.options)
    yield executor
    executor.shutdown()


def job(store: str, kind: str = "gcn", **fields: object) -> Job:
    dataset = save_sealed(graphs.node_graph().seal(), store)
    architecture = networks.architecture(kind)
    given = {"seed": 3, "until_epoch": 6, **fields}
    evaluator = Plugin("training", {"epochs": 6})
    return Job(architecture, networks.SPACE, evaluator, dataset, store, **given)  # type: ignore[arg-type]


def ended(executor: Executor, *batches: Sequence[Job]) -> list[Sequence[Evaluation]]:
    """What each batch came back as, however many run at a time."""
    waiting, handles = list(batches), list[int]()
    done: dict[int, Sequence[Evaluation]] = {}
    deadline = time.monotonic() + _WAIT_SECONDS
    while len(done) < len(batches):
        while waiting and len(handles) - len(done) < executor.workers:
            handles.append(executor.submit(waiting.pop(0)))
        done |= executor.wait(1.0)
        assert time.monotonic() < deadline, "a batch did not come back"
    return [done[handle] for handle in handles]


def numbers(evaluation: Evaluation) -> Mapping[str, float]:
    assert evaluation.failure is None, evaluation.failure
    return {k: v for k, v in evaluation.metrics.items() if not k.endswith("_seconds")}


def test_it_is_called_as_executors_are(plugin: Plugin) -> None:
    """`build(*, ...)`, each option with a type and told of."""
    _signature.check(KIND, plugin)


def test_it_starts_nothing_before_it_is_asked(plugin: Plugin, idle: Executor) -> None:
    """It is made, interrupted and shut down, twice, without a batch; and at once."""
    before, started = multiprocessing.active_children(), time.monotonic()
    assert idle.workers >= 1
    assert isinstance(idle.in_process, bool)
    assert idle.wait(10) == {}
    idle.interrupt()
    idle.shutdown()
    idle.shutdown(wait=False)
    assert not stopping.requested()
    assert multiprocessing.active_children() == before
    assert time.monotonic() - started < 5


def test_the_numbers_are_those_of_inline(running: Executor, store: str) -> None:
    """Bit for bit, job by job in order, with checkpoints in the store that the job names."""
    jobs = [job(store, kind, seed=seed) for seed in (1, 2) for kind in ("gcn", "perceptron")]
    (expected,) = ended(inline.build(), jobs)
    first, second = ended(running, jobs[:3], jobs[3:])
    there = [*first, *second]
    assert [numbers(e) for e in there] == [numbers(e) for e in expected]
    assert len({tuple(numbers(e).items()) for e in there}) == 4, "equal ones would show no order"
    for evaluation in there:
        assert evaluation.artifact is not None
        assert evaluation.artifact.store == store
        assert artifacts.intact(evaluation.artifact)


def test_a_rung_goes_on_from_its_checkpoint(running: Executor, store: str) -> None:
    """Wherever it was trained before."""
    ((rung,),) = ended(running, [job(store, until_epoch=3)])
    ((whole,), (on,)) = ended(running, [job(store)], [job(store, resume=rung.artifact)])
    assert numbers(on) == numbers(whole)
    assert numbers(rung) != numbers(whole)


def test_a_fault_of_a_network_is_data(running: Executor, store: str) -> None:
    """The others of its batch have their numbers."""
    ((sound, failed, again),) = ended(
        running, [job(store), job(store, "raises"), job(store, seed=4)]
    )
    assert failed.failure is not None
    assert failed.failure.kind == "error"
    assert networks.FAULTS["raises"] in failed.failure.message
    assert numbers(sound) != numbers(again)


def test_a_fault_of_the_program_is_raised(running: Executor, store: str) -> None:
    """A dataset that is not there; and it goes on with what comes next."""
    gone = job(store).moved(store, Artifact(store, "0" * 64))
    with pytest.raises(artifacts.ArtifactError, match="is not in"):
        ended(running, [gone])
    assert numbers(ended(running, [job(store)])[0][0])


def test_time_is_bounded(running: Executor, store: str) -> None:
    """A job that takes too many epochs is a failure of that kind."""
    ((late,),) = ended(running, [job(store, timeout_seconds=1e-9)])
    assert late.failure is not None
    assert late.failure.kind == "timeout"
