"""What a module must be for the network to compute what it did: found by trying it.

A small module is built, on a small random graph, in float64: with copies of channels, or with
weights that are to make it the identity or silent. What computes the same within 1e-9 is taken, so
no operator says anything of it, and one from outside is treated as it deserves.

Limits: what holds on one random graph in evaluation mode is taken to hold on every one.
"""

import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from search_spaces import axes
from search_spaces.copying import Rule, beside, copies, grown, same, unread
from search_spaces.elastic import Place
from search_spaces.errors import SpaceError
from search_spaces.message_passing import ACTIVATIONS

# What a new layer's operator is to be: x -> x, or x -> 0 where a shortcut is added.
Goal: TypeAlias = Literal["identity", "silence"]
# What becomes of a tensor of it: the identity matrix, zeros, or what it began with.
Filling: TypeAlias = Literal["eye", "zeros", "kept"]
_NEAR = 1e-9
# Channels within a group, and so many when it is wider; nodes and edges of the graph.
_FEW, _MORE, _NODES = 3, 5, 9
_EDGES = torch.randint(_NODES, (2, 24), generator=torch.Generator().manual_seed(0))
# Numbers that an activation is tried on: between and beyond all its kinks.
_GRID = torch.linspace(-20, 20, 4001, dtype=torch.float64)


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
    generator, width = torch.Generator().manual_seed(0), of.groups * _FEW
    written = copies(width, of.groups * (_MORE if writes else _FEW), of.groups, generator)
    read = same(_FEW) if of.reads else written
    if reads:
        read = beside([(0, copies(_FEW, _MORE, 1, generator)), (0, unread(2))])
    inputs, outputs = read.index.numel(), written.index.numel()
    with _aside():
        before = _built(of, read.before, width)
        _randomize(before)
        x = _x(read.before)
        expected = _run(of, before, x)[:, written.index]
        # What is not to be read has other values than what its columns were copied from.
        wide = torch.where(read.share == 0, _x(inputs), x[:, read.index])
        for rule in _rules(shapes) if writes else (Rule(),):
            after = _built(of, inputs, outputs)
            after.load_state_dict(grown(before.state_dict(), shapes, read, written, rule))
            if _near(_run(of, after, wide), expected):
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


def neutral(of: Kind, goal: Goal) -> Mapping[str, Filling]:
    """With what its tensors are filled, so that it is the identity or gives zeros.

    Raises:
        SpaceError: it can be neither.
    """
    found = _neutral(of, goal)
    if isinstance(found, str):
        raise SpaceError(found)
    return found


@cache
def _neutral(of: Kind, goal: Goal) -> Mapping[str, Filling] | str:
    try:
        shapes = state_axes(of)
    except SpaceError as error:
        return str(error)
    width = of.groups * _FEW
    with _aside():
        before, x = _built(of, width, width), _x(width)
        _randomize(before)
        state = before.state_dict()
        wanted = x if goal == "identity" else torch.zeros_like(x)

        def does(fillings: Mapping[str, Filling]) -> bool:
            after = _built(of, width, width)
            after.load_state_dict(filled(state, shapes, fillings))
            return _near(_run(of, after, x), wanted)

        parameters = [name for name, _ in before.named_parameters()]
        for eyes in _eyes(shapes, parameters) if goal == "identity" else ((),):
            fillings: dict[str, Filling] = {n: "eye" if n in eyes else "zeros" for n in parameters}
            if does(fillings):
                # As few zeros as need be: what they are multiplied with has no gradient.
                for name in (n for n in parameters if n not in eyes):
                    if does({**fillings, name: "kept"}):
                        fillings[name] = "kept"
                return fillings
    kept = "a node's own input" if goal == "identity" else "zeros"
    return f"{of.what}: with no weights does it give {kept}, as a new layer has to"


def _eyes(shapes: Mapping[str, axes.Tensor], parameters: list[str]) -> Iterator[tuple[str, ...]]:
    """Which tensors may be identity matrices: one, or two after each other."""
    square = [name for name in parameters if _square(shapes[name])]
    for count in (0, 1, 2):
        yield from itertools.combinations(square, count)


