"""How benchmarks/parity.py and the tests measure: the plain loop, the engine, and their curves.

The plain loop is the usual one: the network itself on `edge_index`, torch's own dropout and Adam,
no code of `evaluators`. It is compared with the engine, and with itself with its edges permuted:
sums in another order round otherwise, and training lets such differences grow.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from parity_cases import Case, choices
from torch import nn
from torch_geometric.nn import MessagePassing

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
from search_spaces import plugins

CPU = torch.device("cpu")
EPOCHS, LR, WEIGHT_DECAY = 30, 0.01, 5e-4


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
    """The curves of runs that the engine trains; their networks are changed.

    Raises:
        ValueError: a module has no kernel, so PyG would be compared with itself.
    """
    columns = graph.dataset.x.size(1)
    candidates = [Candidate(run, read(run.network, columns)) for run in runs]
    if stock := sorted({kind for c in candidates for _, kind in c.program.stock}):
        raise ValueError(f"expected kernels for all modules, none has {', '.join(stock)}")
    for _, fault in groups.train(graph, candidates):
        raise fault
    for run in runs:
        if run.fault is not None:
            raise run.fault
    return [Curve(run.losses, run.accuracies) for run in runs]


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
