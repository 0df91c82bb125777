"""Every way in which a network can fail comes out as its own kind of failure."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import tiny
import torch
from fakes import faulty_space, space

from evaluators import Evaluation, Executor, Job
from evaluators._faults import is_out_of_memory
from evaluators.artifacts import ArtifactError, store_url
from evaluators.datasets import load, save_sealed
from evaluators.datasets._base import Dataset
from evaluators.executors import processes
from evaluators.facts import facts
from evaluators.run import run
from search_spaces import Architecture
from search_spaces.plugins import Plugin

SAYS = {
    "exception": "OSError: this network cannot read its own weights",
    "nan": "the training loss is nan, not finite in epoch 1 of run 0",
    "memory": "OutOfMemoryError: this network takes more memory than there is",
    "hang": "its process was killed: over its time, and hanging",
    "exit": f"its process died 2 times: exit status {faulty_space.STATUS}",
}


@pytest.fixture(scope="module")
def path_graph() -> Dataset:
    return load(Plugin("fakes.graph"), Path("unused"))


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    executor = processes.build(workers=1, timeout_seconds=3)
    yield executor
    executor.shutdown()


def one_of_each(dataset: Dataset) -> Mapping[str, Architecture]:
    """The first architecture of each fault, and of none."""
    found: dict[str, Architecture] = {}
    for architecture in faulty_space.build(dataset.task):
        found.setdefault(faulty_space.fault_of(architecture), architecture)
    return found


def evaluate(executor: Executor, job: Job) -> Evaluation:
    handle = executor.submit([job])
    return executor.wait(120)[handle][0]


@pytest.mark.parametrize("fault", ["", *faulty_space.KINDS])
def test_a_fault_has_its_kind(fault: str, path_graph: Dataset, pool: Executor, store: str) -> None:
    """In a worker process, with a message that says what happened; a sound network has none."""
    architecture = one_of_each(path_graph)[fault]
    made = faulty_space.build(path_graph.task)
    evaluator = Plugin("training", {"epochs": 2, "device": "cpu"})
    sealed = save_sealed(path_graph.seal(), store)
    evaluation = evaluate(pool, Job(architecture, made, evaluator, sealed, store, 0, 2))
    failure = evaluation.failure
    assert (failure.kind if failure else "") == faulty_space.KINDS.get(fault, "")
    assert SAYS.get(fault, "") in (failure.message if failure else "")
    assert bool(evaluation.metrics) == (fault == "")


def test_faults_are_planted_as_asked(path_graph: Dataset) -> None:
    """A share of each; the facts are those of a sound network, and nothing strikes there."""
    made = faulty_space.build(path_graph.task, share=0.1, levels=16)
    sound = space.build(path_graph.task, levels=16)
    faults = [faulty_space.fault_of(a, 0.1) for a in made]
    for fault in faulty_space.KINDS:
        assert faults.count(fault) == pytest.approx(0.1 * len(faults), rel=0.3)
    for architecture in one_of_each(path_graph).values():
        expected = facts(sound, sound.architecture(architecture.choices), path_graph.task)
        assert facts(made, architecture, path_graph.task) == expected


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("anything"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
    ids=repr,
)
def test_what_is_out_of_memory(error: Exception, is_memory: bool) -> None:
    """By its type, or by what a RuntimeError says."""
    assert is_out_of_memory(error) == is_memory


@pytest.mark.parametrize("dataset", [tiny.node_graph, tiny.graph_set])
def test_a_fault_of_the_program_is_raised(
    dataset: Callable[[], Dataset], make_job: Callable[..., Job], tmp_path: Path
) -> None:
    """An OSError of our own is no candidate's: here, of a store that is a file."""
    (tmp_path / "file").write_text("no folder")
    job = make_job(dataset(), until_epoch=2, options={"epochs": 2})
    with pytest.raises(ArtifactError, match="file cannot be made here") as caught:
        run([dataclasses.replace(job, store=store_url(tmp_path / "file"))])
    assert isinstance(caught.value.__cause__, OSError)
    assert run([job])[0].failure is None