def _square(tensor: axes.Tensor) -> bool:
    fixed = [axis.sizes for axis in tensor.axes if axis.kind == "fixed"]
    return len(tensor.axes) - len(fixed) == 2 and all(sizes == (1,) for sizes in fixed)


def filled(
    state: Mapping[str, Tensor],
    shapes: Mapping[str, axes.Tensor],
    fillings: Mapping[str, Filling],
) -> dict[str, Tensor]:
    """The state of a module as wide as its input; what is not filled stays as it is."""
    made = {}
    for name, tensor in state.items():
        filling = fillings.get(name, "kept")
        made[name] = tensor.detach().clone() if filling == "kept" else torch.zeros_like(tensor)
        if filling == "eye":
            width = max(axes.flat(tensor.shape, shapes[name]))
            eye = torch.eye(width, dtype=tensor.dtype)
            made[name] = eye.reshape(tensor.shape)
    return made


def begun(of: Kind, width: int, seed: int, goal: Goal, noise: float) -> dict[str, Tensor]:
    """The state of a new operator, as wide as its input, that is the identity or silent.

    Args:
        noise: added to what had to be filled, in standard deviations of how it would have begun.

    Raises:
        SpaceError: it can be neither.
    """
    fillings = neutral(of, goal)
    with _aside():
        torch.manual_seed(seed)
        state = _built(of, width, width).state_dict()
        made = filled(state, state_axes(of), fillings)
        for name in (name for name, filling in fillings.items() if filling != "kept"):
            spread = state[name].std(unbiased=False)
            made[name] = made[name] + noise * spread * torch.randn_like(made[name])
    return made


@cache
def parameters(of: Kind) -> frozenset[str]:
    """The names of what is trained of its state."""
    return frozenset(axes.axes(of.module, of.groups, of.what))


def check_normalized(of: Kind, goal: Goal) -> None:
    """Raises: SpaceError: a normalization that no state makes keep what it is given, or zeros."""
    if not _keeps(of, goal):
        raise SpaceError(f"{of.what}: with no weights does it keep all, as a new layer has to")


@cache
def _keeps(of: Kind, goal: Goal) -> bool:
    width = of.groups * _FEW
    with _aside():
        module = _built(of, width, width)
        module.load_state_dict(normalized(of, goal, width))
        x = _x(width) if goal == "identity" else torch.zeros(_NODES, width).double()
        return _near(_run(of, module, x), x)


def normalized(of: Kind, goal: Goal, width: int) -> dict[str, Tensor]:
    """The state of a normalization in a new layer.

    Batch normalization with the mean 0 and the variance 1 is the identity with the weight
    sqrt(1 + eps); in training it divides by the deviation of its batch all the same.
    """
    with _aside():
        module = _built(of, width, width)
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    if goal == "identity" and {"running_var", "weight"} <= state.keys():
        state["weight"] = (state["running_var"] + float(getattr(module, "eps", 0.0))).sqrt()
    return state


@cache
def unchanged_by(activation: str, values_of: str) -> bool:
    """Whether an activation gives back all values that another one has."""
    values = ACTIVATIONS[values_of]()(_GRID)
    return _near(ACTIVATIONS[activation]()(values), values)


@cache
def keeps_zero(activation: str) -> bool:
    zero = torch.zeros(1, dtype=torch.float64)
    return _near(ACTIVATIONS[activation]()(zero), zero)


def _built(of: Kind, inputs: int, outputs: int) -> nn.Module:
    return of.module(inputs, outputs).double()


@torch.no_grad()
def _run(of: Kind, module: nn.Module, x: Tensor) -> Tensor:
    result: Tensor = module(x, _EDGES) if of.on_graph else module(x)
    return result


def _x(width: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(_NODES, width, generator=generator, dtype=torch.float64)


def _randomize(module: nn.Module) -> None:
    """No tensor as it begins: a bias of 0 would hide what becomes of it."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    for buffer in module.buffers():
        if buffer.is_floating_point():
            nn.init.uniform_(buffer, 0.5, 1.5)  # variances are among them


@contextmanager
def _aside() -> Iterator[None]:
    """The random numbers and the device of whoever called us stay as they are."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(0)
        yield


def _near(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=_NEAR, atol=_NEAR)
