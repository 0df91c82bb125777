"""How a network is read: traced by torch.fx, and every call of it recognized.

A network whose code is not ours is read with more care: what it does may depend on the mode, on
random numbers or on what it remembers, none of which a trace shows. Where it does, it is not read.
"""

import copy
import operator
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch_geometric.nn import MessagePassing

from evaluators._faults import CandidateError
from evaluators.engine.kernels._base import kernel_of, kernels
from evaluators.engine.kernels.activation import FUNCTIONS
from evaluators.engine.kernels.stock import Stock
from evaluators.engine.program import Program, Step, sizes
from evaluators.engine.stack import Columns, exact

# Networks of these modules do the same each time.
_KNOWN = ("search_spaces.", "torch.nn.", "torch_geometric.nn.")


class UnreadableError(Exception):
    """A network that does something else than modules one after the other, sums and maxima."""


def read(network: nn.Module, n_features: int) -> Program:
    """The program of a network that maps x [N, F] and edge_index [2, E] to [N, C].

    Raises:
        UnreadableError: it cannot be read as one.
    """
    kernels()  # a fault of theirs is none of the network's
    names = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    if len(names) != len(list(network.parameters())):
        raise UnreadableError("it has one parameter in two places")
    return _Reader(network, n_features).program()


def traced(network: nn.Module) -> fx.Graph:
    """The calls of a network's forward pass.

    Raises:
        UnreadableError: it cannot be traced, or another pass might call something else.
    """
    if any(module._forward_hooks or module._forward_pre_hooks for module in network.modules()):
        raise UnreadableError("it has hooks")
    if all(type(module).__module__.startswith(_KNOWN) for module in network.modules()):
        return _trace(network)
    with _undone(network) as own:
        before = _remembered(own)
        graphs = [_trace(own.train(mode)) for mode in (False, True)]
        if _remembered(own) != before:
            raise UnreadableError("it draws random numbers or remembers something as it runs")
    evaluating, training = ([node.format_node() for node in graph.nodes] for graph in graphs)
    if evaluating != training:
        raise UnreadableError("it computes something else in training")
    return graphs[-1]


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
        known = kernel_of(module) is not None or isinstance(module, MessagePassing)
        return known or super().is_leaf_module(module, name)


