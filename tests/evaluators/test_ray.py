"""The executor ray on a cluster of this machine: the same numbers, and whatever dies comes back."""

import dataclasses
import os
import secrets
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny

from evaluators import Evaluation, Executor, InfrastructureError, Job, artifacts
from evaluators.executors import _ray, inline
from evaluators.executors import ray as ray_plugin
from search_spaces import UsageError
from search_spaces.plugins import Plugin

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Ray's actors need flock here")
MakeJob = Callable[..., Job]


@dataclasses.dataclass(frozen=True)
class Node:
    """A node of a cluster, as a process of its own."""

    process: "subprocess.Popen[str]"
    address: str = ""

    def actors(self) -> list[psutil.Process]:
        """The processes of our workers on it."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        return [process for process in below if "ray::Worker" in _line(process)]

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def start_node(*options: str) -> Node:
    """`ray start`; of a head, with its address."""
    command = [str(Path(sys.executable).parent / "ray"), "start", *options, "--block"]
    process = subprocess.Popen(
        [*command, f"--object-store-memory={2**28}"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said = ""
    while "--head" in options and "--address=" not in said:
        said = process.stdout.readline()
        assert said
    return Node(process, said.partition("--address=")[2].partition(" ")[0].strip("'\n"))


@pytest.fixture(scope="module")
def head() -> Iterator[Node]:
    """A cluster of one node, with 2 CPUs and a token of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        _read_environment_again()
        node = start_node("--head", "--port=0", "--num-cpus=2", "--include-dashboard=false")
        yield node
        node.end()
    _read_environment_again()


def _read_environment_again() -> None:
    """Ray does so when it is imported; another test may have done that."""
    from ray._raylet import AuthenticationTokenLoader, Config

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


@pytest.fixture(scope="module")
def cluster(head: Node) -> str:
    return head.address


@pytest.fixture(scope="module")
def pool(cluster: str) -> Iterator[Executor]:
    executor = ray_plugin.build(workers=2, num_cpus=0.5, address=cluster)
    yield executor
    executor.shutdown()


@pytest.fixture
def make_fake(make_job: MakeJob) -> MakeJob:
    """A job for one of the evaluators in tests/outside."""

    def make(name: str, seed: int = 3, job: Any = None, **options: Any) -> Job:
        job = make_job(tiny.node_graph(), seed=seed)
        return dataclasses.replace(job, evaluator=Plugin(f"fakes.{name}", options))

    return make


def outcome(executor: Executor, job: Job) -> Evaluation:
    handle = executor.submit([job])
    return executor.wait(120)[handle][0]


def numbers(evaluation: Evaluation) -> dict[str, float]:
    assert evaluation.failure is None
    return {k: v for k, v in evaluation.metrics.items() if k != "train_seconds"}


def until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_the_numbers_are_those_of_inline(pool: Executor, make_job: MakeJob):
    """Bit for bit, and each with a checkpoint in the driver's own store."""
    jobs = [make_job(tiny.node_graph(400), seed=seed) for seed in (1, 2, 3)]
    here = inline.build()
    handle = here.submit(jobs)
    alone = here.wait()[handle]
    first, second = pool.submit(jobs[:2]), pool.submit(jobs[2:])
    with pytest.raises(RuntimeError, match="busy"):
        pool.submit(jobs)
    ended: dict[int, Any] = {}
    while len(ended) < 2:
        ended |= pool.wait()
    there = [*ended[first], *ended[second]]
    assert [numbers(e) for e in there] == [numbers(e) for e in alone]
    assert all(e.artifact and artifacts.intact(e.artifact) for e in there)
    assert {e.artifact.store for e in there if e.artifact} == {jobs[0].store}


def test_a_rung_goes_on_from_a_checkpoint_of_the_driver(pool: Executor, make_job: MakeJob):
    """The next rung's numbers are those of an unbroken run; without the checkpoint it is raised."""
    options = {"epochs": 12}
    rung = outcome(pool, make_job(tiny.node_graph(), until_epoch=6, options=options))
    whole = make_job(tiny.node_graph(), until_epoch=12, options=options)
    assert rung.artifact is not None
    last = outcome(pool, dataclasses.replace(whole, resume=rung.artifact))
    assert numbers(last) == numbers(outcome(inline.build(), whole))
    artifacts.remove(rung.artifact)
    pool.submit([dataclasses.replace(whole, resume=rung.artifact)])
    with pytest.raises(artifacts.ArtifactError, match="is not in"):
        pool.wait()


