"""Relaxed networks: all networks of a space as one, in which decisions are weights.

Hanxiao Liu, Karen Simonyan, Yiming Yang: DARTS: Differentiable Architecture Search (2019). Wherever
networks of a space differ, the relaxed one computes what every choice would give, and adds it up by
how much each choice counts. Decisions are independent of each other in it: one that is asked only
where another is answered in some way counts by as much as that answer does.

The laws: with all weight on the choices of one architecture it computes what that architecture's
network computes with the same weights; and the output is differentiable in how much choices count.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import torch
from torch import Tensor

from search_spaces.architecture import Architecture
from search_spaces.covering import check_extensions
from search_spaces.decision import Decision
from search_spaces.errors import SpaceError
from search_spaces.slices import Weights
from search_spaces.task import Task

if TYPE_CHECKING:
    from torch import nn

    from search_spaces.space import SearchSpace

# {decision: {index of a choice: how much it counts []}}; the numbers of a decision add up to 1.
# What is not there counts nothing, and is not computed.
Mixture: TypeAlias = Mapping[str, Mapping[int, Tensor]]
# What becomes of the input of a map in training: mostly that some of it is dropped.
Drop: TypeAlias = Callable[[Tensor], Tensor]
# How outputs of several widths are added: the narrower ones filled with zeros, or interpolated.
Align: TypeAlias = Literal["pad", "interpolate"]


def kept(x: Tensor) -> Tensor:
    """Nothing is dropped."""
    return x


class Relaxed(Protocol):
    """The networks of a space as one.

    Attributes:
        space: of the architectures.
        edges: the decisions that say which outputs are read, and not how one is computed.
    """

    space: "SearchSpace"
    edges: frozenset[str]

    def initial(self) -> dict[str, Tensor]:
        """Untrained weights, by torch's random numbers."""
        ...

    def logits(
        self,
        weights: Weights,
        mixture: Mixture,
        inputs: tuple[Tensor, ...],
        drop: Drop = kept,
        align: Align = "pad",
    ) -> Tensor:
        """The outputs [N or B, C] in training: batch normalization is by the batch.

        Of `gnn`, features may be a sparse matrix (CSR), which `drop` is given so, too.
        """
        ...

    def network(self, weights: Weights, architecture: Architecture) -> "nn.Module":
        """The network of an architecture, with a copy of the weights that it has here."""
        ...


def relax(space: "SearchSpace", task: Task, parts: int = 1) -> Relaxed:
    """The relaxed network of a space.

    Args:
        parts: one of so many parts of the channels goes through what is mixed; 1 for all.

    Raises:
        SpaceError: the space cannot be relaxed; the message names the decision.
    """
    check_extensions(space)
    if space.relax is None:
        raise SpaceError(
            f'{space.decisions[0].name}: the space "{space.name}" cannot be relaxed; use '
            f'name = "gnn"{"" if space.extensions else " or nas_bench_graph"}'
        )
    for decision in space.decisions:
        if decision.role == "recipe":
            raise SpaceError(
                f"{decision.name}: a relaxed network is trained by one recipe; leave "
                f"{decision.name.removeprefix('train.')} out of [space]"
            )
    return space.relax(space, task, parts)


def most_parts(space: "SearchSpace", wanted: tuple[int, ...] = (4, 2)) -> int:
    """The first number of parts that all widths, and widths a head, can be divided into; or 1."""
    widths = [d for d in space.decisions if d.name.rpartition(".")[2] == "width"]
    heads = [d for d in space.decisions if d.name.endswith(".heads")]
    divisors = [int(choice) for d in heads for choice in d.choices] or [1]
    sizes = [int(choice) for d in widths for choice in d.choices]
    for parts in wanted:
        if all(size % (parts * heads_) == 0 for size in sizes for heads_ in divisors):
            return parts
    return 1


def learned(space: "SearchSpace") -> tuple[Decision, ...]:
    """The decisions that there is something to learn of."""
    return tuple(d for d in space.decisions if len(d.choices) > 1)


def one_hot(space: "SearchSpace", architecture: Architecture) -> Mixture:
    """One architecture alone."""
    return {
        name: {space.by_name[name].choices.index(choice): torch.ones(())}
        for name, choice in architecture.structure.items()
    }


def full(probabilities: Mapping[str, Tensor]) -> Mixture:
    """Every choice, by probabilities [choices]."""
    return {name: dict(enumerate(row.unbind())) for name, row in probabilities.items()}


def align(outputs: list[tuple[Tensor, Tensor]], groups: int = 1, how: Align = "pad") -> Tensor:
    """The sum of outputs [N, width] by weights [], as wide as the widest.

    Channels are in so many groups, each of which is widened alone. They are interpolated by
    adaptive average pooling along the channels (Xuanyi Dong, Yi Yang: Network Pruning via
    Transformable Architecture Search, 2019).
    """
    widest = max(output.shape[1] for _, output in outputs)
    return sum_of([(weight, fit(output, widest, groups, how)) for weight, output in outputs])


def fit(x: Tensor, width: int, groups: int = 1, how: Align = "pad") -> Tensor:
    """Channels [N, C] as so many, group by group: widened, or the leading ones."""
    if x.shape[1] == width:
        return x
    divided, each = x.view(x.shape[0], groups, -1), width // groups
    if each < divided.shape[2]:
        return divided[:, :, :each].reshape(-1, width)
    if how == "interpolate":
        pooled: Tensor = torch.nn.functional.adaptive_avg_pool1d(divided, each)
        return pooled.reshape(-1, width)
    padded: Tensor = torch.nn.functional.pad(divided, (0, each - divided.shape[2]))
    return padded.reshape(-1, width)


def dense(x: Tensor) -> Tensor:
    """A tensor, or a sparse matrix (CSR), with its zeros."""
    return x.to_dense() if x.layout == torch.sparse_csr else x


def sum_of(weighed: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Tensors of one shape, added up by weights []; one alone of weight 1 is itself."""
    if len(weighed) == 1 and not weighed[0][0].requires_grad and weighed[0][0].item() == 1:
        return weighed[0][1]
    total = weighed[0][0] * weighed[0][1]
    for weight, tensor in weighed[1:]:
        total = total + weight * tensor
    return total
