"""How a module's tensors are copied when it grows, so that it computes the same: found by trying.

A small module is built in float64, on a small random graph, and a wider one from copies of its
channels. The first rule by which both compute the same within 1e-9 is taken, so no operator says
anything of it, and one from outside is treated as it deserves.

Limits: what holds on one random graph in evaluation mode is taken to hold on every one.
"""

import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from search_spaces import axes
from search_spaces.copying import Rule, beside, copies, grown, same, unread
from search_spaces.elastic import Place
from search_spaces.errors import SpaceError

_NEAR = 1e-9
# Channels within a group, and so many when it is wider; nodes and edges of the graph.
FEW, _MORE, NODES = 3, 5, 9
_EDGES = torch.randint(NODES, (2, 24), generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True)
class Kind:
    """A kind of module, apart from how wide it is.

    Attributes:
        build, arguments: as of a `Place`.
        groups: that divide its output.
        what: for messages.
        on_graph: whether it is called with edges.
        reads: whether it has an input of another width than its output.
    """

    build: Callable[..., nn.Module]
    arguments: tuple[Hashable, ...]
    groups: int
    what: str
    on_graph: bool
    reads: bool

    def module(self, inputs: int, outputs: int) -> nn.Module:
        return self.build(inputs, outputs, *self.arguments).eval()


def kind(place: Place) -> Kind:
    """The kind of the module at a place."""
    _, _, last = place.path.rpartition(".")
    named = last in ("operator", "normalization")
    what = f'{last} "{place.arguments[0]}"' if named else f"the map {place.path}"
    on_graph, reads = last == "operator", bool(place.reads)
    return Kind(place.build, place.arguments, place.writes.groups, what, on_graph, reads)


@cache
def state_axes(of: Kind) -> Mapping[str, axes.Tensor]:
    """Of each tensor of its state. Raises: SpaceError: one with a dimension of another kind."""
    return axes.axes(of.module, of.groups, of.what, buffers=True)


@cache
def parameters(of: Kind) -> frozenset[str]:
    """The names of what is trained of its state."""
    return frozenset(axes.axes(of.module, of.groups, of.what))


def widening(of: Kind, *, reads: bool, writes: bool) -> Rule:
    """By what rule its tensors are copied when its input, its output or both are wider.

    Raises:
        SpaceError: by none.
    """
    rule = _widening(of, reads, writes)
    if isinstance(rule, str):
        raise SpaceError(rule)
    return rule


@cache
def _widening(of: Kind, reads: bool, writes: bool) -> Rule | str:
    """The message, where there is none: what raises is not kept."""
    try:
        shapes = state_axes(of)
    except SpaceError as error:
        return str(error)
    generator, width = torch.Generator().manual_seed(0), of.groups * FEW
    written = copies(width, of.groups * (_MORE if writes else FEW), of.groups, generator)
    read = same(FEW) if of.reads else written
    if reads:
        read = beside([(0, copies(FEW, _MORE, 1, generator)), (0, unread(2))])
    inputs, outputs = read.index.numel(), written.index.numel()
    with aside():
        before = built(of, read.before, width)
        randomize(before)
        x = random_input(read.before)
        expected = run(of, before, x)[:, written.index]
        # What is not to be read has other values than what its columns were copied from.
        wide = torch.where(read.share == 0, random_input(inputs), x[:, read.index])
        for rule in _rules(shapes) if writes else (Rule(),):
            after = built(of, inputs, outputs)
            after.load_state_dict(grown(before.state_dict(), shapes, read, written, rule))
            if near(run(of, after, wide), expected):
                return rule
    return f"{of.what}: with copies of channels it computes something else"


def _rules(shapes: Mapping[str, axes.Tensor]) -> Iterator[Rule]:
    """From nothing divided to two axes."""
    writing = [
        (name, dim)
        for name, tensor in shapes.items()
        for dim, axis in enumerate(tensor.axes)
        if axis.kind == "writes"
    ]
    for count in range(3):
        for divided in itertools.combinations(writing, count):
            yield Rule(frozenset(divided))
            if count:
                yield Rule(frozenset(divided), scaled=True)


def built(of: Kind, inputs: int, outputs: int) -> nn.Module:
    return of.module(inputs, outputs).double()


@torch.no_grad()
def run(of: Kind, module: nn.Module, x: Tensor) -> Tensor:
    result: Tensor = module(x, _EDGES) if of.on_graph else module(x)
    return result


def random_input(width: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(NODES, width, generator=generator, dtype=torch.float64)


def randomize(module: nn.Module) -> None:
    """No tensor as it begins: a bias of 0 would hide what becomes of it."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    for buffer in module.buffers():
        if buffer.is_floating_point():
            nn.init.uniform_(buffer, 0.5, 1.5)  # variances are among them


@contextmanager
def aside() -> Iterator[None]:
    """The random numbers and the device of whoever called us stay as they are."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(0)
        yield


def near(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=_NEAR, atol=_NEAR)
