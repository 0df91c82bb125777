"""What a new layer must be for the network to compute what it did: the identity, or silent.

Found by trying, as copies of channels are (`search_spaces.preserving`): which of an operator's
matrices are to be identity matrices, which of its tensors zeros, and which may be as they begin.
"""

import itertools
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from search_spaces import axes
from search_spaces.errors import SpaceError
from search_spaces.message_passing import ACTIVATIONS
from search_spaces.preserving import (
    FEW,
    NODES,
    Kind,
    aside,
    built,
    near,
    random_input,
    randomize,
    run,
    state_axes,
)

# What a new layer's operator is to be: x -> x, or x -> 0 where a shortcut is added.
Goal: TypeAlias = Literal["identity", "silence"]
# What becomes of a tensor of it: the identity matrix, zeros, or what it began with.
Filling: TypeAlias = Literal["eye", "zeros", "kept"]
# Numbers that an activation is tried on: between and beyond all its kinks.
_GRID = torch.linspace(-20, 20, 4001, dtype=torch.float64)


def neutralized(of: Kind, goal: Goal) -> Mapping[str, Filling]:
    """With what its tensors are filled, so that it is the identity or gives zeros.

    Raises:
        SpaceError: it can be neither.
    """
    found = _neutralized(of, goal)
    if isinstance(found, str):
        raise SpaceError(found)
    return found


@cache
def _neutralized(of: Kind, goal: Goal) -> Mapping[str, Filling] | str:
    try:
        shapes = state_axes(of)
    except SpaceError as error:
        return str(error)
    width = of.groups * FEW
    with aside():
        before, x = built(of, width, width), random_input(width)
        randomize(before)
        state = before.state_dict()
        wanted = x if goal == "identity" else torch.zeros_like(x)

        def does(fillings: Mapping[str, Filling]) -> bool:
            after = built(of, width, width)
            after.load_state_dict(filled(state, shapes, fillings))
            return near(run(of, after, x), wanted)

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
    fillings = neutralized(of, goal)
    with aside():
        torch.manual_seed(seed)
        state = built(of, width, width).state_dict()
        made = filled(state, state_axes(of), fillings)
        for name in (name for name, filling in fillings.items() if filling != "kept"):
            spread = state[name].std(unbiased=False)
            made[name] = made[name] + noise * spread * torch.randn_like(made[name])
    return made


def check_normalized(of: Kind, goal: Goal) -> None:
    """Raises: SpaceError: a normalization that no state makes keep what it is given, or zeros."""
    if not _keeps(of, goal):
        raise SpaceError(f"{of.what}: with no weights does it keep all, as a new layer has to")


@cache
def _keeps(of: Kind, goal: Goal) -> bool:
    width = of.groups * FEW
    with aside():
        module = built(of, width, width)
        module.load_state_dict(normalized(of, goal, width))
        x = random_input(width) if goal == "identity" else torch.zeros(NODES, width).double()
        return near(run(of, module, x), x)


def normalized(of: Kind, goal: Goal, width: int) -> dict[str, Tensor]:
    """The state of a normalization in a new layer.

    Batch normalization with the mean 0 and the variance 1 is the identity with the weight
    sqrt(1 + eps); in training it divides by the deviation of its batch all the same.
    """
    with aside():
        module = built(of, width, width)
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    if goal == "identity" and {"running_var", "weight"} <= state.keys():
        state["weight"] = (state["running_var"] + float(getattr(module, "eps", 0.0))).sqrt()
    return state


@cache
def unchanged_by(activation: str, values_of: str) -> bool:
    """Whether an activation gives back all values that another one has."""
    values = ACTIVATIONS[values_of]()(_GRID)
    return near(ACTIVATIONS[activation]()(values), values)


@cache
def keeps_zero(activation: str) -> bool:
    zero = torch.zeros(1, dtype=torch.float64)
    return near(ACTIVATIONS[activation]()(zero), zero)
