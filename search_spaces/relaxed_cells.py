"""The cells of the space `nas_bench_graph` as one.

Each of the four nodes reads the sum of what it may read, by how much the `links` count that have it
so, and computes the sum over operators. The output reads all nodes side by side, each by how much
it counts as a leaf; what does nothing but pass the cell's input on is no leaf of any network, and
counts nothing here either.

With several parts of channels operators are built that much narrower, and the other channels of
what a node reads go past them (see `search_spaces.relaxed`).
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import linear

from search_spaces.architecture import Architecture
from search_spaces.errors import SpaceError
from search_spaces.frozen import FrozenMapping
from search_spaces.message_passing import SKIP, operator_module
from search_spaces.nas_bench_graph import NODES, WIDTH, nodes_of
from search_spaces.networks import read_out
from search_spaces.relaxation import Align, Drop, Mixture, kept, sum_of
from search_spaces.relaxing import shuffled
from search_spaces.slices import Weights
from search_spaces.space import SearchSpace
from search_spaces.task import Task

_ALL = range(1, len(NODES) + 1)


class RelaxedCells:
    """What its methods do, `search_spaces.relaxation.Relaxed` says."""

    edges = frozenset({"links"})

    def __init__(self, space: SearchSpace, task: Task, parts: int) -> None:
        self.space, self.task, self.parts = space, task, parts
        self._width = _width(space, parts)
        self._links = [str(choice) for choice in space.by_name["links"].choices]
        with torch.random.fork_rng(devices=[]):
            self._operators = {name: self._made(str(name)).train() for name in self._names}

    @property
    def _names(self) -> tuple[object, ...]:
        return self.space.by_name[NODES[0]].choices

    def _made(self, name: str) -> nn.Module:
        width = self._width // self.parts
        return operator_module(width, name, width, FrozenMapping())

    def initial(self) -> dict[str, Tensor]:
        pre = nn.Linear(self.task.n_features, self._width)
        output = nn.Linear(self._width * len(NODES), self.task.n_classes)
        blocks = output.weight.detach().chunk(len(NODES), dim=1)
        found = {"pre.weight": pre.weight, "pre.bias": pre.bias, "output.bias": output.bias}
        found |= {f"output.weight<node{j}": blocks[j - 1] for j in _ALL}
        for j in _ALL:
            for name in self._names:
                own = self._made(str(name)).named_parameters()
                found |= {f"node{j}.{name}.{inner}": p for inner, p in own}
        return {name: tensor.detach().clone() for name, tensor in found.items()}

    def logits(
        self,
        weights: Weights,
        mixture: Mixture,
        inputs: tuple[Tensor, ...],
        drop: Drop = kept,
        align: Align = "pad",
    ) -> Tensor:
        del align  # all nodes are of one width
        x, edges, *graphs = inputs
        hidden = linear(drop(x), weights["pre.weight"], weights["pre.bias"]).relu()
        links, one = self._shares(mixture, "links", hidden), hidden.new_ones(())
        outputs, passing, leaves = [hidden], [one], list[Tensor]()
        for j, name in enumerate(NODES, start=1):
            reads: dict[int, Tensor] = {}
            for link, share in links.items():
                read = int(str(link)[j - 1])
                reads[read] = reads[read] + share if read in reads else share
            value = sum_of([(share, outputs[i]) for i, share in reads.items()])
            operators = self._shares(mixture, name, hidden)
            outputs.append(self._node(weights, j, operators, value, edges, drop))
            # How much it counts that nothing but the cell's input comes out of it.
            input_alone = torch.stack([share * passing[i] for i, share in reads.items()]).sum()
            passing.append(operators.get(SKIP, 0 * one) * input_alone)
            unread = [share for link, share in links.items() if str(j) not in str(link)]
            leaf = torch.stack(unread).sum() if unread else 0 * one
            leaves.append(leaf * (1 - passing[j]))
        return self._output(weights, outputs[1:], leaves, graphs, drop)

    def _shares(self, mixture: Mixture, name: str, like: Tensor) -> dict[object, Tensor]:
        choices = self.space.by_name[name].choices
        given = mixture.get(name, {0: like.new_ones(())} if len(choices) == 1 else {})
        return {choices[index]: share for index, share in given.items()}

    def _node(
        self,
        weights: Weights,
        number: int,
        operators: dict[object, Tensor],
        value: Tensor,
        edges: Tensor,
        drop: Drop,
    ) -> Tensor:
        part, terms = value[:, : self._width // self.parts], list[tuple[Tensor, Tensor]]()
        dropped = drop(part)
        for name, share in operators.items():
            if name == SKIP:
                terms.append((share, part))
                continue
            start = f"node{number}.{name}."
            own = {n.removeprefix(start): w for n, w in weights.items() if n.startswith(start)}
            module = self._operators[name].to(value.dtype)
            output: Tensor = functional_call(module, own, (dropped, edges))
            terms.append((share, output.relu()))
        mixed = sum_of(terms)
        if self.parts == 1:
            return mixed
        past = value[:, self._width // self.parts :]
        return shuffled(torch.cat([mixed, past], dim=1), self.parts)

    def _output(
        self,
        weights: Weights,
        outputs: list[Tensor],
        leaves: list[Tensor],
        graphs: list[Tensor],
        drop: Drop,
    ) -> Tensor:
        read = torch.cat([o * share for o, share in zip(outputs, leaves, strict=True)], dim=1)
        if graphs:
            read = read_out(read, graphs[0], graphs[1], "mean")
        blocks = [weights[f"output.weight<node{j}"] for j in _ALL]
        return linear(drop(read), torch.cat(blocks, dim=1), weights["output.bias"])

    def network(self, weights: Weights, architecture: Architecture) -> nn.Module:
        if self.parts > 1:
            raise SpaceError(
                f'space "{self.space.name}": no network has the weights of one of {self.parts} '
                "parts of its channels; relax it with all of them"
            )
        network = self.space.network(architecture, self.task).to(weights["pre.weight"].dtype)
        state = self._state(weights, architecture)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.copy_(state[name])
        return network.eval()

    def _state(self, weights: Weights, architecture: Architecture) -> dict[str, Tensor]:
        """The parameters of its network, by their names there."""
        state = {f"pre.parts.1.{kind}": weights[f"pre.{kind}"] for kind in ("weight", "bias")}
        leaves, open_, place = list[Tensor](), list(nodes_of(architecture.choices))[::-1], 0
        while open_:
            node = open_.pop()
            start = f"node{node.number}.{node.tree[0]}."
            own = {n.removeprefix(start): w for n, w in weights.items() if n.startswith(start)}
            state |= {f"body.operators.{place}.operator.{name}": w for name, w in own.items()}
            leaves += [] if node.children else [weights[f"output.weight<node{node.output}"]]
            open_ += node.children[::-1]
            place += 1
        last = "output.1" if self.task.is_graph_task else "output.operator.linear"
        return {
            **state,
            f"{last}.weight": torch.cat(leaves, dim=1),
            f"{last}.bias": weights["output.bias"],
        }


def _width(space: SearchSpace, parts: int) -> int:
    widths = space.by_name["width"].choices if "width" in space.by_name else (WIDTH,)
    if len(widths) > 1:
        raise SpaceError(
            f"width: all nodes of a relaxed cell are of one width, got {list(widths)}; give one"
        )
    width = int(widths[0])
    if width % parts:
        raise SpaceError(
            f"width: {width} channels cannot be divided into {parts} parts; change width, or the "
            "parts"
        )
    return width
