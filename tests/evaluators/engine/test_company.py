"""A candidate's numbers do not depend on the candidates beside it, nor on interruptions."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from faulty import touchy
from faulty.touchy import Touchy
from parity_cases import ring
from stops import Bell, in_parts

from evaluators import Artifact, Evaluation, Inheritance, Job
from evaluators.checkpoint import run_weights
from evaluators.datasets import save_sealed
from evaluators.engine.reading import read
from evaluators.run import run
from search_spaces import Architecture, SearchSpace, plugins
from search_spaces.plugins import Plugin

EPOCHS = 8
WIDTHS = (10, 12, 16)  # all of them stand in 16 columns
LRS = (0.02, 0.1, 1e5, 1e30)
OPTIONS = [
    *({"optimizer": name} for name in ("adam", "adamw", "sgd")),
    {"share_input_dropout": True},
    {"patience": 2},
    {"seeds": 3},
    {"folds": 3},
    {"precision": "float64"},
]
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
    ),
]
RING = ring()


def weights_of(artifact: Artifact) -> Inheritance:
    """To start from; layers are alike or not, whatever their network is."""
    return Inheritance(artifact, Architecture("any", {}))


@pytest.fixture
def watch() -> Iterator[None]:
    """The modules of `touchy` are left alone afterwards."""
    yield
    Touchy.watch = staticmethod(touchy.nothing)


def space(operator: str, normalization: str = "none") -> SearchSpace:
    """Two layers of an operator; width and recipe are to be decided."""
    module = plugins.load("operator", operator)
    own = {name: [values[0]] for name, values in getattr(module, "CHOICES", {}).items()}
    if "heads" in own:
        own["heads"] = [2]
    made: SearchSpace = plugins.load("space", "gnn").build(
        RING.task,
        depth=[2],
        operators=[operator],
        width=WIDTHS,
        activation=["relu"],
        normalization=[normalization],
        connectivity=["plain"],
        pre_layers=[0],
        post_layers=[0],
        output=["linear"],
        dropout=[0.3, 0.6],
        lr=LRS,
        **own,
    )
    return made


def job(
    of: SearchSpace,
    store: str,
    *,
    width: int = 12,
    lr: float = 0.02,
    dropout: float = 0.3,
    seed: int = 3,
    until_epoch: int = EPOCHS,
    options: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Job:
    wanted = {"layer0.width": width, "layer1.width": width}
    wanted |= {"train.lr": lr, "train.dropout": dropout}
    # All else has one choice, where it is decided at all.
    given = {d.name: wanted.get(d.name, d.choices[0]) for d in of.decisions}
    evaluator = Plugin("training", {"epochs": EPOCHS, "device": "cpu"} | dict(options or {}))
    sealed = save_sealed(RING.seal(), store)
    return Job(of.architecture(given), of, evaluator, sealed, store, seed, until_epoch, **fields)


def outcome(evaluation: Evaluation) -> tuple[Any, ...]:
    """All of it but the time that it took, comparable."""
    metrics = {k: v for k, v in evaluation.metrics.items() if k != "train_seconds"}
    failure = evaluation.failure
    # What follows, where memory was short, is of the machine.
    told = None if failure is None else (failure.kind, failure.message.partition("; ")[0])
    weights = [] if evaluation.artifact is None else run_weights(evaluation.artifact)
    tensors = [{n: (t.dtype, t.numpy().tobytes()) for n, t in own.items()} for own in weights]
    return evaluation.epoch, metrics, told, tensors


def evaluate(jobs: Sequence[Job]) -> list[tuple[Any, ...]]:
    return [outcome(evaluation) for evaluation in run(jobs)]


def mixed(of: SearchSpace, store: str, options: Mapping[str, Any]) -> list[Job]:
    """Other widths, seeds and recipes; one that diverges; an heir; one that goes on."""
    first = run([job(of, store, until_epoch=2, options=options)])[0]
    parent = run([job(of, store, width=16, seed=9, options=options)])[0]
    return [
        job(of, store, options=options),
        job(of, store, width=10, options=options),
        job(of, store, width=16, lr=0.1, options=options),
        job(of, store, lr=1e30, options=options),
        job(of, store, dropout=0.6, options=options),
        job(of, store, seed=4, options=options),
        job(of, store, width=16, seed=4, options=options, inherit=weights_of(parent.artifact)),
        job(of, store, options=options, resume=first.artifact),
        job(of, store, until_epoch=5, options=options),
    ]


def check(jobs: Sequence[Job]) -> list[tuple[Any, ...]]:
    """Alone, all together, in another order, and in two batches: bit for bit the same."""
    alone = [evaluate([one])[0] for one in jobs]
    assert evaluate(jobs) == alone
    assert evaluate(jobs[::-1])[::-1] == alone
    assert evaluate(jobs[::2]) == alone[::2]
    assert evaluate(jobs[1::2]) == alone[1::2]
    return alone


# Each of another kind: products, maxima, attention; the others where there is time.
QUICK = ("gcn", "sage", "gin", "gat", "transformer")
OPERATORS = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
    for name in plugins.names("operator")
    if name != "skip"
]


@pytest.mark.parametrize("operator", OPERATORS)
def test_company_changes_nothing(operator: str, store: str) -> None:
    """For every operator; the one that diverges fails, and nobody else."""
    alone = check(mixed(space(operator), store, {}))
    assert [o[2][0] if o[2] else None for o in alone] == [None] * 3 + ["divergence"] + [None] * 5
    # That the runs are different ones: the first, and the same that went on, alone are equal.
    assert alone[7] == alone[0]
    assert len({str(o) for o in alone}) == len(alone) - 1


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("normalization", ["none", "batch", "layer"])
@pytest.mark.parametrize("operator", ["gcn", "gat"])
def test_with_normalizations(operator: str, normalization: str, device: str, store: str) -> None:
    """Whose statistics are a run's own."""
    check(mixed(space(operator, normalization), store, {"device": device}))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_with_options(options: Mapping[str, Any], store: str) -> None:
    """Optimizers, a shared mask, patience, several runs a candidate, precision."""
    check(mixed(space("gcn"), store, options))


