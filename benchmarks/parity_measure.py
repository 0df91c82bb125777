"""How benchmarks/parity.py and the tests measure: the plain loop, the engine, and their curves.

The plain loop is the usual one: the network itself on `edge_index`, torch's own dropout and Adam,
no code of `evaluators`. It is compared with the engine, and with itself with its edges permuted:
sums in another order round otherwise, and training lets such differences grow.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import torch
import torch.nn.functional as F
from parity_cases import Case, choices, permuted
from torch import nn
from torch_geometric.nn import MessagePassing

from evaluators._faults import CandidateError
from evaluators._folds import Fold
from evaluators._recipe import OptimizerName, Recipe
from evaluators._runs import Allowance, Run
from evaluators.datasets import Dataset
from evaluators.engine import groups
from evaluators.engine.cohort import Candidate
from evaluators.engine.graph import Graph, View
from evaluators.engine.matrices import KINDS, Matrices
from evaluators.engine.matrices import prepare as matrices_of
from evaluators.engine.reading import read
from nas.compare import paired_interval
from search_spaces import plugins

CPU = torch.device("cpu")
EPOCHS, LR, WEIGHT_DECAY = 30, 0.01, 5e-4
# By how much the engine may be farther from PyG than PyG from itself.
FACTOR = 3.0
# Two curves in float32 that differ by this do not differ: an operator without edges has the same
# sums whatever the order of the edges, while the engine's dense products may round otherwise.
FLOOR = 1e-6
# A difference is mostly of the last bit, and now and then, where a rounding error turns a ReLU or
# the sign of a tiny gradient, a hundred times as large: the largest of few may miss that.
PERMUTATIONS, LEAST = 20, 3


@dataclass(eq=False)
class Recorded(Run):
    """A run of the engine that remembers the training loss and accuracy of each epoch."""

    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)

    def complete_epoch(self, value: float, train_loss: float) -> bool:
        self.losses.append(train_loss)
        self.accuracies.append(value)
        return super().complete_epoch(value, train_loss)


@dataclass(frozen=True)
class Curve:
    """Training losses and validation accuracies, by epoch."""

    losses: Sequence[float]
    accuracies: Sequence[float]

    def distance(self, other: "Curve") -> float:
        """The largest difference of their losses in any epoch."""
        return max(abs(a - b) for a, b in zip(self.losses, other.losses, strict=True))


def plain(network: nn.Module, dataset: Dataset, epochs: int = EPOCHS, dropout: float = 0) -> Curve:
    """The usual loop; the network is changed."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
    optimizer = torch.optim.Adam(network.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    losses, accuracies = [], []
    for _ in range(epochs):
        optimizer.zero_grad()
        scores = network.train()(dataset.x, dataset.edge_index)
        loss = F.cross_entropy(scores[dataset.train], dataset.y[dataset.train])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
        with torch.no_grad():
            scores = network.eval()(dataset.x, dataset.edge_index)[dataset.val]
        accuracies.append(float((scores.argmax(1) == dataset.y[dataset.val]).double().mean()))
    return Curve(losses, accuracies)


def recorded(
    network: nn.Module,
    dataset: Dataset,
    *,
    epochs: int = EPOCHS,
    dropout: float = 0.0,
    optimizer: OptimizerName = "adam",
    weight_decay: float = WEIGHT_DECAY,
    seed: int = 0,
) -> Recorded:
    """A run to be trained by the engine."""
    fold = Fold(dataset.train.nonzero().squeeze(1), dataset.val.nonzero().squeeze(1))
    recipe = Recipe(LR, weight_decay, dropout, optimizer, None, 128)
    return Recorded(network, recipe, fold, seed, 0, 0, epochs, Allowance(None))


def engine(runs: Sequence[Recorded], graph: Graph) -> list[Curve]:
    """The curves of runs that the engine trains; their networks are changed."""
    columns = graph.dataset.x.size(1)
    groups.train(graph, [Candidate(run, read(run.network, columns)) for run in runs])
    for run in runs:
        if run.fault is not None:
            raise run.fault
    return [Curve(run.losses, run.accuracies) for run in runs]


def curve(case: Case, graph: Graph) -> Curve:
    """Of the engine, without dropout; infinite losses where it fails."""
    dataset = graph.dataset
    try:
        return engine([recorded(case.network(dataset.task), dataset)], graph)[0]
    except CandidateError:
        return Curve([math.inf] * EPOCHS, [])


@dataclass(frozen=True)
class Parity:
    """How far the engine's curve is from PyG's, and PyG's from itself.

    Attributes:
        engine: the largest difference of the training losses in any epoch.
        permuted: the same between PyG and itself, for each permutation of the edges.
    """

    engine: float
    permuted: Sequence[float]

    @property
    def bound(self) -> float:
        return FACTOR * max(*self.permuted, FLOOR)

    @property
    def holds(self) -> bool:
        return self.engine <= self.bound


def parity(case: Case, graphs: Sequence[Graph], least: int = LEAST) -> list[Parity]:
    """Of engines for the same dataset; all but the first may be faulty.

    The bound is of `PERMUTATIONS` permutations. More than `least` are only made while the first
    engine is beyond it: another one can but raise it.
    """
    dataset = graphs[0].dataset
    network = case.network(dataset.task)
    theirs = plain(copy.deepcopy(network), dataset)
    distances = [curve(case, graph).distance(theirs) for graph in graphs]
    themselves = list[float]()
    for seed in range(PERMUTATIONS):
        if len(themselves) >= least and Parity(distances[0], themselves).holds:
            break
        other = plain(copy.deepcopy(network), permuted(dataset, seed))
        themselves.append(other.distance(theirs))
    return [Parity(distance, themselves) for distance in distances]


def first_step(case: Case, graph: Graph) -> float:
    """The largest relative difference of loss and gradients from PyG's, in float64.

    Of each tensor, relative to its largest element; where a gradient is zero but for rounding
    (a bias before batch normalization), relative to 1e-5 of the largest of all.
    """
    dataset = graph.dataset
    network = case.network(dataset.task).double()
    theirs = copy.deepcopy(network).train()
    scores = theirs(dataset.x.double(), dataset.edge_index)[dataset.train]
    loss = F.cross_entropy(scores, dataset.y[dataset.train])
    loss.backward()  # type: ignore[no-untyped-call]
    # Momentum begins with the first gradient, so it is in the optimizer's state after one step.
    run = recorded(network, dataset, epochs=1, optimizer="sgd", weight_decay=0.0)
    found = engine([run], graph)[0].losses[0]
    differences = [abs(found - loss.item()) / loss.item()]
    expected = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    if len(run.state.optimizer) != len(expected):
        raise ValueError(f"expected gradients of {[*expected]}, got {[*run.state.optimizer]}")
    least = 1e-5 * max((float(g.abs().max()) for g in expected.values()), default=0.0)
    for name, gradient in expected.items():
        off = (run.state.optimizer[f"{name}/momentum_buffer"] - gradient).abs().max()
        differences.append(float(off / gradient.abs().max().clamp(min=least)))
    return max(differences)


class NarrowGraph(Graph):
    """A fault on purpose: each receptive field is one hop too small."""

    def _view(self, units: bytes, hops: int | None) -> View:
        return super()._view(units, None if hops is None else max(0, hops - 1))


def changed_weight(dataset: Dataset, dtype: torch.dtype) -> Graph:
    """A fault on purpose: of each matrix, the first entry in the row of a training node."""
    nodes = dataset.x.size(0)
    tensors = dict(matrices_of(dataset.x.to(dtype), dataset.edge_index))
    matrices = Matrices(tensors, nodes)
    row = int(dataset.train.nonzero()[1])
    for kind in KINDS:
        matrix = matrices.of(kind)
        values = matrix.values.clone()
        values[int(matrix.crow[row])] *= 1.1
        tensors[f"{kind}.values"] = values
    graph = Graph(dataset, dtype, CPU)
    graph.matrices = Matrices(tensors, nodes)
    return graph


def with_dropout(
    case: Case, graph: Graph, p: float, seeds: Sequence[int], epochs: int
) -> list[Curve]:
    """Of the engine, for each seed; all are offered to it together."""
    task = graph.dataset.task
    runs = [
        recorded(case.network(task, seed), graph.dataset, epochs=epochs, dropout=p, seed=seed)
        for seed in seeds
    ]
    return engine(runs, graph)


def plain_with_dropout(
    case: Case, dataset: Dataset, p: float, seeds: Sequence[int], epochs: int
) -> list[Curve]:
    """Of the plain loop, from the same weights; what it drops has nothing to do with the engine."""
    found = []
    for seed in seeds:
        network = case.network(dataset.task, seed)
        torch.manual_seed(2**32 + seed)
        found.append(plain(network, dataset, epochs, p))
    return found


# What of a curve is compared between seeds.
SUMMARIES: Mapping[str, Callable[[Curve], float]] = {
    "best val accuracy": lambda c: max(c.accuracies),
    "last val accuracy": lambda c: c.accuracies[-1],
    "train loss, last 10 epochs": lambda c: fmean(c.losses[-10:]),
}


@dataclass(frozen=True)
class Difference:
    """Of the means of two ways over seeds, each pair of which began with the same weights.

    Attributes:
        mean: the engine's less the plain loop's.
        interval: of it, 95 %.
        p: that it is 0.
        of: the plain loop's mean.
    """

    mean: float
    interval: tuple[float, float]
    p: float
    of: float


def differences(ours: Sequence[Curve], theirs: Sequence[Curve]) -> dict[str, Difference]:
    """By what is compared."""
    found = {}
    for name, summary in SUMMARIES.items():
        of = [summary(c) for c in theirs]
        pairs = [summary(a) - b for a, b in zip(ours, of, strict=True)]
        interval, p = paired_interval(pairs)
        if interval is None or p is None:
            raise ValueError(f"expected differences between seeds that vary, got {pairs}")
        found[name] = Difference(fmean(pairs), interval, p, fmean(of))
    return found


FAULTS = ("a field one hop too small", "an entry of a matrix 10 % larger")


def faulty(dataset: Dataset, dtype: torch.dtype) -> dict[str, Graph]:
    """Engines with a fault on purpose."""
    graphs = (NarrowGraph(dataset, dtype, CPU), changed_weight(dataset, dtype))
    return dict(zip(FAULTS, graphs, strict=True))


def shows(operator: str, fault: str) -> bool:
    """Whether an operator reads what a fault changes: edges, or their constant weights."""
    modules = plugins.load("operator", operator).build(8, 8).modules()
    propagates = any(isinstance(module, MessagePassing) for module in modules)
    attends = "heads" in choices(operator)
    return propagates and (fault == FAULTS[0] or not attends)
