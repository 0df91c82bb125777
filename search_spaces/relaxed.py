"""The networks of the space `gnn` as one: every module that any of them has, on slices of weights.

Weights are those of a supernet (`search_spaces.supernet`), so the one-hot mixture of an
architecture computes what its slice computes. `relaxing` has what is computed, in its order.

With several parts of channels (Yuhui Xu et al.: PC-DARTS: Partial Channel Connections for
Memory-Efficient Architecture Search, 2020) layers are built that much narrower, and read the
leading channels of each source; the others of the source before go past them, and all are shuffled,
so that the next layer computes others. Features are mapped to the width of the layers first. What
is not a layer - perceptrons, output - is as wide as it was.
"""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from search_spaces.architecture import Architecture
from search_spaces.errors import SpaceError
from search_spaces.modules import Modules
from search_spaces.relaxation import Align, Drop, Mixture, kept
from search_spaces.relaxing import Call
from search_spaces.relaxing_layers import STEM, Network
from search_spaces.slices import Weights
from search_spaces.space import SearchSpace
from search_spaces.supernet import Supernet
from search_spaces.task import Task

# Their decisions say what is read.
_EDGES = ("depth", "connectivity", "jk.mode", "pre.layers", "post.layers")


def relax(space: SearchSpace, task: Task, parts: int) -> "RelaxedNetwork":
    """The relaxed network of a space `gnn`.

    Raises:
        SpaceError: the space is not elastic, or a width cannot be divided into so many parts.
    """
    return RelaxedNetwork(space, task, parts)


class RelaxedNetwork:
    """What its methods do, `search_spaces.relaxation.Relaxed` says."""

    def __init__(self, space: SearchSpace, task: Task, parts: int) -> None:
        self.space, self.task, self.parts = space, task, parts
        self.edges = frozenset(name for name in _EDGES if name in space.by_name)
        self._whole = Supernet(space, task)
        self._layers = self._whole if parts == 1 else _thin(space, task, parts)
        made = Modules(self._whole)
        layers = made if parts == 1 else Modules(self._layers)
        self._network = Network(space, task, parts, made, layers)

    def initial(self) -> dict[str, Tensor]:
        found = self._whole.initial()
        if self.parts == 1:
            return found
        layers = self._layers.initial()
        stem = nn.Linear(self.task.n_features, self._network.widest("layer0"), bias=False)
        return {
            STEM: stem.weight.detach().clone(),
            **{name: tensor for name, tensor in found.items() if not _of_layer(name)},
            **{name: tensor for name, tensor in layers.items() if _of_layer(name)},
        }

    def logits(
        self,
        weights: Weights,
        mixture: Mixture,
        inputs: tuple[Tensor, ...],
        drop: Drop = kept,
        align: Align = "pad",
    ) -> Tensor:
        return Call(self._network, weights, mixture, inputs, drop, align).logits()

    def network(self, weights: Weights, architecture: Architecture) -> nn.Module:
        if self.parts > 1:
            raise SpaceError(
                f'space "{self.space.name}": no network has the weights of one of {self.parts} '
                "parts of its channels; relax it with all of them"
            )
        return self._whole.extract(weights, architecture)

    def slices(self, weights: Weights, architecture: Architecture) -> Mapping[str, Tensor]:
        """The parameters of its network, as they are here; not of parts of channels."""
        return self._whole.weights(weights, architecture)


def _thin(space: SearchSpace, task: Task, parts: int) -> Supernet:
    """The layers alone, narrower, and reading as much less."""
    decisions = []
    for decision in space.decisions:
        if decision.name.endswith(".width"):
            widths = [int(choice) for choice in decision.choices]
            if rest := [width for width in widths if width % parts]:
                raise SpaceError(
                    f"{decision.name}: {rest[0]} channels cannot be divided into {parts} parts; "
                    "change width, or the parts"
                )
            decision = replace(decision, choices=tuple(width // parts for width in widths))
        decisions.append(decision)
    narrow = Supernet(
        replace(space, decisions=tuple(decisions)),
        replace(task, n_features=_widest(space) // parts),
    )
    _check_heads(space, parts)
    return narrow


def _check_heads(space: SearchSpace, parts: int) -> None:
    widths = [
        d for d in space.decisions if d.name.startswith("layer") and d.name.endswith(".width")
    ]
    heads = [d for d in space.decisions if d.name.endswith(".heads")]
    for width in (int(choice) for decision in widths for choice in decision.choices):
        for decision in heads:
            if many := [h for h in decision.choices if width // parts % int(h)]:
                raise SpaceError(
                    f"{decision.name}: one of {parts} parts of {width} channels cannot be divided "
                    f"among {many[0]} heads; change width or heads, or the parts"
                )


def _widest(space: SearchSpace) -> int:
    return max(int(choice) for choice in space.by_name["layer0.width"].choices)


def _of_layer(name: str) -> bool:
    """Whether a tensor is of what is mixed within a layer."""
    return name.startswith("layer") and ".joins." not in name
