"""Asked to stop, training ends with its epoch, and goes on as if nothing had happened."""

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save
from stops import Bell, header, in_parts, outcome, resumed

from evaluators import Artifact, Inheritance, Job, artifacts, stopping
from evaluators.checkpoint import best_weights
from evaluators.run import run
from search_spaces import Architecture

MakeJob = Callable[..., Job]
EPOCHS = 4


def weights_of(artifact: Artifact) -> Inheritance:
    """To start from; layers are alike or not, whatever their network is."""
    return Inheritance(artifact, Architecture("any", {}))


@pytest.fixture(autouse=True)
def nobody_asks() -> Iterator[None]:
    """Before a test, and after it."""
    stopping.clear()
    yield
    stopping.clear()


@pytest.fixture
def bell(monkeypatch: pytest.MonkeyPatch) -> Bell:
    return Bell(monkeypatch)


CASES: list[tuple[str, Callable[[], Any], str, Mapping[str, Any]]] = [
    ("engine", tiny.node_graph, "gcn", {"optimizer": "adamw"}),
    ("engine, sgd, float64", tiny.node_graph, "gcn", {"optimizer": "sgd", "precision": "float64"}),
    ("engine, statistics", tiny.node_graph, "mlp", {"share_input_dropout": True}),
    ("engine, seeds", tiny.node_graph, "gcn", {"seeds": 2}),
    ("engine, folds", tiny.node_graph, "gcn", {"folds": 2}),
    ("engine, patience", tiny.node_graph, "mlp", {"seeds": 3, "patience": 1}),
    ("graphs", tiny.graph_set, "gcn", {"batch_size": 7}),
    ("graphs, sgd, float64", tiny.graph_set, "mlp", {"optimizer": "sgd", "precision": "float64"}),
    ("graphs, seeds, patience", tiny.graph_set, "mlp", {"seeds": 3, "patience": 1}),
    ("graphs, folds", tiny.graph_set, "mlp", {"folds": 2, "batch_size": 7}),
]
RECIPE: dict[str, Any] = {"epochs": EPOCHS, "lr": 0.05, "dropout": 0.4}


def check_every_epoch(bell: Bell, jobs: Sequence[Job]) -> int:
    """Stopped at each of its epochs, a batch ends as it does without; how often it was stopped."""
    whole = [outcome(one) for one in in_parts(bell, jobs, [])]
    stops = 0
    while any(one.early for one in bell.evaluate(jobs, stops)):
        assert [outcome(one) for one in in_parts(bell, jobs, [stops])] == whole
        stops += 1
    return stops


