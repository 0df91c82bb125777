"""One set of weights for all architectures of a space: the widest tensors, and slices of them.

Han Cai, Chuang Gan, Tianzhe Wang, Zhekai Zhang, Song Han: Once-for-All: Train One Network and
Specialize it for Efficient Deployment (2020), for graph networks. Elastic are

- depth: the first layers;
- width: the leading channels of every layer. Where layers divide their width among heads, the
  channels are so many groups as the most heads are, and each group has its leading ones: so every
  head narrows, for any number of heads, and channels are the same for operators without heads;
- the operator: each has weights of its own in each layer, but for what `share_transforms` shares;
- heads, hops, aggregation: of one operator's weights, where attention vectors are of one number of
  heads;
- connectivity, perceptrons, normalization: what a module reads is made of sources (the features,
  the perceptron, each layer), and it has a block of weights for each that it may read.

A network's tensor is one view of one tensor of the supernet, or, where it reads several sources
side by side, a view of each.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import cache

import torch
from torch import Tensor, nn

from search_spaces import axes, plugins
from search_spaces.architecture import Architecture
from search_spaces.covering import check_elastic, widest_architectures
from search_spaces.elastic import Channels, Place
from search_spaces.errors import SpaceError
from search_spaces.slices import Block, Cut, Slice, Weights
from search_spaces.space import SearchSpace
from search_spaces.task import Task


class Supernet:
    """The slices of a space's networks. It holds no weights: they are values, made by `initial`.

    Args:
        space: of the architectures.
        task: what they fit.
        share_transforms: whether the operators of a layer share the map of what neighbors send,
            where they name one (`TRANSFORM` in their modules).

    Raises:
        SpaceError: the space is not elastic; the message names the decision.
    """

    def __init__(self, space: SearchSpace, task: Task, *, share_transforms: bool = False) -> None:
        self.space, self.task, self.share_transforms = space, task, share_transforms
        check_elastic(space)

    def places(self, architecture: Architecture) -> tuple[Place, ...]:
        """Where its modules stand.

        Raises:
            SpaceError: it is none of the space's.
        """
        if self.space.elastic is None:
            raise SpaceError(f'the space "{self.space.name}" is not elastic')
        known = self.space.architecture(architecture.choices)
        return self.space.elastic(self.space, known, self.task)

    def slices(self, architecture: Architecture) -> dict[str, Slice]:
        """Of each parameter of the architecture's network, by its name there."""
        return {
            name: piece
            for place in self.places(architecture)
            if place.path
            for name, piece in self._slices(place)
        }

    def weights(
        self, weights: Weights, architecture: Architecture, *, without: str | None = None
    ) -> dict[str, Tensor]:
        """The parameters of its network, which gradients flow through.

        Args:
            without: how the names begin of those that are left out.
        """
        return {
            name: own.read(weights)
            for name, own in self.slices(architecture).items()
            if without is None or not name.startswith(without)
        }

    def parameters(self, weights: Weights, place: Place) -> dict[str, Tensor]:
        """Of one module, by their names within, which gradients flow through."""
        start = len(place.path) + 1
        return {name[start:]: own.read(weights) for name, own in self._slices(place)}

    def extract(self, weights: Weights, architecture: Architecture) -> nn.Module:
        """A network of its own with a copy of its slices, in evaluation mode.

        What batch normalization keeps is as new: recalibrate it (`evaluators.slicing`).
        """
        return self.network_of(self.weights(weights, architecture), architecture)

    def network_of(self, parameters: Weights, architecture: Architecture) -> nn.Module:
        """A network of its own with a copy of these parameters, by their names in it."""
        network = self.space.network(architecture, self.task)
        network.to(next(iter(parameters.values())).dtype)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.copy_(parameters[name])
        return network.eval()

    def initial(self) -> dict[str, Tensor]:
        """Untrained weights, by torch's random numbers: what the operators begin with at their
        widest.

        Raises:
            SpaceError: an operator's tensors have no slices; the message names the decision.
        """
        found: dict[str, Tensor] = {}
        for place in sorted(self.every_place(), key=repr):
            for read in place.reads or (None,):
                widest = place.module(read.widest if read else 0, place.writes.widest)
                for name, parameter in widest.named_parameters():
                    tensor = axes_of(place)[name]
                    full = self._name(place, name, tensor, read)
                    shape = tuple(axes.flat(parameter.shape, tensor))
                    if full not in found:
                        found[full] = parameter.detach().reshape(shape).clone()
                    elif found[full].shape != shape:
                        raise SpaceError(
                            f"{_decision(place)}: {name} is {list(found[full].shape)} long with "
                            f"some choices and {list(shape)} with others, so it has no slices; "
                            "leave it out"
                        )
        return found

    def every_place(self) -> tuple[Place, ...]:
        """All that any architecture has, once each, at its widest."""
        found: dict[tuple[object, ...], Place] = {}
        for architecture in widest_architectures(self.space):
            for place in self.places(architecture):
                key = (place.bank, place.arguments, tuple(read.source for read in place.reads))
                found.setdefault(key, place)
        return tuple(found.values())

    def blocks(self, place: Place) -> Iterator[tuple[str, list[tuple[Channels | None, bool]]]]:
        """Of each of its tensors here, the name, and of each dimension whose channels it has, and
        whether it reads them.
        """
        for name, tensor in axes_of(place).items():
            for read in place.reads or (None,):
                sides = [
                    (read, True) if axis.kind == "reads" else (place.writes, False)
                    for axis in tensor.axes
                ]
                kinds = [axis.kind for axis in tensor.axes]
                owned = [
                    (None, False) if k == "fixed" else s for k, s in zip(kinds, sides, strict=True)
                ]
                yield self._name(place, name, tensor, read), owned

    def _slices(self, place: Place) -> Iterator[tuple[str, Slice]]:
        for name, tensor in axes_of(place).items():
            reading = [i for i, axis in enumerate(tensor.axes) if axis.kind == "reads"]
            reads = place.reads if reading else (None,)
            blocks = tuple(self._block(place, name, tensor, read) for read in reads)
            before = tensor.axes[: reading[0]] if reading else ()
            dim = sum(len(axis.sizes) for axis in before)
            yield f"{place.path}.{name}", Slice(blocks, dim)

    def _block(self, place: Place, name: str, tensor: axes.Tensor, read: Channels | None) -> Block:
        shape, shape_read, cuts = list[int](), list[int](), list[Cut]()
        for dim, axis in enumerate(tensor.axes):
            channels = read if axis.kind == "reads" else place.writes
            if axis.kind == "fixed" or channels is None:
                shape += axis.sizes
                shape_read += axis.sizes
                continue
            shape.append(channels.widest)
            heads = axis.sizes[:-1]
            shape_read += [*heads, channels.width // math.prod(heads)]
            if channels.width != channels.widest:
                groups = channels.groups
                cuts.append(Cut(dim, groups, channels.width // groups, channels))
        full = self._name(place, name, tensor, read)
        return Block(full, tuple(shape), tuple(cuts), tuple(shape_read))

    def _name(self, place: Place, name: str, tensor: axes.Tensor, read: Channels | None) -> str:
        layer = place.bank.partition(".")[0]
        if self.share_transforms and name == _transform(place):
            bank, name = layer, "transform"
        else:
            bank = place.bank
        heads = f"/{tensor.heads}heads" if tensor.heads > 1 else ""
        has_input = any(axis.kind == "reads" for axis in tensor.axes)
        source = f"<{read.source}" if read is not None and has_input else ""
        return f"{bank}.{name}{heads}{source}"


def axes_of(place: Place) -> Mapping[str, axes.Tensor]:
    """Of each parameter of a module, by its name within."""
    return _known_axes(place.build, place.arguments, place.writes.groups, _decision(place))


@cache
def _known_axes(
    build: Callable[..., nn.Module], arguments: tuple[Hashable, ...], groups: int, what: str
) -> Mapping[str, axes.Tensor]:
    return axes.axes(lambda reads, writes: build(reads, writes, *arguments), groups, what)


def _decision(place: Place) -> str:
    """For messages: the decision that put a module in its place, and how it was answered."""
    if not place.path.endswith(".operator"):
        return place.bank
    return f'{place.bank.partition(".")[0]}.operator: "{place.arguments[0]}"'


def _transform(place: Place) -> str:
    """The parameter of an operator that maps what neighbors send, "" where it says none."""
    if not place.path.endswith(".operator"):
        return ""
    return str(getattr(plugins.load("operator", str(place.arguments[0])), "TRANSFORM", ""))
