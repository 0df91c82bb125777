"""The calls of a network's forward pass, by torch.fx.

A network whose code is not ours is traced with more care: what it does may depend on the mode, on
random numbers or on what it remembers, none of which a trace shows. Where it does, it is not read.
"""

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import isfunction

import numpy as np
import torch
from torch import fx, nn
from torch_geometric.nn import MessagePassing

from evaluators.engine.kernels._base import kernel_of
from search_spaces import ChangesInTraining
from search_spaces.quantization.mixins import Quantized

# Networks of these modules do the same each time.
_KNOWN = ("search_spaces.", "torch.nn.", "torch_geometric.nn.")


class UnreadableError(Exception):
    """A network that does something else than modules one after the other, sums and maxima."""


def traced(network: nn.Module) -> fx.Graph:
    """The calls of a network's forward pass.

    Raises:
        UnreadableError: it cannot be traced, or another pass might call something else.
    """
    parts: list[nn.Module | nn.Parameter] = [*network.modules(), *network.parameters()]
    if any(map(_has_hooks, parts)):
        raise UnreadableError("it has hooks")
    if any(isinstance(module, ChangesInTraining) for module in network.modules()):
        raise UnreadableError("it changes from epoch to epoch")
    if any(_is_overridden(module) for module in network.modules()):
        raise UnreadableError("a method of one of its modules was replaced")
    if any(type(module).train is not nn.Module.train for module in network.modules()):
        raise UnreadableError("one of its modules decides itself when it is in training")
    if all(type(module).__module__.startswith(_KNOWN) for module in network.modules()):
        return _trace(network)
    with _undone(network) as own:
        before = _remembered(own)
        graphs = [_trace(own.train(mode)) for mode in (False, True)]
        if _remembered(own) != before:
            raise UnreadableError("it draws random numbers or remembers something as it runs")
    evaluating, training = ([node.format_node() for node in graph.nodes] for graph in graphs)
    if evaluating != training:
        raise UnreadableError(
            "it computes something else in training (of dropout, nn.Dropout is read, F.dropout not)"
        )
    return graphs[-1]


def _has_hooks(part: nn.Module | nn.Parameter) -> bool:
    """Whether something is called besides a module's code, or changes a gradient."""
    if isinstance(part, nn.Parameter):
        return bool(part._backward_hooks or part._post_accumulate_grad_hooks)
    # PyTorch Geometric's layers have hooks of their own. Those of state dicts change no pass.
    names = [name for name in vars(part) if name.endswith("_hooks") and "state_dict" not in name]
    return any(getattr(part, name) for name in names)


def _is_overridden(module: nn.Module) -> bool:
    """Whether a method was replaced in the module itself, which its type does not show."""
    kind = type(module)
    return any(isfunction(getattr(kind, name, None)) for name in vars(module))


@contextmanager
def _undone(network: nn.Module) -> Iterator[nn.Module]:
    """A copy to try, and generators of random numbers that are put back afterwards."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield copy.deepcopy(network)
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def _trace(network: nn.Module) -> fx.Graph:
    try:
        return _Tracer().trace(network)
    except Exception as error:  # whatever a network's own code raises on symbols
        raise UnreadableError(f"torch.fx cannot trace it: {error}") from error


def _remembered(network: nn.Module) -> tuple[object, ...]:
    """What of a network and of the generators of random numbers a pass might change."""
    state = torch.get_rng_state().numpy().tobytes()
    numpy = str(np.random.get_state(legacy=False))
    # By what prints: tensors and modules, which are compared by identity, print their address or
    # nothing that a pass may not change.
    attributes = [
        {name: repr(value) for name, value in vars(module).items() if _is_plain(name, value)}
        for module in network.modules()
    ]
    return state, numpy, random.getstate(), str(attributes)


def _is_plain(name: str, value: object) -> bool:
    if name in ("_parameters", "_buffers", "_modules"):
        return False
    return isinstance(value, (bool, int, float, str, list, dict, tuple, type(None)))


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        if isinstance(module, (nn.Sequential, nn.ModuleList)):
            return False
        known = kernel_of(module) is not None or isinstance(module, MessagePassing | Quantized)
        return known or super().is_leaf_module(module, name) or _is_closed(module)


def _is_closed(module: nn.Module) -> bool:
    """Whether a module does more than call others: it is then run as it is, on one value."""
    if type(module).__module__.startswith(_KNOWN):
        return False
    try:
        nodes = _Tracer().trace(module).nodes
    except Exception:  # as in `_trace`
        return True
    return any(node.op == "get_attr" for node in nodes)