@pytest.mark.parametrize(
    ("dataset", "kind", "options"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_stop_changes_nothing(
    dataset: Callable[[], Any], kind: str, options: Mapping[str, Any], bell: Bell, make_job: MakeJob
) -> None:
    """At every epoch of every run: metrics, notes and each bit of the final checkpoint."""
    given = RECIPE | dict(options)
    stops = check_every_epoch(bell, [make_job(dataset(), kind, EPOCHS, given)])
    assert stops >= (2 if "patience" in given else EPOCHS)


def test_a_batch_is_stopped_together(bell: Bell, make_job: MakeJob) -> None:
    """Cohorts of jobs that end at other epochs, one that fails, an heir, one that has gone on."""
    dataset = tiny.node_graph()
    (parent,) = run([make_job(dataset, seed=9, until_epoch=EPOCHS, options=RECIPE)])
    (rung,) = run([make_job(dataset, until_epoch=2, options=RECIPE)])
    jobs = [
        make_job(dataset, until_epoch=EPOCHS, options=RECIPE),
        make_job(dataset, until_epoch=2, seed=4, options=RECIPE),
        make_job(dataset, until_epoch=EPOCHS, options=RECIPE, inherit=weights_of(parent.artifact)),
        make_job(dataset, until_epoch=EPOCHS, options=RECIPE, resume=rung.artifact),
        make_job(dataset, "mlp", until_epoch=EPOCHS, options=RECIPE),
        make_job(dataset, "nan", until_epoch=EPOCHS, options=RECIPE),
        make_job(dataset, until_epoch=EPOCHS, options=RECIPE | {"seeds": 2}),
    ]
    check_every_epoch(bell, jobs)
    early = [one.early for one in bell.evaluate(jobs, 9)]
    assert set(early) == {"", "stopped"}
    assert early[1] == ""


def test_what_a_stop_returns(bell: Bell, make_job: MakeJob) -> None:
    """The fewest epochs of its runs, no metrics, a checkpoint to go on from; nothing of nothing."""
    options = RECIPE | {"seeds": 3}
    job = make_job(tiny.graph_set(), until_epoch=EPOCHS, options=options)
    (stopped,) = bell.evaluate([job], EPOCHS + 1)
    assert (stopped.early, stopped.epoch, stopped.failure) == ("stopped", 0, None)
    assert stopped.metrics == {}
    assert stopped.seconds > 0
    assert stopped.artifact is not None
    said = header(stopped.artifact)
    assert [one["epoch"] for one in said["runs"]] == [EPOCHS, 1, 0]
    assert not said["final"]
    assert best_weights(stopped.artifact)
    (further,) = bell.evaluate(resumed([job], [stopped]), EPOCHS)
    assert (further.early, further.epoch) == ("stopped", 1)
    (nothing,) = bell.evaluate([job], 0)
    assert (nothing.early, nothing.epoch, nothing.artifact) == ("stopped", 0, None)


def test_a_stop_before_a_rung(bell: Bell, make_job: MakeJob) -> None:
    """The rung's checkpoint is the same, and what follows it."""
    options = RECIPE | {"seeds": 2}
    dataset = tiny.graph_set()
    job = make_job(dataset, until_epoch=2, options=options)
    (whole,), (parted,) = in_parts(bell, [job], []), in_parts(bell, [job], [1, 1])
    assert outcome(parted) == outcome(whole)
    onward = [
        make_job(dataset, until_epoch=EPOCHS, options=options, resume=rung.artifact)
        for rung in (whole, parted)
    ]
    first, second = in_parts(bell, onward[:1], []), in_parts(bell, onward[1:], [1, 2])
    assert outcome(first[0]) == outcome(second[0])


@pytest.mark.parametrize("dataset", [tiny.node_graph, tiny.graph_set])
@pytest.mark.parametrize("forgotten", ["nothing", "current", "optimizer", "best"])
def test_what_is_kept_is_needed(
    forgotten: str, dataset: Callable[[], Any], bell: Bell, make_job: MakeJob, store: str
) -> None:
    """The control: with fresh weights, or another part of the checkpoint changed, it differs."""
    options = RECIPE | {"patience": 9}
    job = make_job(dataset(), until_epoch=EPOCHS, options=options)
    whole, (stopped,) = outcome(run([job])[0]), bell.evaluate([job], 2)
    assert stopped.artifact is not None
    tensors, said = load_file(artifacts.path(stopped.artifact)), header(stopped.artifact)
    fresh = job.space.network(job.architecture, dataset().task).state_dict()
    for name in list(tensors):
        _, group, *rest = name.split("/", 2)
        if group == forgotten == "current":
            tensors[name] = fresh[rest[0]]
        elif group == forgotten == "optimizer":
            del tensors[name]
    if forgotten == "best":
        said["runs"][0]["best_value"] = 2.0  # that of no epoch
    altered = artifacts.write(store, save(tensors, {"checkpoint": json.dumps(said)}))
    (again,) = run([dataclasses.replace(job, resume=altered)])
    assert (outcome(again) == whole) == (forgotten == "nothing")


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    graphs=st.booleans(),
    kinds=st.lists(st.sampled_from(["gcn", "mlp"]), min_size=1, max_size=3),
    seeds=st.integers(1, 2),
    folds=st.sampled_from([0, 2]),
    patience=st.sampled_from([None, 1]),
    stops=st.lists(st.integers(0, 9), min_size=1, max_size=4),
)
def test_any_stops(
    graphs: bool,
    kinds: list[str],
    seeds: int,
    folds: int,
    patience: int | None,
    stops: list[int],
    bell: Bell,
    make_job: MakeJob,
) -> None:
    """Any number of them, in batches of any size."""
    own = {"seeds": seeds, "folds": folds} | ({"patience": patience} if patience else {})
    dataset = tiny.graph_set() if graphs else tiny.node_graph()
    jobs = [
        make_job(dataset, kind, EPOCHS, RECIPE | own, seed=number)
        for number, kind in enumerate(kinds)
    ]
    whole = [outcome(one) for one in in_parts(bell, jobs, [])]
    assert [outcome(one) for one in in_parts(bell, jobs, stops)] == whole


@pytest.mark.parametrize("dataset", [tiny.node_graph, tiny.graph_set])
def test_a_stop_is_soon(dataset: Callable[[], Any], make_job: MakeJob) -> None:
    """Of jobs that would train for hours, asked by another thread."""
    options = {"epochs": 10**6, "seeds": 2}
    jobs = [make_job(dataset(), until_epoch=10**6, seed=s, options=options) for s in range(4)]
    asked: list[float] = []

    def ask() -> None:
        asked.append(time.monotonic())
        stopping.request()

    timer = threading.Timer(0.5, ask)
    timer.start()
    evaluations = run(jobs)
    took = time.monotonic() - asked[0]
    timer.join()
    assert [one.early for one in evaluations] == ["stopped"] * 4
    assert evaluations[0].artifact is not None
    assert took < 2
