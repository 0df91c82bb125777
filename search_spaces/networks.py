"""The networks of the message-passing space, from the choices of an architecture.

`nn.Dropout` modules are built with p = 0: how much to drop is a matter of training. Nothing
branches on data, so every network exports with dynamic numbers of nodes, edges and graphs. What a
network is made of (`network_parts`) is read from the same choices, without building it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch_geometric.utils import scatter

from search_spaces.architecture import Architecture
from search_spaces.decision import Choice
from search_spaces.frozen import FrozenMapping
from search_spaces.message_passing import SKIP as SKIP
from search_spaces.message_passing import (
    Dense,
    JumpingKnowledge,
    Layer,
    LayerPlan,
    Plain,
    Residual,
)
from search_spaces.parts import Part, Piece
from search_spaces.task import Task


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


def perceptron_part(in_features: int, width: int, layers: int, *, of_graphs: bool = False) -> Part:
    rows: Literal["nodes", "graphs"] = "graphs" if of_graphs else "nodes"
    return Part(Perceptron, (in_features,), (width if layers else 0, layers), rows, even=True)


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
        x = read_out(x, graph_ids, graphs, how=self.readout)
        scores: Tensor = self.output(self.post(x))
        return scores


def read_out(x: Tensor, graph_ids: Tensor, graphs: Tensor, how: str) -> Tensor:
    """[N, F], [N], [B] -> [B, F]."""
    read: Tensor = scatter(x, graph_ids, dim=0, dim_size=graphs.size(0), reduce=how)
    return read


def read_out_part(width: int, how: str) -> Part:
    return Part(_reading_out, (width,), (how,), structure="graphs", even=True)


def _reading_out(_width: int, how: str) -> Piece:
    return partial(read_out, how=how)


def graph_output(in_features: int, classes: int) -> nn.Module:
    """Scores of each graph: a linear map."""
    return nn.Sequential(nn.Dropout(0.0), nn.Linear(in_features, classes))


def graph_output_part(in_features: int, classes: int) -> Part:
    return Part(graph_output, (in_features,), (classes,), "graphs", even=True)


def build_network(architecture: Architecture, task: Task) -> nn.Module:
    """The network of an architecture of this space; its recipe changes nothing."""
    choices = architecture.structure
    pre = Perceptron(task.n_features, *_perceptron(choices, "pre"))
    body = _body(choices, pre.width, _plans(choices))
    post = Perceptron(body.width, *_perceptron(choices, "post"))
    if task.is_graph_task:
        output = graph_output(post.width, task.n_classes)
        return GraphNetwork(pre, body, str(choices["readout"]), post, output)
    return NodeNetwork(pre, body, post, Layer(post.width, _output(choices, task)))


def network_parts(architecture: Architecture, task: Task) -> tuple[Part, ...]:
    """What `build_network` puts together."""
    return tuple(_parts(architecture.structure, task))


def _parts(choices: Mapping[str, Choice], task: Task) -> Iterator[Part]:
    width, layers = _perceptron(choices, "pre")
    yield perceptron_part(task.n_features, width, layers)
    width, plans = width if layers else task.n_features, _plans(choices)
    yield from _body_parts(choices, width, plans)
    width = _body_width(choices, width, plans)
    if task.is_graph_task:
        yield read_out_part(width, str(choices["readout"]))
    last, layers = _perceptron(choices, "post")
    yield perceptron_part(width, last, layers, of_graphs=task.is_graph_task)
    width = last if layers else width
    if task.is_graph_task:
        yield graph_output_part(width, task.n_classes)
    else:
        yield from Layer.parts(width, _output(choices, task))


def _perceptron(choices: Mapping[str, Choice], name: str) -> tuple[int, int]:
    """Its width, where it has layers, and how many."""
    return int(choices.get(f"{name}.width", 0)), int(choices[f"{name}.layers"])


def _output(choices: Mapping[str, Choice], task: Task) -> LayerPlan:
    return LayerPlan(str(choices["output.operator"]), task.n_classes)


def _plans(choices: Mapping[str, Choice]) -> list[LayerPlan]:
    """Of the layers that are there."""
    depth = int(choices["depth"])
    return [
        _plan(choices, f"layer{i}.") for i in range(depth) if choices[f"layer{i}.operator"] != SKIP
    ]


def _plan(choices: Mapping[str, Choice], prefix: str) -> LayerPlan:
    mine = {
        name.removeprefix(prefix): choice
        for name, choice in choices.items()
        if name.startswith(prefix)
    }
    return LayerPlan(
        str(mine.pop("operator")),
        width=int(mine.pop("width")),
        normalization=str(mine.pop("normalization")),
        activation=str(mine.pop("activation")),
        options=FrozenMapping(mine),
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


def _body_parts(
    choices: Mapping[str, Choice], features: int, plans: Sequence[LayerPlan]
) -> Iterator[Part]:
    connectivity = choices.get("connectivity", "plain")
    if connectivity == "jk":
        return JumpingKnowledge.parts(features, plans, str(choices["jk.mode"]))
    if connectivity == "dense":
        return Dense.parts(features, plans)
    made_of = Residual.parts if connectivity == "residual" else Plain.parts
    return made_of(features, plans)


def _body_width(choices: Mapping[str, Choice], features: int, plans: Sequence[LayerPlan]) -> int:
    if choices.get("jk.mode") == "cat" and plans:
        return sum(plan.width for plan in plans)
    return plans[-1].width if plans else features
