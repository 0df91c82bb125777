"""What every preparation keeps: killed at any epoch, it goes on as if nothing had happened."""

import dataclasses
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluators import Artifact, stopping
from evaluators.datasets import save_sealed
from evaluators.preparation import Advance, Preparation, PreparationJob, PreparedEpoch
from evaluators.preparing import prepare, weights
from nas.contracts import _signature, graphs, networks
from search_spaces.plugins import Plugin

KIND = "preparation"
EPOCHS = 4
_RUN = """
import pathlib, pickle, sys
from evaluators.preparing import prepare
job = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
pathlib.Path(sys.argv[2]).write_bytes(pickle.dumps(prepare(job)))
"""


@pytest.fixture
def job(plugin: Plugin, store: str) -> PreparationJob:
    dataset = graphs.node_graph()
    return PreparationJob(
        Preparation(plugin, EPOCHS, 1.0),
        networks.small_space(dataset.task),
        save_sealed(dataset.seal(), store),
        store,
        seed=3,
        until_epoch=EPOCHS,
    )


@pytest.fixture(autouse=True)
def nobody_asks() -> Iterator[None]:
    """To stop, before and after a test."""
    stopping.clear()
    yield
    stopping.clear()


def done(job: PreparationJob) -> Advance:
    advance = prepare(job)
    assert advance.failure is None, advance.failure
    assert advance.artifact is not None
    return advance


def left(artifact: Artifact | None) -> dict[str, Any]:
    """What its readers find, comparable."""
    assert artifact is not None
    return {name: (t.dtype, t.tolist()) for name, t in weights(artifact).items()}


def in_parts(job: PreparationJob, ends: Sequence[int]) -> tuple[list[PreparedEpoch], Advance]:
    epochs: list[PreparedEpoch] = []
    for end in ends:
        advance = done(dataclasses.replace(job, until_epoch=end))
        epochs += advance.epochs
        job = dataclasses.replace(job, resume=advance.artifact)
    return epochs, advance


def test_it_is_called_as_preparations_are(plugin: Plugin) -> None:
    """`prepare(space, batches, seed, *, ...)`, each option with a type and told of."""
    _signature.check(KIND, plugin)


def test_every_epoch_is_told_of(job: PreparationJob) -> None:
    """Finite metrics, the same names each time, and a distribution over decisions or none."""
    advance = done(job)
    assert [one.epoch for one in advance.epochs] == list(range(1, EPOCHS + 1))
    assert len({frozenset(one.metrics) for one in advance.epochs}) == 1
    for one in advance.epochs:
        assert all(math.isfinite(value) for value in one.metrics.values())
        assert set(one.distribution) in (set(), set(job.space.by_name))


def test_in_parts_it_is_what_it_is_at_once(job: PreparationJob) -> None:
    """Every epoch's numbers, and each tensor that is left; killed between any two."""
    whole = done(job)
    for ends in ([1, EPOCHS], [2, 3, EPOCHS], range(1, EPOCHS + 1)):
        epochs, last = in_parts(job, list(ends))
        assert epochs == list(whole.epochs)
        assert left(last.artifact) == left(whole.artifact)
    (first,), _ = in_parts(job, [1])
    assert first != whole.epochs[-1], "of equal epochs the comparison would show nothing"


def test_another_process_prepares_the_same(job: PreparationJob, tmp_path: Path) -> None:
    """With another hash seed; and the caller's random numbers stay as they were."""
    before = torch.random.get_rng_state()
    here = done(job)
    assert torch.equal(torch.random.get_rng_state(), before)
    (tmp_path / "job").write_bytes(pickle.dumps(job))
    subprocess.run(
        [sys.executable, "-c", _RUN, str(tmp_path / "job"), str(tmp_path / "done")],
        env={
            **os.environ,
            "PYTHONHASHSEED": "1",
            "OMP_NUM_THREADS": str(torch.get_num_threads()),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        check=True,
    )
    there: Advance = pickle.loads((tmp_path / "done").read_bytes())  # noqa: S301 - our own
    assert there.epochs == here.epochs
    assert left(there.artifact) == left(here.artifact)


def test_asked_to_stop_it_stops(job: PreparationJob) -> None:
    """After its epoch, and before its first."""
    begun = done(dataclasses.replace(job, until_epoch=1))
    stopping.request()
    on = prepare(dataclasses.replace(job, resume=begun.artifact))
    assert on.epochs == ()
    assert on.epoch == 1