def test_they_are_a_cohort(store: str) -> None:
    """So that company is tested at all: networks of three widths are one program."""
    signatures = set()
    for width in WIDTHS:
        one = job(space("gcn"), store, width=width)
        network = one.space.network(one.architecture, RING.task)
        signatures.add(read(network, RING.x.size(1)).signature)
    assert len(signatures) == 1


def test_patience_ends_runs_at_their_own_epochs(store: str) -> None:
    """In one cohort; each as it would alone."""
    options = {"patience": 2, "epochs": 40}
    jobs = [
        job(space("gcn"), store, seed=seed, lr=lr, until_epoch=40, options=options)
        for seed in range(4)
        for lr in LRS[:2]
    ]
    alone = check(jobs)
    assert len({o[1]["best_epoch"] for o in alone}) > 2


@pytest.mark.usefixtures("watch")
@pytest.mark.parametrize(
    ("watcher", "kind"),
    [(touchy.raises_when_large, "error"), (touchy.out_of_memory_when_large, "out_of_memory")],
)
def test_one_that_raises(watcher: Any, kind: str, store: str) -> None:
    """In a module without a kernel, in the second epoch: it fails, and nobody else."""
    Touchy.watch = staticmethod(watcher)
    given = [(0.02, 1), (0.02, 2), (0.1, 1), (0.1, 2), (1e5, 1)]
    jobs = [job(space("faulty.touchy"), store, lr=lr, seed=seed) for lr, seed in given]
    alone = check(jobs)
    assert [o[2][0] if o[2] else None for o in alone] == [None] * 4 + [kind]


@pytest.mark.usefixtures("watch")
def test_a_cohort_out_of_memory_is_halved(store: str) -> None:
    """Until it fits; nobody fails, and nothing else changes."""
    jobs = [job(space("faulty.touchy"), store, seed=seed) for seed in range(7)]
    expected = [evaluate([one])[0] for one in jobs]
    watcher = touchy.OutOfMemoryBeyond(2)
    Touchy.watch = staticmethod(watcher)
    assert evaluate(jobs) == expected
    assert watcher.raised == 2  # with 7, and with 3 of them
    Touchy.watch = staticmethod(touchy.OutOfMemoryBeyond(0))
    failures = [evaluation.failure for evaluation in run(jobs[:2])]
    assert [failure and failure.kind for failure in failures] == ["out_of_memory"] * 2


RESUMED = list(
    itertools.product(("gcn", "gat", "faulty.touchy"), ("none", "batch"), ("adam", "adamw", "sgd"))
)
QUICKLY_RESUMED = (RESUMED[3], RESUMED[7], RESUMED[14])


@pytest.mark.parametrize(
    ("operator", "normalization", "optimizer"),
    [
        pytest.param(*case, marks=[] if case in QUICKLY_RESUMED else pytest.mark.slow)
        for case in RESUMED
    ],
)
def test_resume_is_exact(operator: str, normalization: str, optimizer: str, store: str) -> None:
    """Rungs at 2, 5 and 9 epochs give the bits of 9 at one go; alone, and beside a fresh one."""
    options = {"optimizer": optimizer, "epochs": 9, "seeds": 2}
    of = space(operator, normalization)
    beside = job(of, store, width=16, until_epoch=9, options=options)
    whole, fresh = evaluate([job(of, store, until_epoch=9, options=options), beside])
    artifact, also = None, None
    for until_epoch in (2, 5, 9):
        part = job(of, store, until_epoch=until_epoch, options=options, resume=artifact)
        alone = run([part])[0]
        there = run([beside, dataclasses.replace(part, resume=also)])
        artifact, also = alone.artifact, there[1].artifact
        assert outcome(there[0]) == fresh
        assert outcome(there[1]) == outcome(alone)
    assert outcome(alone) == whole


@pytest.mark.parametrize(("operator", "normalization", "optimizer"), QUICKLY_RESUMED)
def test_a_stop_is_exact(
    operator: str, normalization: str, optimizer: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a cohort of 4 runs, twice: in its third epoch, and in the third after that."""
    options = {"optimizer": optimizer, "epochs": 9, "seeds": 2}
    of = space(operator, normalization)
    jobs = [job(of, store, seed=seed, until_epoch=9, options=options) for seed in (3, 4)]
    bell = Bell(monkeypatch)
    stopped = bell.evaluate(jobs, 10)
    assert [(one.early, one.epoch) for one in stopped] == [("stopped", 3)] * 2
    parted = in_parts(bell, jobs, [10, 11])
    assert [outcome(one) for one in parted] == evaluate(jobs)
