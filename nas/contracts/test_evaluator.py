"""What every evaluator keeps: the same numbers for the same job, whatever goes on beside it."""

import dataclasses
import json
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evaluators import Artifact, Evaluation, Evaluator, Job, Table, checkpoint, stopping
from evaluators.datasets import Dataset, save_sealed
from evaluators.metrics import split_metrics
from evaluators.preparation import Preparation, PreparationJob, Prepares
from evaluators.preparing import prepare
from evaluators.run import run
from nas.contracts import _signature, graphs, networks
from search_spaces import Architecture, SearchSpace, SpaceError, Task, UsageError, plugins
from search_spaces.plugins import Plugin

KIND = "evaluator"
_RUN = """
import json, pathlib, pickle, sys
from evaluators.run import run
jobs = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
print(json.dumps([dict(one.metrics) for one in run(jobs)]))
"""


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """An evaluator with something to evaluate: small graphs, or what its table is of.

    What it needs prepared is prepared, in the first of the contract's spaces that it takes.
    """

    plugin: Plugin
    evaluator: Evaluator
    space: SearchSpace
    store: str
    dataset: Artifact | None
    prepared: Artifact | None = None

    @property
    def architectures(self) -> list[Architecture]:
        """Two that can be evaluated."""
        if self.space is networks.SPACE:
            return [networks.architecture(kind) for kind in networks.SOUND]
        return [self.space.sample(np.random.default_rng(i)) for i in (0, 1)]

    def job(self, architecture: Architecture | None = None, **fields: Any) -> Job:
        asked = architecture or self.architectures[0]
        given: dict[str, Any] = {"seed": 3, "until_epoch": self.evaluator.epochs, **fields}
        given["prepared"] = self.prepared
        return Job(asked, self.space, self.plugin, self.dataset, self.store, **given)

    def faulty(self, kind: str) -> Job:
        if self.dataset is None:
            pytest.skip("its results are looked up: it builds no network")
        if self.space is not networks.SPACE:
            pytest.skip("it is for spaces of its own kind: the one with faulty networks is refused")
        return self.job(networks.architecture(kind))


@pytest.fixture
def subject(plugin: Plugin, store: str) -> Subject:
    return _subject(plugin, store, graphs.node_graph())


def _subject(plugin: Plugin, store: str, dataset: Dataset) -> Subject:
    module, options = plugins.load(KIND, plugin.name), dict(plugin.options)
    if not hasattr(module, "task"):
        sealed = save_sealed(dataset.seal(), store)
        evaluator: Evaluator = module.build(dataset.task, **options)
        if isinstance(evaluator, Prepares):
            space, prepared = _prepared(evaluator.preparation, dataset.task, sealed, store)
            return Subject(plugin, evaluator, space, store, sealed, prepared)
        return Subject(plugin, evaluator, networks.SPACE, store, sealed)
    task = module.task(**options)
    table = module.build(task, **options)
    return Subject(plugin, table, _space_of(table, task), store, None)


def _prepared(
    preparation: Preparation, task: Task, dataset: Artifact, store: str
) -> tuple[SearchSpace, Artifact]:
    """Of the first of our spaces that it takes: that, and what is left."""
    for space in (networks.SPACE, networks.small_space(task)):
        until = preparation.epochs
        job = PreparationJob(preparation, space, dataset, store, seed=3, until_epoch=until)
        try:
            advance = prepare(job)
        except SpaceError:
            continue
        assert advance.failure is None, advance.failure
        assert advance.artifact is not None
        return space, advance.artifact
    pytest.fail("what it needs is prepared for none of the contract's spaces")


def _space_of(table: Evaluator, task: Task) -> SearchSpace:
    """The one among ours that it has results of."""
    for name in plugins.names("space"):
        space: SearchSpace = plugins.load("space", name).build(task)
        try:
            if isinstance(table, Table):
                table.check(space)
        except UsageError:
            continue
        return space
    pytest.skip("it has results of no space that comes with the program")


@pytest.fixture(autouse=True)
def nobody_asks() -> Iterator[None]:
    """To stop, before and after a test."""
    stopping.clear()
    yield
    stopping.clear()


def numbers(evaluation: Evaluation) -> Mapping[str, float]:
    """The metrics without times, which no two runs share."""
    assert evaluation.failure is None, evaluation.failure
    return {k: v for k, v in evaluation.metrics.items() if not k.endswith("_seconds")}


def alone(job: Job) -> Evaluation:
    return run([job])[0]


def test_it_is_called_as_evaluators_are(plugin: Plugin) -> None:
    """`build(task, *, ...)`, each option with a type and told of."""
    _signature.check(KIND, plugin)


def test_every_metric_that_is_named_is_there_and_finite(subject: Subject) -> None:
    """Those and no others; of test none; what is no split's is told of in the docstring."""
    names = subject.evaluator.metrics
    for architecture in subject.architectures:
        evaluation = alone(subject.job(architecture))
        assert evaluation.failure is None, evaluation.failure
        assert set(evaluation.metrics) == set(names)
        assert all(math.isfinite(value) for value in evaluation.metrics.values())
        assert (evaluation.epoch, evaluation.early) == (subject.evaluator.epochs, "")
        assert pickle.loads(pickle.dumps(evaluation)) == evaluation  # noqa: S301 - our own
    told = plugins.load(KIND, subject.plugin.name).__doc__ or ""
    for name in names:
        assert not name.startswith("test"), f"{name}: validation chooses, test is sealed"
        assert name.startswith(("val_", "train_")) or name in told, f"no word on what {name} is"