class _Reader:
    """Reads one network, node by node of its traced graph."""

    def __init__(self, network: nn.Module, n_features: int) -> None:
        self.network = network
        self.steps: list[Step] = []
        self.columns: list[Columns] = [exact(n_features)]
        self.stock: list[tuple[str, str]] = []
        self.mixes_rows, self.is_local = False, True
        self.numbers: dict[fx.Node, int] = {}
        # torch.stack(values), until it is known what is done with it.
        self.stacked: dict[fx.Node, tuple[int, ...]] = {}

    def program(self) -> Program:
        graph = traced(self.network)
        inputs = [node for node in graph.nodes if node.op == "placeholder"]
        if len(inputs) != 2:
            raise UnreadableError("it takes something else than x and edge_index")
        self.numbers[inputs[0]], self.edges = 0, inputs[1]
        for node in graph.nodes:
            if node.op == "call_module":
                self._module(node)
            elif node.op in ("call_function", "call_method"):
                self._function(node)
            elif node.op == "output":
                return self._finish(node)
            elif node.op != "placeholder":
                raise UnreadableError(f"it reads {node.target} outside of a module")
        raise UnreadableError("it has no output")

    def _module(self, node: fx.Node) -> None:
        path = str(node.target)
        module = self.network.get_submodule(path)
        arguments = list(node.args)
        kernel = kernel_of(module)
        propagates = isinstance(module, MessagePassing)
        if propagates and (len(arguments) != 2 or arguments.pop() is not self.edges):
            raise UnreadableError(f"{path} is called with something else than x and edge_index")
        if len(arguments) != 1 or node.kwargs or self._number(arguments[0]) is None:
            raise UnreadableError(f"{path} is called with something else than a value")
        if kernel is None:
            kernel = Stock
            self.stock.append((path, type(module).__name__))
            # What nobody has looked at may depend on anything.
            self.is_local = False
        self.mixes_rows |= kernel.mixes_rows
        number = self._known(arguments[0])
        reads = self.columns[number]
        try:
            columns = kernel.columns(module, reads)
        except CandidateError as error:
            raise UnreadableError(f"{path} cannot be tried alone: {error}") from error
        if any(step.path == path and step.reads != reads for step in self.steps):
            raise UnreadableError(f"{path} reads values whose columns are not the same")
        kind = type(module).__name__
        signature = f"{kind} {sizes(reads)} {kernel.signature(module)}"
        if kernel.minds_padding:
            signature += f" padded={any(own != size for own, size in reads)}"
        self._add(node, Step((number,), kernel, path, columns, reads, signature))

    def _function(self, node: fx.Node) -> None:
        name = node.target if isinstance(node.target, str) else node.target.__name__
        if name == "stack":
            values, dimension = _arguments(node, "tensors", "dim", 0)
            if dimension == 0:
                self.stacked[node] = self._several(values)
                return None
        elif name == "amax":
            stacked, dimension = _arguments(node, "input", "dim", None)
            if isinstance(stacked, fx.Node) and stacked in self.stacked and dimension == 0:
                return self._join(node, "maximum", self.stacked[stacked])
        elif name == "cat":
            values, dimension = _arguments(node, "tensors", "dim", 0)
            if dimension in (1, -1):
                inputs = self._several(values)
                columns = tuple(piece for i in inputs for piece in self.columns[i])
                return self._add(node, Step(inputs, None, "cat", columns, columns, ""))
        elif node.target in (operator.add, torch.add, "add") and len(node.args) == 2:
            return self._join(node, "add", self._several(node.args))
        elif name in FUNCTIONS and len(node.args) == 1 and _are_defaults(node.kwargs):
            return self._join(node, name, self._several(node.args))
        raise UnreadableError(f"it calls {name}, which is not recognized")

    def _join(self, node: fx.Node, name: str, inputs: tuple[int, ...]) -> None:
        """Element by element, of values with the same columns."""
        columns = self.columns[inputs[0]]
        if any(self.columns[i] != columns for i in inputs):
            raise UnreadableError(f"{name} of values whose columns are not the same")
        self._add(node, Step(inputs, None, name, columns, columns, ""))

    def _add(self, node: fx.Node, step: Step) -> None:
        self.steps.append(step)
        self.columns.append(step.columns)
        self.numbers[node] = len(self.steps)

    def _number(self, argument: Any) -> int | None:
        return self.numbers.get(argument) if isinstance(argument, fx.Node) else None

    def _known(self, argument: Any) -> int:
        number = self._number(argument)
        if number is None:
            raise UnreadableError(f"{argument} is not a value that a module computed")
        return number

    def _several(self, arguments: Any) -> tuple[int, ...]:
        if not isinstance(arguments, (list, tuple)):
            raise UnreadableError(f"{arguments} is not a list of values")
        return tuple(self._known(argument) for argument in arguments)

    def _finish(self, node: fx.Node) -> Program:
        if self._number(node.args[0]) != len(self.steps) or not self.steps:
            raise UnreadableError("its output is not what it computed last")
        if len(self.columns[-1]) != 1:
            raise UnreadableError("its output is made of several pieces")
        needs = [0] * (len(self.steps) + 1)
        for i, step in reversed(list(enumerate(self.steps))):
            hops = 0
            if step.kernel is not None:
                hops = step.kernel.hops(self.network.get_submodule(step.path))
            for number in step.inputs:
                needs[number] = max(needs[number], needs[i + 1] + hops)
        return Program(
            tuple(self.steps), tuple(needs), tuple(self.stock), self.mixes_rows, self.is_local
        )


def _are_defaults(options: Mapping[str, Any]) -> bool:
    """Whether an activation is called as its module is built."""
    defaults = {"inplace": False, "alpha": 1.0, "negative_slope": 0.01, "approximate": "none"}
    return all(defaults.get(name) == value for name, value in options.items())


def _arguments(node: fx.Node, first: str, second: str, default: Any) -> tuple[Any, Any]:
    """Two arguments of a call, given by place or by name."""
    given = dict(zip((first, second), node.args, strict=False)) | dict(node.kwargs)
    return given.get(first), given.get(second, default)
