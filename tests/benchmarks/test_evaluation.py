"""benchmarks/evaluation.py: both sides train the same network, and the clock is read right."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import evaluation
import evaluation_alone as alone
import evaluation_large
import evaluation_measure as measure
import pytest
import torch
import torch.nn.functional as F
from evaluation_measure import Line, Model
from torch import nn

from evaluators.datasets import Dataset


@pytest.fixture(scope="module")
def graph() -> Dataset:
    """Small, with the sparse features of a bag of words."""
    dataset = measure.synthetic(400)
    dataset.x.mul_(torch.rand(dataset.x.shape, generator=torch.Generator().manual_seed(0)) < 0.1)
    return dataset


def copied(plain: nn.Module, other: nn.Module) -> None:
    """Give another GCN the weights of the plain one."""
    theirs = dict(plain.named_parameters())
    for name, parameter in other.named_parameters():
        parameter.data.copy_(theirs[name])


@pytest.mark.parametrize("kind", [alone.SparseGcn, alone.CsrGcn, alone.FieldGcn])
def test_a_lever_alone_computes_what_the_plain_gcn_does(
    graph: Dataset, kind: type[alone.Gcn], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logits and gradients, of train and of val, without dropout."""
    monkeypatch.setattr(alone, "DROPOUT", 0.0)
    torch.manual_seed(0)
    plain = evaluation.PlainGcn(128, 16, graph.n_classes, lambda x, _p, _training: x)
    levered = kind(graph, 16)
    copied(plain, levered)
    for training, mask in ((True, graph.train), (False, graph.val)):
        levered.train(training)
        logits, y = levered()
        expected = plain(graph.x, graph.edge_index)[mask]
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
        assert torch.equal(y, graph.y[mask])
        F.cross_entropy(logits, y).backward()
        F.cross_entropy(expected, y).backward()
    theirs = dict(plain.named_parameters())
    for name, parameter in levered.named_parameters():
        assert torch.allclose(parameter.grad, theirs[name].grad, atol=1e-6, rtol=1e-3), name


def test_the_space_has_the_plain_gcn(graph: Dataset) -> None:
    """So the naive loop and the evaluator train the same network, by the same number of weights."""
    space, architecture = Model("gcn", 16).candidate(graph.task)
    network = space.network(architecture, graph.task)
    plain = evaluation.PlainGcn(128, 16, graph.n_classes, evaluation.cheap_dropout)
    for mine, other in zip(plain.parameters(), network.parameters(), strict=True):
        mine.data.copy_(other.reshape(mine.shape))
    plain.eval()
    logits = network.eval()(graph.x, graph.edge_index)
    torch.testing.assert_close(logits, plain(graph.x, graph.edge_index))


@pytest.mark.parametrize("operator", evaluation.OPERATORS)
def test_every_operator_is_trained_by_the_naive_loops(graph: Dataset, operator: str) -> None:
    """Two layers, 8 heads where there are heads, and dropout that is not left at 0."""
    space, architecture = Model(operator, 16).candidate(graph.task)
    assert architecture.choices.get("layer0.heads", 8) == 8
    for loop in (evaluation.naive_candidate, evaluation.cheap_candidate):
        network = space.network(architecture, graph.task)
        before = [p.clone() for p in network.parameters()]
        assert 0 <= loop(network, graph, 2) <= 1
        assert any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
        drops = [m for m in network.modules() if isinstance(m, nn.Dropout)]
        assert len(drops) == 2
        assert {m.p for m in drops} == {measure.DROPOUT}


def test_the_naive_loop_learns_and_keeps_the_best(graph: Dataset) -> None:
    torch.manual_seed(0)
    network = evaluation.PlainGcn(128, 64, graph.n_classes, F.dropout)
    best = evaluation.naive_loop(network, graph, 60)
    network.eval()
    value = (network(graph.x, graph.edge_index).argmax(1) == graph.y)[graph.val].float().mean()
    assert best == pytest.approx(float(value))
    assert best > 2 / graph.n_classes


def test_cheap_dropout_keeps_the_mean() -> None:
    torch.manual_seed(0)
    x = torch.ones(1000, 1000)
    dropped = evaluation.cheap_dropout(x, 0.3, True)
    assert dropped.mean() == pytest.approx(1.0, abs=0.01)
    assert (dropped == 0).float().mean() == pytest.approx(0.3, abs=0.01)
    assert evaluation.cheap_dropout(x, 0.3, False) is x


def spin(seconds: float) -> Callable[..., Callable[[], None]]:
    """A way whose epoch takes so much CPU time."""

    def train(epochs: int) -> None:
        began = time.process_time()
        while time.process_time() - began < epochs * seconds:
            pass

    return lambda *given: partial(train, given[-1])


def test_timing_counts_epochs_and_candidates(graph: Dataset) -> None:
    """A way that does not apply is left out; sleeping is not CPU time."""
    lines = (
        Line("slow", spin(0.02)),
        Line("four at a time", spin(0.02), 4),
        Line("sleeps", lambda *given: partial(time.sleep, 0.02 * given[-1])),
        Line("not here", lambda *_: None),
    )
    found = measure.interleaved(graph, Model(), lines, rounds=3, most_epochs=4)
    assert set(found) == {"slow", "four at a time", "sleeps"}
    assert found["slow"].median == pytest.approx(20, rel=0.2)
    assert found["four at a time"].median == pytest.approx(5, rel=0.2)
    assert found["sleeps"].median < 2
    assert all(len(timing.rounds) == 3 for timing in found.values())


def test_a_target_that_was_not_measured_is_missed() -> None:
    """And one that was is compared by how many times less it takes."""
    timings = {
        evaluation.NAIVE.name: measure.Timing(0.0, [100.0]),
        evaluation.CHEAP.name: measure.Timing(0.0, [50.0]),
        evaluation.TOGETHER.name: measure.Timing(0.0, [5.0]),
    }
    rows = evaluation._lever_rows("Cora", timings, evaluation.TARGETS["Cora"], 64)
    verdicts = {r["measure"]: (r["ratio"], r["ok"]) for r in rows if r["target"]}
    assert verdicts[f"{evaluation.TOGETHER.name}, CPU ms / naive"] == (20.0, True)
    assert verdicts[f"{evaluation.SHARED.name}, CPU ms / naive"] == (None, False)
    assert verdicts[f"{evaluation.COHORT.name}, CPU ms / one at a time"] == (None, False)


def test_the_synthetic_graph_is_as_described() -> None:
    dataset = measure.synthetic(20_000)
    degrees = dataset.edge_index[0].bincount(minlength=20_000)
    assert dataset.edge_index.size(1) / 20_000 == pytest.approx(6.9, rel=0.1)
    assert degrees.max() > 30 * degrees.float().mean()
    assert dataset.train.float().mean() == pytest.approx(0.54, abs=0.01)
    assert torch.equal(dataset.edge_index[0].bincount(), dataset.edge_index[1].bincount())


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks of Linux")
def test_the_peak_is_counted_from_its_start() -> None:
    """What was freed before is not in it; what is freed after is."""
    torch.ones(60_000_000)
    base = evaluation_large._start_peak()
    torch.ones(25_000_000)
    added = evaluation_large._kilobytes("VmHWM") * 1024 - base
    assert 95e6 < added < 150e6