def test_artifacts_come_and_go_by_their_content(pool: Executor, make_fake: MakeJob):
    """What an evaluator adds to is what the driver had, and what the driver gets is the sum."""
    job = make_fake("unsteady")
    first = outcome(pool, job)
    second = outcome(pool, dataclasses.replace(job, resume=first.artifact))
    assert second.artifact is not None
    assert artifacts.path(second.artifact).read_bytes() == b"++"
    assert first.metrics["val_accuracy"] != os.getpid()
    assert first.metrics["shares_gpu"] == 0


def test_a_poisoned_job_is_a_crash_and_its_companions_are_unharmed(
    pool: Executor, make_job: MakeJob
):
    """After two deaths; the others have the numbers that they have without it."""
    good = [make_job(tiny.node_graph(), seed=seed) for seed in (1, 2)]
    handle = pool.submit([good[0], make_job(tiny.node_graph(), "dies"), good[1]])
    first, guilty, last = pool.wait(300)[handle]
    assert guilty.failure is not None
    assert guilty.failure.kind == "crash"
    assert guilty.failure.message.startswith("its process died 2 times: killed, perhaps")
    here = inline.build()
    assert [numbers(first), numbers(last)] == [numbers(outcome(here, job)) for job in good]


def test_a_killed_actor_costs_nothing(
    head: Node, pool: Executor, make_job: MakeJob, make_fake: MakeJob, tmp_path: Path
):
    """With kill -9, once at work and once while all are idle."""
    log = tmp_path / "pids"
    handle = pool.submit([make_fake("unsteady", log=str(log), hang_first=True)])
    until(lambda: log.exists() and bool(log.read_text()))
    os.kill(int(log.read_text()), signal.SIGKILL)
    (evaluation,) = pool.wait(120)[handle]
    assert evaluation.failure is None
    assert len(set(log.read_text().split())) == 2
    job = make_job(tiny.node_graph(400))
    killed = head.actors()
    assert killed
    for process in killed:
        process.kill()
    assert numbers(outcome(pool, job)) == numbers(outcome(inline.build(), job))


