"""Executors: the same numbers everywhere, and every way to fail is data or the right exception."""

import dataclasses
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import tiny

from evaluators import Evaluation, Executor, InfrastructureError, Job
from evaluators.artifacts import ArtifactError
from evaluators.executors import inline, processes
from search_spaces.plugins import Plugin

MakeJob = Callable[..., Job]
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    """Two workers for all tests here: each costs seconds to start."""
    executor = processes.build(workers=2)
    yield executor
    executor.shutdown()


def outcome(executor: Executor, job: Job) -> Evaluation:
    handle = executor.submit([job])
    ended = executor.wait()
    assert set(ended) == {handle}
    return ended[handle][0]


def numbers(evaluation: Evaluation) -> Mapping[str, float]:
    assert evaluation.failure is None
    return {k: v for k, v in evaluation.metrics.items() if k != "train_seconds"}


def faked(job: Job, name: str, **options: object) -> Job:
    """The job for an evaluator in tests/outside."""
    return dataclasses.replace(job, evaluator=Plugin(f"fakes.{name}", options))


@pytest.mark.parametrize("where", ["inline", "processes"])
def test_faults_of_the_disk_are_tried_again_and_not_for_ever(
    where: str,
    pool: Executor,
    make_job: MakeJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """Three are survived, a fourth is the end, and says what, where and how to go on."""
    monkeypatch.setattr("evaluators.errors.PAUSES", (0.01, 0.01, 0.01))
    executor = pool if where == "processes" else inline.build()
    job = make_job(tiny.node_graph())
    log = tmp_path / "three"
    assert outcome(executor, faked(job, "unsteady", log=str(log), disk_faults=3)).failure is None
    assert len(log.read_text().split()) == 4
    log = tmp_path / "four"
    executor.submit([faked(job, "unsteady", log=str(log), disk_faults=4)])
    says = r"failed 4 times.*No space left on device \(at .*unsteady.py:\d+\).*`nas resume`"
    with pytest.raises(InfrastructureError, match=says):
        executor.wait()
    assert len(log.read_text().split()) == 4
    assert numbers(outcome(executor, job))


@pytest.mark.parametrize("where", ["inline", "processes"])
def test_a_fault_of_the_program_is_raised_at_once_and_says_where(
    where: str, pool: Executor, make_job: MakeJob, tmp_path: Path
):
    """The innermost line that is ours or the plug-in's, and the architecture."""
    executor = pool if where == "processes" else inline.build()
    log = tmp_path / "log"
    executor.submit([faked(make_job(tiny.node_graph()), "unsteady", log=str(log), bug=True)])
    with pytest.raises(KeyError, match="a fault of the program") as caught:
        executor.wait()
    note = caught.value.__notes__[0]
    assert re.match(r"at .*fakes/unsteady\.py:\d+ evaluating architecture [0-9a-f]{12} \(", note)
    assert "kind=gcn, width=8" in note
    assert len(log.read_text().split()) == 1


def test_what_has_ended_is_handed_over_before_the_fault_of_another(
    pool: Executor, make_job: MakeJob
):
    """Both have ended by the time that the driver looks."""
    job = make_job(tiny.node_graph())
    outcome(pool, job)
    faulty = pool.submit([faked(job, "unsteady", bug=True)])
    good = pool.submit([job])
    time.sleep(3)
    assert numbers(pool.wait()[good][0])
    with pytest.raises(KeyError):
        pool.wait()
    assert faulty < good


def test_an_interrupt_reaches_every_worker_also_one_that_is_new(make_job: MakeJob, tmp_path: Path):
    """What runs stops with a checkpoint; so does what is started again after its worker died.

    Workers that are killed meanwhile do not hold it up; after shutdown it is forgotten.
    """
    executor, log = processes.build(workers=2), tmp_path / "log"
    job = faked(make_job(tiny.node_graph()), "patient", log=str(log), seconds=60.0)
    handles = [executor.submit([job]) for _ in range(2)]
    while not log.exists() or log.read_text().count("began") < 2:
        time.sleep(0.05)
    os.kill(multiprocessing.active_children()[-1].pid, signal.SIGKILL)
    started = time.monotonic()
    executor.interrupt()
    executor.interrupt()
    ended: dict[int, Sequence[Evaluation]] = {}
    while len(ended) < 2:
        ended |= executor.wait(30)
    assert time.monotonic() - started < 30
    for handle in handles:
        (evaluation,) = ended[handle]
        assert evaluation.early == "stopped"
        assert evaluation.artifact is not None
    executor.shutdown()
    job = faked(job, "patient", log=str(log), seconds=0.01)
    assert outcome(executor, job).early == ""
    executor.shutdown()


def test_an_interrupt_here_is_forgotten_at_the_end(make_job: MakeJob, tmp_path: Path):
    """inline: what is under way sees it."""
    executor = inline.build()
    job = faked(make_job(tiny.node_graph()), "patient", log=str(tmp_path / "log"), seconds=0.05)
    assert outcome(executor, job).early == ""
    executor.interrupt()
    assert outcome(executor, job).early == "stopped"
    executor.shutdown()
    assert outcome(executor, job).early == ""


def test_workers_side_by_side_share_the_gpu(pool: Executor, make_job: MakeJob):
    """So an evaluator can refuse to time anything on it; one alone does not."""
    job = faked(make_job(tiny.node_graph()), "unsteady")
    assert outcome(pool, job).metrics["shares_gpu"] == 1
    alone = processes.build()
    assert outcome(alone, job).metrics["shares_gpu"] == 0
    alone.shutdown()


def test_executors_agree(pool: Executor, make_job: MakeJob):
    """Bit for bit, one job alone and two batches at a time."""
    jobs = [make_job(tiny.node_graph(400), seed=s) for s in (1, 2, 3)]
    here = inline.build()
    handle = here.submit(jobs)
    alone = here.wait()[handle]
    assert here.wait() == {}
    first, second = pool.submit(jobs[:2]), pool.submit(jobs[2:])
    with pytest.raises(RuntimeError, match="busy"):
        pool.submit(jobs)
    ended: dict[int, Sequence[Evaluation]] = {}
    while len(ended) < 2:
        ended |= pool.wait()
    there = [*ended[first], *ended[second]]
    assert [numbers(e) for e in there] == [numbers(e) for e in alone]
    assert [e.artifact is not None for e in there] == [True] * 3


@pytest.mark.parametrize("where", ["inline", "processes"])
@pytest.mark.parametrize(
    ("kind", "failure", "says"),
    [
        ("raises", "error", "ZeroDivisionError: this network divides by zero"),
        ("nobuild", "error", "cannot be built"),
        ("shape", "error", r"expected an output of shape \[90, 3\], got \[90, 1\]"),
        ("nan", "divergence", "the training loss is nan, not finite in epoch 1"),
        ("far", "divergence", "the validation loss is inf, not finite in epoch 1"),
        ("huge", "out_of_memory", "memory"),
    ],
)
def test_a_faulty_network_is_a_failure(
    where: str, kind: str, failure: str, says: str, pool: Executor, make_job: MakeJob
):
    """With its kind, its message and, for the network's own exceptions, the traceback."""
    executor = pool if where == "processes" else inline.build()
    evaluation = outcome(executor, make_job(tiny.node_graph(), kind))
    assert evaluation.failure is not None
    assert evaluation.failure.kind == failure
    assert evaluation.metrics == {}
    assert evaluation.artifact is None
    assert re.search(says, evaluation.failure.message)
    assert ("Traceback" in evaluation.failure.detail) == (failure != "divergence")


def test_time_is_checked_between_epochs(make_job: MakeJob):
    """inline ends a job that takes too many epochs, and says how far it came."""
    executor = inline.build(timeout_seconds=0.3)
    options = {"epochs": 10**6}
    job = make_job(tiny.node_graph(), until_epoch=10**6, options=options)
    evaluation = outcome(executor, job)
    assert evaluation.failure is not None
    assert evaluation.failure.kind == "timeout"
    assert 1 <= evaluation.epoch < 10**6
    assert evaluation.seconds < 5


KILLED = "its process died 2 times: SIGKILL: perhaps the kernel's, for want of memory"
LEFT = "its process died 2 times: exit status 0"


@pytest.mark.parametrize(("kind", "message"), [("dies", KILLED), ("leaves", LEFT)])
def test_a_dead_worker_is_a_crash_after_one_retry(
    kind: str, message: str, pool: Executor, make_job: MakeJob
):
    """The process ends in the forward pass, by a signal or as if all were well; others go on."""
    handle = pool.submit([make_job(tiny.node_graph(), kind)])
    (evaluation,) = pool.wait(120)[handle]
    assert evaluation.failure is not None
    assert evaluation.failure.kind == "crash"
    assert evaluation.failure.message == message
    assert numbers(outcome(pool, make_job(tiny.node_graph())))


def test_of_a_batch_whose_worker_dies_the_guilty_one_alone_has_failed(
    pool: Executor, make_job: MakeJob
):
    """The others have the numbers that they have without it, under one handle."""
    good = [make_job(tiny.node_graph(), seed=s) for s in (1, 2)]
    handle = pool.submit([good[0], make_job(tiny.node_graph(), "dies"), good[1]])
    first, guilty, last = pool.wait(120)[handle]
    assert guilty.failure is not None
    assert guilty.failure.kind == "crash"
    assert guilty.failure.message == KILLED
    assert [numbers(first), numbers(last)] == [numbers(outcome(pool, job)) for job in good]


@pytest.mark.slow
def test_a_worker_killed_once_costs_nothing(pool: Executor, make_job: MakeJob):
    """Killed from outside, while idle or at work: the numbers are those of an undisturbed run."""
    job = make_job(tiny.node_graph(), until_epoch=300, options={"epochs": 300})
    expected = numbers(outcome(pool, job))
    for delay in (0.0, 0.3):
        handle = pool.submit([job])
        time.sleep(delay)
        for worker in multiprocessing.active_children():
            os.kill(worker.pid, signal.SIGKILL)
        assert numbers(pool.wait()[handle][0]) == expected
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, signal.SIGKILL)
    time.sleep(0.5)
    assert numbers(outcome(pool, job)) == expected


