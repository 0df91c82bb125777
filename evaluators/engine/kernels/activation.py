"""Activations, element by element; the runs of a cohort may have different ones."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from evaluators.engine.kernels._base import Kernel, Pass
from evaluators.engine.kernels._site import Site
from evaluators.engine.stack import Columns, Stack, places, wide
from evaluators.engine.values import Value, dense, head

# On a CPU, torch computes the last few elements of these by another formula than the others, so
# their last bit depends on where they stand: each run is computed on its own.
_BY_PLACE = (nn.ELU, nn.SiLU, nn.Sigmoid, nn.Softplus)
# They make something of the zeros beyond a network's own columns.
_NOT_AT_ZERO = (nn.Sigmoid, nn.Softplus)


# Functions of torch and of torch.nn.functional, called with nothing but a value.
FUNCTIONS: Mapping[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class Activation(Kernel):
    """f(x), for each run by its own module."""

    types = (*FUNCTIONS.values(), nn.Sigmoid, nn.Softplus)

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        # In place would change what other modules of a residual network still read.
        self._functions = [_out_of_place(module) for module in site.modules]
        alike = len({repr(module) for module in site.modules}) == 1
        self._together = alike and not isinstance(site.modules[0], _BY_PLACE)
        self._own: Tensor | None = None
        padded = any(own != size for pieces in site.columns for own, size in pieces)
        if padded and any(isinstance(module, _NOT_AT_ZERO) for module in site.modules):
            self._own = stack_of_ones(site.columns, site.stack)

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        x = dense(head(value, at.field.rows(need)))
        if self._together:
            activated = self._functions[0](x)
        else:
            x = x.expand(at.runs, -1, -1)
            activated = torch.stack([f(x[run]) for run, f in enumerate(self._functions)])
        return activated if self._own is None else activated * self._own


def _out_of_place(module: nn.Module) -> Callable[[Tensor], Tensor]:
    if getattr(module, "inplace", False):
        return lambda x: module(x.clone())
    return module


def stack_of_ones(columns: Sequence[Columns], stack: Stack) -> Tensor:
    """[K, 1, H]: 1 at the networks' own columns, 0 beyond."""
    ones = torch.zeros(len(columns), 1, wide(columns[0]), dtype=stack.dtype)
    for run, own in enumerate(columns):
        ones[run, 0, places(own)] = 1
    return ones.to(stack.device)


class Identity(Kernel):
    """x."""

    types = (nn.Identity,)

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        return head(value, at.field.rows(need))
