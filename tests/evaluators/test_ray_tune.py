"""Studies through Ray Tune: Tune runs, shows and prunes trials, and the study stays the truth."""

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny
from fakes.studies import fake_spec
from fakes.tune_callbacks import Failing, Remembering

from evaluators import Evaluation, Executor, Job
from evaluators.artifacts import ArtifactError
from evaluators.executors import _ray, ray_tune
from evaluators.run import run
from nas.record import TrialRecord
from nas.store import Store
from nas.study import resume, search
from search_spaces import PluginError, UsageError
from search_spaces.canonical import digest

MakeJob = Callable[..., Job]
# Tune gives back what it has reserved only when it gets the next job: several executors share here.
PART = {"num_cpus": 0.2}
ASHA = {"scheduler": "asha", "metric": "val_accuracy", "mode": "max", "grace_epochs": 1}
HERE = Path(__file__).parent


@pytest.fixture(scope="module", autouse=True)
def cluster(request: pytest.FixtureRequest) -> Iterator[None]:
    """One cluster of this machine; each executor here starts its own workers in it."""
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        _ray.connect("", 2, 0.2, 0)
        yield
        _ray.disconnect()


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    results = tmp_path_factory.mktemp("results")
    made = ray_tune.build(workers=2, loggers=(), results=str(results), **PART)
    yield made
    made.shutdown(wait=False)


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[..., Executor]]:
    """Makes executors that end with the test, however it ends."""
    made = []

    def make(**options: Any) -> Executor:
        made.append(ray_tune.build(loggers=(), results=str(tmp_path), **PART, **options))
        return made[-1]

    yield make
    for executor in made:
        executor.shutdown(wait=False)


def outcome(executor: Executor, *jobs: Job) -> Any:
    """Of one job, or of a batch."""
    handle = executor.submit(jobs)
    ended = executor.wait(60)
    assert set(ended) == {handle}
    return ended[handle] if len(jobs) > 1 else ended[handle][0]


def numbers(evaluation: Evaluation) -> Mapping[str, float]:
    assert evaluation.failure is None
    return {k: v for k, v in evaluation.metrics.items() if k != "train_seconds"}


