"""What tests of the engine share: odd graphs, and networks of one layer or two."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from evaluators.engine.csr import Csr
from evaluators.engine.dropout import Draws
from evaluators.engine.fields import Field
from evaluators.engine.kernels._base import Pass
from evaluators.engine.matrices import Matrices, prepare
from evaluators.engine.program import Compiled
from evaluators.engine.reading import read
from evaluators.engine.stack import Stack
from evaluators.engine.values import Features, Input
from search_spaces import plugins
from search_spaces.decision import Choice
from search_spaces.message_passing import LayerPlan, Plain
from search_spaces.networks import NodeNetwork, Perceptron

CPU = torch.device("cpu")
NODES, FEATURES = 40, 24


def odd_graph(seed: int, nodes: int = NODES, edges: int = 90) -> Tensor:
    """[2, E]: directed, with loops, repeated edges, two nodes without any, and a pair of twins."""
    at = torch.Generator().manual_seed(seed)
    connected = nodes - 3  # the last three: no edges, none, and the twin of node 0
    drawn = torch.randint(connected, (2, edges), generator=at)
    loops = torch.tensor([[1, 2, 2], [1, 2, 2]])
    some = torch.cat([drawn, drawn[:, : edges // 6], loops], dim=1)
    twin = some.clone()
    twin[some == 0] = nodes - 1
    touched = (some == 0).any(dim=0)
    together = torch.cat([some, twin[:, touched]], dim=1)
    return together[:, torch.randperm(together.size(1), generator=at)]


def odd_features(seed: int, nodes: int = NODES, dtype: torch.dtype = torch.float64) -> Tensor:
    """[N, F]: mostly 0, of both signs, of a few values so that maxima tie; twins are alike."""
    at = torch.Generator().manual_seed(seed)
    x = torch.randint(-2, 4, (nodes, FEATURES), generator=at).to(dtype)
    x = x * (torch.rand(nodes, FEATURES, generator=at) < 0.2)
    x[nodes - 1] = x[0]
    return x


def sparse_of(x: Tensor) -> Csr:
    row, col = x.nonzero().T
    return Csr.of(row, col, x[row, col], (x.size(0), x.size(1)))


def matrices_of(edge_index: Tensor, nodes: int, dtype: torch.dtype = torch.float64) -> Matrices:
    return Matrices(prepare(torch.empty(nodes, 0, dtype=dtype), edge_index), nodes)


def stacked(
    operator: str,
    widths: Sequence[int],
    options: Mapping[str, Choice],
    features: int = FEATURES,
) -> nn.Module:
    """Layers of one operator, one after the other; ReLU between them makes maxima tie at 0."""
    plans = [LayerPlan(operator, w, activation="relu", options=options) for w in widths]
    body, width = Plain(features, plans), widths[-1]
    pre, post = Perceptron(features, features, 0), Perceptron(width, width, 0)
    # Without dropout of its own.
    output: Any = plugins.load("operator", "linear").build(width, 3)
    return NodeNetwork(pre, body, post, output)


class Cohort:
    """Networks compiled together, over a field."""

    def __init__(
        self, networks: Sequence[nn.Module], field: Field, x: Tensor, *, sparse: bool
    ) -> None:
        self.stack = Stack(networks, x.dtype, CPU)
        self.programs = [read(network, x.size(1)) for network in networks]
        self.compiled = Compiled(self.programs, self.stack)
        self.field = field
        self.features = Features(field, x, sparse_of(x) if sparse else None)

    @property
    def hops(self) -> int:
        return self.programs[0].hops

    def scores(self, draws: Draws | None = None) -> Tensor:
        """[K, U, C]."""
        rows = self.field.rows(self.hops)
        at = Pass(self.field, len(self.programs), draws)
        return self.field.of_units(self.compiled(at, Input(self.features, rows)))

    def gradients(self, run: int) -> dict[str, Tensor]:
        """Of a network's parameters, by name."""
        found = {}
        for name, part in self.stack.parts.items():
            leaf = self.stack.leaves[part.leaf]
            if leaf.requires_grad:
                grad = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
                found[name] = part.read(run, grad[run])
        return found
