"""Which way a candidate is trained, what its notes say of it, and that its numbers are its own."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parity_measure
import pytest
import tiny
import torch
import torch.nn.functional as F
from faulty import networks
from parity_cases import Case, ring
from parity_measure import CPU, engine, recorded
from torch import nn

from evaluators import Evaluation, Job
from evaluators._recipe import seed_torch
from evaluators.datasets import save_sealed
from evaluators.engine import groups
from evaluators.engine.cohort import Candidate
from evaluators.engine.graph import Graph
from evaluators.engine.reading import read
from evaluators.run import run
from search_spaces import PluginError
from search_spaces.plugins import Plugin

EPOCHS = 8
RING = ring()
MakeJob = Callable[..., Job]


def job(kind: str, store: str, **options: Any) -> Job:
    given = {"epochs": EPOCHS, "dropout": 0.0, "lr": 0.02, "device": "cpu"} | options
    sealed = save_sealed(RING.seal(), store)
    architecture = networks.SPACE.architecture({"kind": kind})
    evaluator = Plugin("training", given)
    return Job(architecture, networks.SPACE, evaluator, sealed, store, 3, EPOCHS)


def evaluate(one: Job) -> Evaluation:
    """Python's generator begins anew, for the network that draws from it."""
    random.seed(0)
    found = run([one])[0]
    assert found.failure is None, found.failure
    return found


def by_the_loop(one: Job) -> dict[str, float]:
    """The numbers of the best epoch, by the usual loop."""
    seed_torch(one.seed, 0, 0)
    network = one.space.network(one.architecture, RING.task)
    random.seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02, weight_decay=5e-4, fused=True)
    train, val = (mask.nonzero().squeeze(1) for mask in (RING.train, RING.val))
    best = {"val_accuracy": -1.0}
    for epoch in range(1, EPOCHS + 1):
        seed_torch(one.seed, 0, epoch)
        optimizer.zero_grad()
        scores = network.train()(RING.x, RING.edge_index)[train]
        loss = F.cross_entropy(scores, RING.y[train])
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            scores = network.eval()(RING.x, RING.edge_index)[val]
        y = RING.y[val]
        accuracy = float((scores.argmax(1) == y).double().mean())
        if accuracy > best["val_accuracy"]:
            best = {"val_accuracy": accuracy, "best_epoch": float(epoch)}
            best |= {"train_loss": loss.item(), "val_loss": float(F.cross_entropy(scores, y))}
    return best


def equals_the_loop(evaluation: Evaluation, one: Job) -> bool:
    expected = by_the_loop(one)
    return {name: evaluation.metrics[name] for name in expected} == pytest.approx(
        expected, rel=2e-5
    )


@pytest.mark.parametrize("kind", networks.UNREADABLE)
def test_what_cannot_be_read_is_trained_as_it_is(kind: str, store: str) -> None:
    """By the usual loop, to the same numbers as if it had never been tried to read; a warning."""
    one = job(kind, store)
    evaluation = evaluate(one)
    assert evaluation.notes["path"] == "stock"
    assert evaluation.notes["reason"] in evaluation.notes["warning"]
    assert evaluation.notes["reason"]
    assert equals_the_loop(evaluation, one)


@pytest.mark.parametrize("kind", networks.PARTLY)
def test_modules_without_a_fast_path(kind: str, store: str) -> None:
    """Run as they are, over the whole graph, to the same numbers; the notes name them."""
    one = job(kind, store)
    evaluation = evaluate(one)
    assert evaluation.notes["path"] == "fast"
    assert evaluation.notes["receptive_field"] == "train whole graph, val whole graph"
    kinds = {type(module).__name__ for module in network_of(one).modules()}
    (named,) = evaluation.notes["stock_modules"].split(", ")
    assert named.partition(": ")[2] in kinds
    assert named.partition(": ")[2] in evaluation.notes["warning"]
    assert equals_the_loop(evaluation, one)


def network_of(one: Job) -> nn.Module:
    return one.space.network(one.architecture, RING.task)


def test_a_plain_network_has_no_warning(store: str) -> None:
    """The control: it goes the fast way, over parts of the graph; and equality can fail."""
    one = job("two_layers", store)
    evaluation = evaluate(one)
    assert (
        evaluate(job("functional", store)).notes
        == evaluation.notes
        == {
            "path": "fast",
            "receptive_field": evaluation.notes["receptive_field"],
            "device": "cpu",
            "precision": "float32",
        }
    )
    assert "whole" not in evaluation.notes["receptive_field"]
    assert equals_the_loop(evaluation, one)
    assert equals_the_loop(evaluation, job("functional", store))
    assert not equals_the_loop(evaluation, job("on_mode", store))
    for shared, said in ((False, "independent"), (True, "shared")):
        options = {"dropout": 0.3, "share_input_dropout": shared}
        assert evaluate(job("dropping", store, **options)).notes["input_dropout"] == said
        assert "input_dropout" not in evaluate(job("two_layers", store, **options)).notes