def workers() -> list[psutil.Process]:
    """The processes that have a trial of Tune, or had one."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "ray::Evaluate" in " ".join(process.info["cmdline"] or [])
    ]


def test_the_numbers_are_those_of_every_executor(
    executor: Executor, make_job: MakeJob, capfd: Any
) -> None:
    """Bit for bit, and nothing else is said where data goes, or done to what signals do."""
    handlers = {number: signal.getsignal(number) for number in signal.Signals}
    jobs = [make_job(tiny.node_graph(400), seed=s) for s in (1, 2, 3)]
    expected = [numbers(e) for e in run(jobs)]
    first, second = executor.submit(jobs[:2]), executor.submit(jobs[2:])
    with pytest.raises(RuntimeError, match="busy"):
        executor.submit(jobs)
    ended: dict[int, Any] = {}
    while len(ended) < 2:
        ended |= executor.wait()
    assert executor.wait() == {}
    assert [numbers(e) for e in (*ended[first], *ended[second])] == expected
    assert {number: signal.getsignal(number) for number in signal.Signals} == handlers
    assert capfd.readouterr().out == ""


def test_faults_are_data_or_raised(executor: Executor, make_job: MakeJob) -> None:
    """A candidate's own, its worker's death included; what is wrong with the program stops all."""
    job = make_job(tiny.node_graph())
    raises = outcome(executor, make_job(tiny.node_graph(), "raises"))
    assert "ZeroDivisionError: this network divides by zero" in raises.failure.message
    expected = numbers(run([job])[0])
    good, dead = outcome(executor, job, make_job(tiny.node_graph(), "dies"))
    assert numbers(good) == expected
    assert dead.failure.kind == "crash"
    assert dead.failure.message == "its process died 2 times: killed, or it left by itself"
    gone = dataclasses.replace(job.dataset, sha256="0" * 64)
    executor.submit([dataclasses.replace(job, dataset=gone)])
    with pytest.raises(ArtifactError, match="is not in") as raised:
        executor.wait(60)
    assert "in a worker process:\nTraceback" in "".join(raised.value.__notes__)
    assert numbers(outcome(executor, job)) == expected


def test_a_stop_reaches_the_workers(make_job: MakeJob, build: Callable[..., Executor]) -> None:
    """What runs ends at its next epoch, with a checkpoint; what has not begun does not begin."""
    executor = build()
    outcome(executor, make_job(tiny.node_graph()))
    options = {"epochs": 10**6}
    jobs = [make_job(tiny.node_graph(), until_epoch=10**6, options=options, seed=s) for s in (1, 2)]
    handle = executor.submit(jobs)
    assert executor.wait(5) == {}
    executor.interrupt()
    running, queued = executor.wait(60)[handle]
    executor.shutdown()
    assert [e.early for e in (running, queued)] == ["stopped"] * 2
    assert queued.epoch == 0
    assert 0 < running.epoch < 10**6
    rest = dataclasses.replace(jobs[0], until_epoch=running.epoch + 3, resume=running.artifact)
    straight = dataclasses.replace(rest, resume=None)
    assert numbers(run([rest])[0]) == numbers(run([straight])[0])


def test_a_hanging_job_is_killed_and_an_abandoned_one_too(
    make_job: MakeJob, build: Callable[..., Executor]
) -> None:
    before = workers()
    executor = build(timeout_seconds=1)
    hanging = outcome(executor, make_job(tiny.node_graph(), "sleeps"))
    assert hanging.failure.kind == "timeout"
    assert 2 < hanging.seconds < 20
    executor.submit([make_job(tiny.node_graph(), "sleeps")])
    assert executor.wait(0.5) == {}
    started = time.monotonic()
    executor.shutdown(wait=False)
    assert time.monotonic() - started < 20
    executor.shutdown(wait=False)
    assert {p.pid for p in workers()} <= {p.pid for p in before}


def test_a_broken_callback_stops_the_study(
    make_job: MakeJob, build: Callable[..., Executor]
) -> None:
    path = f"{Failing.__module__}.{Failing.__name__}"
    executor = build(callbacks=(path,))
    executor.submit([make_job(tiny.node_graph())])
    with pytest.raises(Exception, match="this callback is broken"):
        executor.wait(60)
    with pytest.raises(RuntimeError, match="Ray Tune has failed before"):
        executor.submit([make_job(tiny.node_graph())])


def _study(storage: str, executor: Mapping[str, Any], trials: int = 12, **more: Any) -> Any:
    spec = fake_spec(trials, "evolution", executor=dict(executor), **more)
    search(spec, storage=storage, data_root=Path())
    return Store(storage).trials("fake")


def _told(trials: list[TrialRecord]) -> list[tuple[Any, ...]]:
    return [
        (t.number, t.seq, t.state, t.architecture, t.epochs, tuple(t.metrics.items()))
        for t in trials
    ]


def _planted(trial: TrialRecord) -> float:
    """What `fakes.evaluator` measures of a trial that was trained so far, and no further."""
    a, b = trial.architecture.choices["a"], trial.architecture.choices["b"]
    noise = int(digest([trial.architecture.key, 0])[:4], 16) / 0xFFFF / 50
    return (a + b) / 20 * (1 - 0.5 / trial.epochs) + noise


def _tune(tmp_path: Path, **options: Any) -> dict[str, Any]:
    return {"name": "ray_tune", "results": str(tmp_path / "r"), "loggers": [], **PART, **options}


def test_a_study_is_the_same_through_tune(tmp_path: Path) -> None:
    """Its trials are Tune's, whose files and callbacks have their architectures and metrics."""
    here = _study(f"sqlite:///{tmp_path / 'inline.db'}", {"name": "inline"})
    tune = _tune(
        tmp_path,
        loggers=["csv", "json", "tensorboard"],
        callbacks=["fakes.tune_callbacks.Remembering"],
    )
    there = _study(f"sqlite:///{tmp_path / 'tune.db'}", tune)
    assert _told(there) == _told(here)
    assert {t.state for t in there} == {"complete"}

    losses = [t.metrics["val_loss"] for t in there]
    assert Remembering.configs == [dict(t.architecture.choices) for t in there]
    assert [result["val_loss"] for result in Remembering.results] == losses
    (experiment,) = (tmp_path / "r").glob("nas_*")
    tables = [list(csv.DictReader(f.open())) for f in experiment.glob("*/progress.csv")]
    assert sorted(float(row["val_loss"]) for (row,) in tables) == sorted(losses)
    assert {row["training_iteration"] for (row,) in tables} == {"9"}
    assert len(list(experiment.glob("*/result.json"))) == 12
    assert len(list(experiment.glob("*/events.out.tfevents*"))) == 12
    # What the study keeps is no business of Tune's files.
    files = [f for f in experiment.rglob("*") if f.is_file()]
    assert not [f for f in files if b"tune.db" in f.read_bytes()]


