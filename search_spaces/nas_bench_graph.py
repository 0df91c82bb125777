"""NAS-Bench-Graph's space: four operators and how they are linked, 26,206 architectures.

Yijian Qin, Ziwei Zhang, Xin Wang, Zeyang Zhang, Wenwu Zhu: NAS-Bench-Graph: Benchmarking Graph
Neural Architecture Search (2022). A network is a linear layer, the cell, and a linear layer. Each
of the cell's four nodes applies an operator to the cell's input or to an earlier node; the nodes
that no other reads are concatenated. The decision `links` gives what nodes 1 to 4 read, 0 being the
cell's input: `0012` is a pair, and a chain of three.

Many choices describe the same cell: the order of nodes does not matter, and neither does a `skip`
that another node reads, that is its input's only reader, or that carries the cell's input to the
output. Such choices are one architecture here, with one key. Four skips leave no operator and are
no architecture. The evaluator `tabular` has the published results of all of them; with the
evaluator `training`, the same cells are trained on your own graph.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeAlias, get_args

import torch
from annotated_types import Ge
from torch import Tensor, nn

from search_spaces.architecture import Architecture
from search_spaces.decision import Choice, Choices, Decision
from search_spaces.drawn import nas_bench_graph as drawn
from search_spaces.equivalence import Equivalence
from search_spaces.graph import ArchitectureGraph
from search_spaces.message_passing import SKIP, Layer, LayerPlan
from search_spaces.networks import (
    GraphNetwork,
    NodeNetwork,
    Perceptron,
    graph_output,
    graph_output_part,
    perceptron_part,
    read_out_part,
)
from search_spaces.parts import Part, concatenation
from search_spaces.space import SearchSpace
from search_spaces.task import Task

if TYPE_CHECKING:
    from search_spaces.relaxed_cells import RelaxedCells

VERSION = 1
# In the order of the benchmark's digits; its `fc` is our `linear`.
LINKS = ("0000", "0001", "0011", "0012", "0013", "0111", "0112", "0122", "0123")
Operator = Literal["gat", "gcn", "gin", "cheb", "sage", "arma", "graph", "linear", "skip"]
OPERATORS: tuple[Operator, ...] = get_args(Operator)
NODES = ("node1.operator", "node2.operator", "node3.operator", "node4.operator")
WIDTH = 64
# A node's operator, with the trees of the nodes that read it, sorted.
Tree: TypeAlias = tuple[str, tuple["Tree", ...]]


def build(
    task: Task,
    *,
    operators: Choices[Operator] = OPERATORS,
    width: Choices[Annotated[int, Ge(1)]] | None = None,
) -> SearchSpace:
    """The space.

    Args:
        task: not looked at: the decisions are the same for all.
        operators: of the nodes; the table `proteins` has gcn, sage, arma, linear and skip alone.
        width: of all nodes of a network that is trained, a decision where given; else 64.
    """
    del task
    decisions = [Decision("links", LINKS), *(Decision(name, tuple(operators)) for name in NODES)]
    if width is not None:
        decisions.append(Decision("width", tuple(width), ordered=list(width) == sorted(width)))
    return SearchSpace(
        "nas_bench_graph",
        VERSION,
        tuple(decisions),
        build_network,
        equivalence=Equivalence(("links", *NODES), cell),
        graph=graph,
        parts=network_parts,
        relax=relax_cells,
        draw=drawn.draw,
    )


class Node(NamedTuple):
    """An operator of a cell that is left when skips are taken out.

    Attributes:
        tree: what it computes, and what is computed from it.
        number: of the node, 1 to 4.
        children: those that read it.
        output: the node, itself or a skip behind it, whose output it is of the cell.
    """

    tree: Tree
    number: int
    children: "tuple[Node, ...]"
    output: int


def nodes_of(choices: Mapping[str, Choice]) -> tuple[Node, ...]:
    """The operators that read the cell's input, in the order in which they are built."""
    links = str(choices["links"])
    operators = [str(choices[name]) for name in NODES]

    def read_by(node: int) -> list[Node]:
        found: list[Node] = []
        for reader, operator in enumerate(operators, start=1):
            if int(links[reader - 1]) == node:
                nodes = read_by(reader)
                # A skip that is read passes its input on to whoever reads it.
                found += (
                    nodes if operator == SKIP and nodes else [_settled(operator, reader, nodes)]
                )
        return found

    return tuple(sorted(node for node in read_by(0) if node.tree[0] != SKIP))