def test_what_is_wrong_with_the_program_is_raised(pool: Executor, make_job: MakeJob):
    """Not data: a missing artifact, an evaluator's own bug, a network that ends the process."""
    job = make_job(tiny.node_graph())
    gone = dataclasses.replace(job.dataset, sha256="0" * 64)
    for executor in (inline.build(), pool):
        executor.submit([dataclasses.replace(job, dataset=gone)])
        with pytest.raises(ArtifactError, match="is not in"):
            executor.wait()
    pool.submit([make_job(tiny.node_graph(), "interrupts")])
    with pytest.raises(RuntimeError, match="SystemExit"):
        pool.wait()
    assert numbers(outcome(pool, job))


@LINUX
def test_hard_limits(make_job: MakeJob):
    """A hanging process is killed, and its jobs go on alone; memory is bounded; at once."""
    executor = processes.build(timeout_seconds=1, memory_gb=0.2)
    started = time.monotonic()
    jobs = [make_job(tiny.node_graph(), kind) for kind in ("sleeps", "gcn")]
    handle = executor.submit(jobs)
    assert executor.wait(0.1) == {}
    assert time.monotonic() - started < 1
    hanging, other = executor.wait()[handle]
    assert hanging.failure is not None
    assert hanging.failure.kind == "timeout"
    assert hanging.seconds < 20
    assert numbers(other)
    big = make_job(tiny.node_graph(nodes=300_000), "gcn")
    wide = tiny.SPACE.architecture({"kind": "gcn", "width": 200})
    evaluation = outcome(executor, dataclasses.replace(big, architecture=wide))
    assert evaluation.failure is not None
    assert evaluation.failure.kind == "out_of_memory"
    executor.submit([make_job(tiny.node_graph(), "sleeps")])
    time.sleep(0.3)
    started = time.monotonic()
    executor.shutdown(wait=False)
    assert time.monotonic() - started < 2
    executor.shutdown(wait=False)