def test_asha_prunes_and_a_pruned_trial_is_a_shorter_run(tmp_path: Path) -> None:
    """Control: the study above, without it. Nothing is trained twice."""
    log = tmp_path / "log"
    trials = _study(
        f"sqlite:///{tmp_path / 'nas.db'}",
        _tune(tmp_path, reduction=3, **ASHA),
        evaluator={"log": str(log)},
    )
    assert {t.state for t in trials} == {"complete", "pruned"}
    assert {t.epochs for t in trials} == {1, 3, 9}
    assert all((t.epochs == 9) == (t.state == "complete") for t in trials)
    assert [t.metrics["val_accuracy"] for t in trials] == [_planted(t) for t in trials]
    steps = [line.split() for line in log.read_text().splitlines()]
    assert len(steps) == sum({1: 1, 3: 2, 9: 3}[t.epochs] for t in trials)
    assert all((epoch == "1") == (resumed == "None") for _, _, epoch, _, resumed in steps)


KILLED = """
import sys
from fakes.killed import go
from nas.spec import StudySpec
import json
if __name__ == "__main__":
    go(StudySpec.from_json(json.loads(sys.argv[1])), sys.argv[2], 30)
"""


def test_a_killed_driver_leaves_a_study_that_goes_on(tmp_path: Path) -> None:
    """With a Tuner of its own, for what is missing and no more."""
    storage = f"sqlite:///{tmp_path / 'nas.db'}"
    spec = fake_spec(12, "evolution", executor=_tune(tmp_path))
    command = [sys.executable, "-c", KILLED, json.dumps(spec.to_json()), storage]
    killed = subprocess.run(command, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = Store(storage).status("fake").trials
    assert left.ended < 12
    resume("fake", storage=storage, data_root=Path())
    reference = _study(f"sqlite:///{tmp_path / 'inline.db'}", {"name": "inline"})
    assert _told(Store(storage).trials("fake")) == _told(reference)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scheduler": "asha"}, "needs metric, mode, grace_epochs too"),
        ({"metric": "val_loss", "reduction": 2}, "metric: only for .* leave out metric, reduction"),
        ({"callbacks": ("fakes.tune_callbacks.Missing",)}, "callbacks: expected each as"),
        ({"callbacks": ("Remembering",)}, "callbacks: expected each as"),
        ({"callbacks": ("pathlib.Path",)}, "is no ray.tune.Callback"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(PluginError, match=says):
        ray_tune.build(**options)


def test_a_study_that_asha_does_not_fit_is_refused() -> None:
    one = {"val_accuracy": "maximize"}
    ray_tune.refuse(one, False, False, ASHA)
    ray_tune.refuse({**one, "params": "minimize"}, True, False, {})
    with pytest.raises(UsageError, match=r"\[halving\]"):
        ray_tune.refuse(one, True, False, ASHA)
    with pytest.raises(UsageError, match="params"):
        ray_tune.refuse({**one, "params": "minimize"}, False, False, ASHA)
    with pytest.raises(UsageError, match='metric = "val_loss", mode = "min"'):
        ray_tune.refuse({"val_loss": "minimize"}, False, False, ASHA)


def test_when_a_trial_reports(make_job: MakeJob) -> None:
    from evaluators.executors._tune_trainable import Plan

    job = make_job(tiny.node_graph(), until_epoch=10)
    assert Plan().steps(job) == [10]
    assert Plan(every=4).steps(job) == [4, 8, 10]
    assert Plan(grace=1, reduction=3).steps(job) == [1, 3, 9, 10]
    assert Plan(grace=2, reduction=2, every=5).steps(job) == [2, 4, 5, 8, 10]
    assert Plan(every=4).steps(dataclasses.replace(job, resume=job.dataset)) == [10]


def test_many_short_trials_on_two_workers(storage: str, tmp_path: Path) -> None:
    """A trial that Tune takes from a worker that starts, for one that is free, is run once."""
    log, results = tmp_path / "log", str(tmp_path / "results")
    executor = {"name": "ray_tune", "workers": 2, "loggers": [], "results": results, **PART}
    spec = fake_spec(60, evaluator={"log": str(log)}, executor=executor)
    assert search(spec, storage=storage, data_root=Path()).trials.complete == 60
    lines = log.read_text().splitlines()
    assert len(set(lines)) == len(lines) == 60