def test_faults_of_the_disk_are_tried_again_and_not_for_ever(
    pool: Executor, make_fake: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Three are survived, four are the end; a bug is raised at once, with its place."""
    monkeypatch.setattr("evaluators.errors.PAUSES", (0.01, 0.01, 0.01))
    job = make_fake("unsteady", log=str(tmp_path / "three"), disk_faults=3)
    assert outcome(pool, job).failure is None
    pool.submit([make_fake("unsteady", log=str(tmp_path / "four"), disk_faults=4)])
    with pytest.raises(InfrastructureError, match=r"4 times.*No space left.*unsteady.py:\d+.*nas"):
        pool.wait(60)
    pool.submit([make_fake("unsteady", log=str(tmp_path / "bug"), bug=True)])
    with pytest.raises(KeyError, match="a fault of the program") as caught:
        pool.wait(60)
    assert "unsteady.py:" in caught.value.__notes__[0]
    assert "(kind=gcn, width=8)" in caught.value.__notes__[0]
    assert len((tmp_path / "bug").read_text().split()) == 1


@pytest.mark.parametrize(("spoils", "harmed"), [("features", False), ("file", True)])
def test_what_one_actor_writes_into_its_dataset_the_others_do_not_see(
    spoils: str, harmed: bool, pool: Executor, make_fake: MakeJob, tmp_path: Path
):
    """In place, while the other reads. Where both map the file for writing, the other is harmed."""
    job = make_fake("spoiler", meeting=str(tmp_path))
    # A graph of its own: what the control spoils is no other test's.
    own = tiny.node_graph(seed=11 + harmed)
    job = dataclasses.replace(job, dataset=artifacts.write(job.store, _prepared(own, job.store)))
    spoiler = dataclasses.replace(
        job, evaluator=Plugin("fakes.spoiler", {"meeting": str(tmp_path), "spoils": spoils})
    )
    reading = pool.submit([job])
    pool.submit([spoiler])
    ended: dict[int, Any] = {}
    while len(ended) < 2:
        ended |= pool.wait(120)
    (evaluation,) = ended[reading]
    assert (evaluation.metrics["sum"] != float(own.x.double().sum())) == harmed


def _prepared(dataset: Any, store: str) -> bytes:
    from evaluators.datasets import save_sealed

    return artifacts.path(save_sealed(dataset.seal(), store)).read_bytes()


def test_an_array_of_the_object_store_would_not_be_safe(pool: Executor, make_fake: MakeJob):
    """Why datasets go through files: two actors have the same memory, and torch writes to it."""
    import numpy as np
    import ray
    import torch

    outcome(pool, make_fake("unsteady"))  # connects

    class Holder:
        def write(self, array: Any) -> None:
            warnings.simplefilter("ignore")
            torch.from_numpy(array).fill_(1.0)

        def read(self, array: Any) -> float:
            return float(array.sum())

    first, second = (ray.remote(num_cpus=0.1)(Holder).remote() for _ in range(2))
    shared = ray.put(np.zeros(10**6))
    assert ray.get(second.read.remote(shared)) == 0.0
    ray.get(first.write.remote(shared))
    assert ray.get(second.read.remote(shared)) == 1e6


def test_an_actor_over_its_time_is_killed_and_its_jobs_go_on_alone(cluster: str, make_job: MakeJob):
    """The time counts from when the actor begins, however long it takes to start."""
    executor = ray_plugin.build(num_cpus=0.5, address=cluster, timeout_seconds=1)
    jobs = [make_job(tiny.node_graph(), kind) for kind in ("sleeps", "gcn")]
    handle = executor.submit(jobs)
    hanging, other = executor.wait(120)[handle]
    assert hanging.failure is not None
    assert hanging.failure.kind == "timeout"
    assert numbers(other) == numbers(outcome(inline.build(), jobs[1]))
    executor.shutdown(wait=False)
    executor.shutdown(wait=False)


def test_an_interrupt_reaches_what_runs(
    cluster: str, pool: Executor, make_fake: MakeJob, tmp_path: Path
):
    """It stops with its checkpoint, also where its actor was killed meanwhile; others go on."""
    executor = ray_plugin.build(num_cpus=0.5, address=cluster)
    log = tmp_path / "log"
    handle = executor.submit([make_fake("patient", log=str(log), seconds=60.0)])
    until(log.exists)
    executor.interrupt()
    (evaluation,) = executor.wait(30)[handle]
    assert evaluation.early == "stopped"
    assert evaluation.artifact is not None
    assert artifacts.intact(evaluation.artifact)
    executor.shutdown()
    patient = make_fake("patient", log=str(log), seconds=0.1)
    assert outcome(pool, patient).early == ""


def test_what_can_never_be_had_is_refused(cluster: str, pool: Executor, make_fake: MakeJob):
    """More than the cluster has, half a core too much, a cluster that is not there."""
    job = make_fake("unsteady")
    assert outcome(pool, job).failure is None  # two workers on a core: half of it each
    for options, says in (
        ({"workers": 3}, "3 were asked for, each with 1 CPU; .* has 2 CPU, which is room for 2"),
        ({"num_gpus": 0.5}, "1 CPU, 0.5 GPU; .* has 2 CPU, 0 GPU, which is room for 0"),
        ({"num_cpus": 1.5}, "at most 1, or a whole number"),
        ({"memory_gb": 1e6}, "GiB"),
    ):
        executor = ray_plugin.build(address=cluster, **options)
        with pytest.raises(UsageError, match=says):
            executor.submit([job])
        executor.shutdown()
    with pytest.raises(UsageError, match=r'"127.0.0.1:1" cannot be reached.*`ray status`'):
        _ray._initialize("127.0.0.1:1", 0)


@pytest.mark.slow
def test_a_lost_node_costs_nothing_but_time(
    head: Node, pool: Executor, make_fake: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its batch waits for another node, says so, and is evaluated there."""
    monkeypatch.setattr("evaluators.executors._ray_actors._PLACE_SECONDS", 1.0)
    log = tmp_path / "pids"
    joined = (f"--address={head.address}", "--num-cpus=8")
    executor = ray_plugin.build(num_cpus=4, address=head.address)
    job = make_fake("unsteady", log=str(log), hang_first=True)
    assert outcome(pool, make_fake("unsteady")).failure is None  # connects
    first = start_node(*joined)
    import ray

    until(lambda: ray.cluster_resources()["CPU"] == 10)
    handle = executor.submit([job])
    until(lambda: log.exists() and bool(log.read_text()))
    below = psutil.Process(first.process.pid).children(recursive=True)
    for process in [*below, psutil.Process(first.process.pid)]:
        process.kill()
    with pytest.warns(UserWarning, match="waited 1 s for its place"):
        assert executor.wait(30) == {}
    second = start_node(*joined)
    (evaluation,) = executor.wait(120)[handle]
    assert evaluation.failure is None
    assert len(set(log.read_text().split())) == 2
    executor.shutdown()
    second.end()


DRIVER = """
import pathlib, pickle, signal, sys
sys.path[:0] = sys.argv[3:]
from evaluators.executors import ray
mine = signal.signal(signal.SIGTERM, lambda *_: print("terminated", flush=True))
mine = signal.getsignal(signal.SIGTERM)
jobs = pickle.loads(pathlib.Path(sys.argv[2]).read_bytes())
executor = ray.build(num_cpus=0.5)
first = executor.submit(jobs[:1])
print(int(executor.wait()[first][0].metrics["val_accuracy"]), flush=True)
import ray as library
from ray._private.state import state
print(state.job_table()[0]["Entrypoint"], flush=True)
print(signal.getsignal(signal.SIGTERM) is mine, flush=True)
if len(jobs) > 1:
    executor.submit(jobs[1:])
    executor.wait()
executor.shutdown()
print(library.is_initialized(), flush=True)
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks into /proc")
def test_a_cluster_of_its_own_ends_with_its_driver(make_fake: MakeJob, tmp_path: Path):
    """Killed with -9, its worker is gone; its command line, with a password, nobody sees."""
    import pickle

    sleeps = make_fake("patient", log=str(tmp_path / "log"), seconds=300.0)
    (tmp_path / "jobs").write_bytes(pickle.dumps([make_fake("unsteady"), sleeps]))
    (tmp_path / "driver.py").write_text(DRIVER)
    url = "postgresql://nas:hunter2@host/nas"
    command = [sys.executable, str(tmp_path / "driver.py"), url, str(tmp_path / "jobs")]
    driver = subprocess.Popen([*command, *sys.path], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    try:
        worker = psutil.Process(int(driver.stdout.readline()))
        assert driver.stdout.readline().strip() == "gnn-nas"
        assert driver.stdout.readline().strip() == "True"
        until((tmp_path / "log").exists)
        started = psutil.Process(driver.pid).children(recursive=True)
        assert worker in started
        names = {process.pid: _line(process) for process in started}
    finally:
        driver.kill()
        driver.wait()
    # Two agents of Ray's own, which look after nothing any more, take minutes to see it.
    parts = [p for p in started if "Agent" not in names[p.pid]]
    assert len(parts) >= 3
    psutil.wait_procs(parts, 60)
    assert not [p for p in parts if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"workers": 10_000}, "this machine has .* CPU, which is room for"),
        ({"address": "127.0.0.1:1"}, 'cluster at "127.0.0.1:1" cannot be reached: .*refused'),
        ({"address": "hello"}, "cannot be reached: .*hello"),
    ],
)
def test_what_can_never_be_had_is_refused_before_a_study_begins(options: dict[str, Any], says: str):
    """Without starting anything; what may be there is not refused."""
    with pytest.raises(UsageError, match=says):
        ray_plugin.refuse({}, False, False, options)
    ray_plugin.refuse({}, False, False, {"workers": 1})