DRIVER = """
import multiprocessing, pathlib, pickle, sys
if __name__ == "__main__":
    sys.path[:0] = sys.argv[2:]
    from evaluators.executors import processes
    job = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
    executor = processes.build(workers=2)
    executor.submit([job]), executor.submit([job])
    try:
        print(*[p.pid for p in multiprocessing.active_children()], flush=True)
        executor.wait()
    except KeyboardInterrupt:
        alive = [p.is_alive() for p in multiprocessing.active_children()]
        executor.shutdown(wait=False)
        print("interrupted", *alive, flush=True)
"""


@pytest.fixture
def driver(
    make_job: MakeJob, tmp_path: Path
) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    """A process of its own with two workers that sleep in a network, and their process ids."""
    job = make_job(tiny.node_graph(), "sleeps")
    (tmp_path / "job").write_bytes(pickle.dumps(job))
    (tmp_path / "driver.py").write_text(DRIVER)
    command = [sys.executable, str(tmp_path / "driver.py"), str(tmp_path / "job"), *sys.path]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    workers = [int(pid) for pid in process.stdout.readline().split()]
    assert len(workers) == 2
    yield process, workers
    process.kill()
    process.wait()


def is_running(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 5
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, pids))


@LINUX
@pytest.mark.parametrize("seconds", [0.0, pytest.param(5.0, marks=pytest.mark.slow)])
def test_workers_die_with_the_driver(
    seconds: float, driver: tuple["subprocess.Popen[str]", list[int]]
):
    """Also one that is killed while they still start, and after they have."""
    process, workers = driver
    assert all(map(is_running, workers))
    time.sleep(seconds)
    process.kill()
    process.wait()
    wait_until_gone(workers)


@LINUX
@pytest.mark.parametrize("seconds", [0.0, pytest.param(5.0, marks=pytest.mark.slow)])
def test_an_interrupt_is_the_drivers_alone(
    seconds: float, driver: tuple["subprocess.Popen[str]", list[int]]
):
    """Ctrl-C reaches all processes of a terminal: the driver leaves `wait`, the workers live on."""
    process, workers = driver
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    assert said.split() == ["interrupted", "True", "True"]
    wait_until_gone(workers)