def cell(choices: Mapping[str, Choice]) -> tuple[Tree, ...] | None:
    """What the nodes compute, whatever their order and their skips; None if that is nothing.

    Sorted trees: two cells are the same if and only if these are equal.
    """
    return tuple(node.tree for node in nodes_of(choices)) or None


def _settled(operator: str, number: int, children: list[Node]) -> Node:
    """Sorted; a skip that alone reads a node makes it the cell's output, as without the skip."""
    if len(children) == 1 and children[0].tree == (SKIP, ()):
        return Node((operator, ()), number, (), children[0].output)
    ordered = tuple(sorted(children))
    return Node((operator, tuple(child.tree for child in ordered)), number, ordered, number)


def graph(architecture: Architecture) -> ArchitectureGraph:
    """The cell from its `input` to its `output`, operators in between."""
    labels, edges = ["input"], list[tuple[int, int]]()
    leaves = []
    for parent, operator, is_leaf in _nodes(cell(architecture.choices) or (), 0, [0]):
        edges.append((parent, len(labels)))
        if is_leaf:
            leaves.append(len(labels))
        labels.append(operator)
    edges += [(leaf, len(labels)) for leaf in leaves]
    return ArchitectureGraph((*labels, "output"), tuple(edges))


def _nodes(
    trees: tuple[Tree, ...], parent: int, count: list[int]
) -> Iterator[tuple[int, str, bool]]:
    """(parent, operator, whether it is a leaf) of each node, parents first, numbered from 1."""
    for operator, children in trees:
        count[0] += 1
        mine = count[0]
        yield parent, operator, not children
        yield from _nodes(children, mine, count)


def relax_cells(space: SearchSpace, task: Task, parts: int) -> "RelaxedCells":
    """All cells as one; see `search_spaces.relaxed_cells`.

    Raises:
        SpaceError: several widths, or one that cannot be divided into so many parts.
    """
    from search_spaces.relaxed_cells import RelaxedCells

    return RelaxedCells(space, task, parts)


class Cell(nn.Module):
    """Operators in a tree, each followed by ReLU; the outputs of the leaves side by side."""

    def __init__(self, trees: tuple[Tree, ...], width: int) -> None:
        super().__init__()
        nodes = list(_nodes(trees, 0, [0]))
        self.parents = [parent for parent, _, _ in nodes]
        self.leaves = [number for number, (_, _, leaf) in enumerate(nodes, start=1) if leaf]
        self.operators = nn.ModuleList(
            Layer(width, _plan(operator, width)) for _, operator, _ in nodes
        )
        self.width = width * len(self.leaves)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        outputs = [x]
        for parent, operator in zip(self.parents, self.operators, strict=True):
            outputs.append(operator(outputs[parent], edge_index))
        return torch.cat([outputs[leaf] for leaf in self.leaves], dim=1)


def _plan(operator: str, width: int) -> LayerPlan:
    return LayerPlan(operator, width, activation="none" if operator == SKIP else "relu")


def build_network(architecture: Architecture, task: Task) -> nn.Module:
    """A linear layer with ReLU, the cell, for graph tasks the mean over nodes, a linear layer."""
    width = int(architecture.choices.get("width", WIDTH))
    body = Cell(cell(architecture.choices) or (), width)
    pre, post = Perceptron(task.n_features, width, 1), Perceptron(body.width, body.width, 0)
    if task.is_graph_task:
        output = graph_output(body.width, task.n_classes)
        return GraphNetwork(pre, body, "mean", post, output)
    return NodeNetwork(pre, body, post, Layer(body.width, _output(task)))


def _output(task: Task) -> LayerPlan:
    return LayerPlan("linear", task.n_classes)


def network_parts(architecture: Architecture, task: Task) -> tuple[Part, ...]:
    """What `build_network` puts together."""
    width = int(architecture.choices.get("width", WIDTH))
    parts, leaves = [perceptron_part(task.n_features, width, 1)], list[int]()
    for _, operator, is_leaf in _nodes(cell(architecture.choices) or (), 0, [0]):
        parts += Layer.parts(width, _plan(operator, width))
        leaves += [width] * is_leaf
    parts.append(Part(concatenation, tuple(leaves)))
    if task.is_graph_task:
        parts.append(read_out_part(sum(leaves), "mean"))
    parts.append(perceptron_part(sum(leaves), 0, 0, of_graphs=task.is_graph_task))
    if task.is_graph_task:
        return (*parts, graph_output_part(sum(leaves), task.n_classes))
    return (*parts, *Layer.parts(sum(leaves), _output(task)))