def test_graph_tasks_go_the_usual_way(make_job: MakeJob) -> None:
    """Without a warning: there is nothing that anyone could do."""
    (evaluation,) = run([make_job(tiny.graph_set())])
    assert evaluation.notes["path"] == "stock"
    assert "whole graphs" in evaluation.notes["reason"]
    assert "warning" not in evaluation.notes


def test_bfloat16_on_a_cpu_is_float32(store: str) -> None:
    """A warning, and the very numbers of float32, whatever else is warned of."""
    for kind in ("two_layers", "normalizes", "unusual_attention"):
        asked = evaluate(job(kind, store, precision="bfloat16"))
        plain = evaluate(job(kind, store, precision="float32"))
        assert asked.notes["precision"] == "float32"
        assert "bfloat16 is for GPUs" in asked.notes["warning"]
        assert plain.notes.get("warning", "") in asked.notes["warning"]
        assert _numbers(asked) == _numbers(plain)


def _numbers(evaluation: Evaluation) -> dict[str, float]:
    return {k: v for k, v in evaluation.metrics.items() if k != "train_seconds"}


def test_float64(store: str) -> None:
    """Near float32's numbers and not equal to them; where it is not done, a warning."""
    asked, plain = (evaluate(job("two_layers", store, precision=p)) for p in ("float64", "float32"))
    assert asked.notes["precision"] == "float64"
    assert "warning" not in asked.notes
    assert asked.metrics["train_loss"] == pytest.approx(plain.metrics["train_loss"], rel=1e-4)
    assert asked.metrics["train_loss"] != plain.metrics["train_loss"]
    unreadable = evaluate(job("normalizes", store, precision="float64"))
    assert unreadable.notes["precision"] == "float32"
    assert "trained in float32" in unreadable.notes["warning"]
    assert _numbers(unreadable) == _numbers(evaluate(job("normalizes", store)))


@pytest.mark.parametrize("operator", ["gcn", "gat", "sage", "gin"])
def test_products_in_bfloat16(operator: str) -> None:
    """Forced on a CPU's graph: a loss nearby, and not the same."""
    graph = Graph(RING, torch.float32, CPU)
    case = Case(operator, 2, "batch")
    half = recorded(case.network(RING.task), RING)
    program = read(half.network, RING.x.size(1))
    assert groups.train(graph, [Candidate(half, program)], in_bfloat16=True) == []
    assert half.fault is None
    assert half.notes["precision"] == "bfloat16 products"
    (full,) = engine([recorded(case.network(RING.task), RING)], graph)
    assert half.losses != full.losses
    assert half.losses[0] == pytest.approx(full.losses[0], rel=0.02)
    assert half.losses[-1] == pytest.approx(full.losses[-1], abs=0.1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU here")
def test_no_gpu(store: str) -> None:
    """A GPU that is asked for and not there is an error that says what to do."""
    with pytest.raises(PluginError, match='use "auto"'):
        run([job("two_layers", store, device="cuda")])


_SHORT_OF_MEMORY = """
import resource, sys, json
sys.path[:0] = sys.argv[1:]
import torch, tiny
from dataclasses import replace
from evaluators import _paths
from evaluators._batches import Batches
from evaluators._memory import available_bytes
from faulty.networks import Rowwise
from parity_measure import recorded
dataset = tiny.node_graph(nodes=2000)
dataset = replace(dataset, edge_index=torch.randint(2000, (2, 4_000_000)))
batches, notes = Batches(dataset), []
for limited in (True, False):
    unlimited = resource.getrlimit(resource.RLIMIT_DATA)
    if limited:
        used = next(line for line in open("/proc/self/status") if line.startswith("VmData"))
        limit = int(used.split()[1]) * 1024 + 2**26
        resource.setrlimit(resource.RLIMIT_DATA, (limit, unlimited[1]))
    torch.manual_seed(0)
    run = recorded(Rowwise(6, 3), dataset, epochs=2)
    _paths.train([run], batches, _paths.Means(device="cpu"))
    resource.setrlimit(resource.RLIMIT_DATA, unlimited)
    assert run.fault is None, run.fault
    notes.append(run.notes | {"losses": run.losses})
print(json.dumps(notes))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's")
def test_too_little_memory_for_the_matrices() -> None:
    """A real limit, 64 MiB for 107 MiB of matrices: the usual loop instead, and why."""
    modules = (tiny, parity_measure, networks)
    folders = [Path(str(module.__file__)).parent for module in modules]
    folders[-1] = folders[-1].parent  # of the package `faulty`
    command = [sys.executable, "-c", _SHORT_OF_MEMORY, *map(str, folders)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    said = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=environment, check=False
    )
    assert said.returncode == 0, said.stderr
    limited, unlimited = json.loads(said.stdout.splitlines()[-1])
    assert limited["path"] == "stock"
    assert "sparse matrices would take 0.1 GiB" in limited["warning"]
    assert unlimited["path"] == "fast"
    assert limited["losses"] == pytest.approx(unlimited["losses"], rel=1e-4)