def test_the_same_job_gives_the_same_numbers(subject: Subject) -> None:
    """Whatever the state of torch's own random numbers, which stay as they were."""
    torch.manual_seed(1)
    first = numbers(alone(subject.job()))
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    assert numbers(alone(subject.job())) == first
    assert torch.equal(torch.random.get_rng_state(), before)


def test_company_changes_nothing(subject: Subject) -> None:
    """One evaluation a job, in order; the numbers are those of the job alone."""
    jobs = [subject.job(a, seed=seed) for seed in (3, 4) for a in subject.architectures]
    together = [numbers(one) for one in run([*jobs, jobs[0]])]
    assert together == [numbers(alone(job)) for job in [*jobs, jobs[0]]]
    assert together[0] != together[1], "of equal numbers the order would show nothing"


def test_another_process_gives_the_same_numbers(subject: Subject, tmp_path: Path) -> None:
    """Bit for bit, with another hash seed: from the pickled jobs."""
    jobs = [subject.job(a) for a in subject.architectures]
    (tmp_path / "jobs").write_bytes(pickle.dumps(jobs))
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(tmp_path / "jobs")],
        env={
            **os.environ,
            "PYTHONHASHSEED": "1",
            "OMP_NUM_THREADS": str(torch.get_num_threads()),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = [{k: v for k, v in one.items() if k in numbers(alone(jobs[0]))} for one in _read(done)]
    assert theirs == [numbers(one) for one in run(jobs)]


def _read(done: "subprocess.CompletedProcess[str]") -> list[dict[str, float]]:
    told: list[dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.parametrize("dataset", [graphs.node_graph, graphs.graph_set])
def test_the_test_split_is_as_if_it_were_not(
    subject: Subject, dataset: Callable[[], Dataset]
) -> None:
    """Without any unit in it, the numbers are the same: its labels are not there anyway."""
    if subject.dataset is None:
        pytest.skip("its results are looked up: it sees no dataset")
    whole = dataset()
    without = dataclasses.replace(whole, test=torch.zeros_like(whole.test))
    first, second = (
        alone(_subject(subject.plugin, subject.store, one).job()) for one in (whole, without)
    )
    if first.failure is not None and whole.graph_ids is not None:
        pytest.skip(f"it is for node tasks: {first.failure.message}")
    assert numbers(first) == numbers(second)


def test_a_run_in_two_parts_is_the_run_at_once(subject: Subject) -> None:
    """To an earlier epoch, as a rung is, and on from its checkpoint."""
    epochs = subject.evaluator.epochs
    if epochs == 1:
        pytest.skip("it has one epoch: there is no earlier one to go on from")
    part = alone(subject.job(until_epoch=epochs // 2))
    assert part.failure is None
    assert (part.epoch, part.early) == (epochs // 2, "")
    on = alone(subject.job(resume=part.artifact))
    whole = alone(subject.job())
    assert numbers(on) == numbers(whole)
    assert numbers(part) != numbers(whole), "of equal numbers the comparison would show nothing"


@pytest.mark.parametrize("fault", networks.FAULTS)
def test_a_network_with_a_fault_is_a_failure(subject: Subject, fault: str) -> None:
    """Data, and no exception; the network's own words are in it, and others go on beside it."""
    job, sound = subject.faulty(fault), subject.job()
    before, failed, after = run([sound, job, sound])
    assert failed.failure is not None
    assert networks.FAULTS[fault] in failed.failure.message
    assert not failed.metrics
    assert failed.artifact is None
    assert numbers(before) == numbers(after) == numbers(alone(sound))


def test_time_is_bounded(subject: Subject) -> None:
    """Over at once, a job of several epochs is a failure of that kind; a short one may be done."""
    evaluation = alone(subject.job(timeout_seconds=1e-9))
    if evaluation.failure is not None:
        assert evaluation.failure.kind == "timeout"
        assert not evaluation.metrics
    else:
        assert subject.evaluator.epochs == 1, "it trained on, and its time was over"


def test_asked_to_stop_it_stops(subject: Subject) -> None:
    """With what the same job goes on from; it is done with where there is one epoch."""
    whole = numbers(alone(subject.job()))
    stopping.request()
    stopped = alone(subject.job())
    stopping.clear()
    if not stopped.early:
        assert subject.evaluator.epochs == 1, "it was asked to stop, and trained on"
        assert numbers(stopped) == whole
        return
    assert stopped.early == "stopped"
    assert not stopped.metrics
    assert numbers(alone(subject.job(resume=stopped.artifact))) == whole


def test_its_checkpoint_is_of_the_network_that_was_measured(subject: Subject) -> None:
    """So it can be confirmed and exported: the weights fit, and validation is what it said."""
    evaluation = alone(subject.job())
    if evaluation.artifact is None:
        pytest.skip("it leaves no checkpoint: its trials cannot be confirmed or exported")
    dataset = graphs.node_graph()
    network = subject.space.network(subject.architectures[0], dataset.task)
    network.load_state_dict(checkpoint.best_weights(evaluation.artifact))
    measured = split_metrics(network, dataset.seal(), "val")
    told = checkpoint.best_metrics(evaluation.artifact)
    for name in ("accuracy", "loss"):
        assert told[f"val_{name}"] == pytest.approx(measured[name], abs=1e-4)
