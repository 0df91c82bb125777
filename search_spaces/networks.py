"""The networks of the message-passing space, from the choices of an architecture.

`nn.Dropout` modules are built with p = 0: how much to drop is a matter of training. Nothing
branches on data, so every network exports with dynamic numbers of nodes, edges and graphs.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch_geometric.utils import scatter

from search_spaces.architecture import Architecture
from search_spaces.decision import Choice
from search_spaces.message_passing import (
    Dense,
    JumpingKnowledge,
    Layer,
    LayerPlan,
    Plain,
    Residual,
)
from search_spaces.task import Task

SKIP = "skip"


class Perceptron(nn.Module):
    """`layers` times dropout, linear map to `width`, ReLU; without layers, the identity.

    `width` is that of the output.
    """

    def __init__(self, in_features: int, width: int, layers: int) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for i in range(layers):
            parts += [nn.Dropout(0.0), nn.Linear(width if i else in_features, width), nn.ReLU()]
        self.parts = nn.Sequential(*parts)
        self.width = width if layers else in_features

    def forward(self, x: Tensor) -> Tensor:
        mapped: Tensor = self.parts(x)
        return mapped


class NodeNetwork(nn.Module):
    """Perceptron, message passing, perceptron, output operator: [N, F], [2, E] -> [N, C]."""

    def __init__(self, pre: nn.Module, body: nn.Module, post: nn.Module, output: Layer) -> None:
        super().__init__()
        self.pre, self.body, self.post, self.output = pre, body, post, output

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.post(self.body(self.pre(x), edge_index))
        scores: Tensor = self.output(x, edge_index)
        return scores


class GraphNetwork(nn.Module):
    """Perceptron, message passing, readout, perceptron, linear map: one row of scores a graph.

    The readout is the sum, mean or max over the nodes of a graph; a graph without nodes gets 0.
    """

    def __init__(
        self, pre: nn.Module, body: nn.Module, readout: str, post: nn.Module, output: nn.Module
    ) -> None:
        super().__init__()
        self.pre, self.body, self.post, self.output = pre, body, post, output
        self.readout = readout

    def forward(self, x: Tensor, edge_index: Tensor, graph_ids: Tensor, graphs: Tensor) -> Tensor:
        """[N, F], [2, E], [N] in 0..B-1, [B] of which the length counts -> [B, C]."""
        x = self.body(self.pre(x), edge_index)
        x = scatter(x, graph_ids, dim=0, dim_size=graphs.size(0), reduce=self.readout)
        scores: Tensor = self.output(self.post(x))
        return scores


def build_network(architecture: Architecture, task: Task) -> nn.Module:
    """The network of an architecture of this space; its recipe changes nothing."""
    choices = architecture.structure
    pre = _perceptron(choices, "pre", task.n_features)
    plans = [_plan(choices, f"layer{i}.") for i in range(int(choices["depth"]))]
    body = _body(choices, pre.width, [plan for plan in plans if plan.operator != SKIP])
    post = _perceptron(choices, "post", body.width)
    if task.is_graph_task:
        output = nn.Sequential(nn.Dropout(0.0), nn.Linear(post.width, task.n_classes))
        return GraphNetwork(pre, body, str(choices["readout"]), post, output)
    last = Layer(post.width, LayerPlan(str(choices["output.operator"]), task.n_classes))
    return NodeNetwork(pre, body, post, last)


def _perceptron(choices: Mapping[str, Choice], name: str, in_features: int) -> Perceptron:
    width = int(choices.get(f"{name}.width", in_features))
    return Perceptron(in_features, width, int(choices[f"{name}.layers"]))


def _plan(choices: Mapping[str, Choice], prefix: str) -> LayerPlan:
    mine = {
        name.removeprefix(prefix): choice
        for name, choice in choices.items()
        if name.startswith(prefix)
    }
    operator = str(mine.pop("operator"))
    if operator == SKIP:
        return LayerPlan(operator, 0)
    return LayerPlan(
        operator,
        width=int(mine.pop("width")),
        normalization=str(mine.pop("normalization")),
        activation=str(mine.pop("activation")),
        options=mine,
    )


def _body(
    choices: Mapping[str, Choice], features: int, plans: Sequence[LayerPlan]
) -> Plain | Dense:
    connectivity = choices.get("connectivity", "plain")
    if connectivity == "jk":
        return JumpingKnowledge(features, plans, str(choices["jk.mode"]))
    if connectivity == "dense":
        return Dense(features, plans)
    return Residual(features, plans) if connectivity == "residual" else Plain(features, plans)
