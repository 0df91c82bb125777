"""How a network is read: every call that it makes is recognized, or it is not read."""

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn
from torch_geometric.nn import MessagePassing

from evaluators._faults import CandidateError
from evaluators.engine.kernels._base import kernel_of, kernels
from evaluators.engine.kernels.activation import FUNCTIONS, Identity
from evaluators.engine.kernels.dropout import Dropout
from evaluators.engine.kernels.stock import Stock
from evaluators.engine.program import Compiled, Program, Step, sizes
from evaluators.engine.stack import Columns, Stack, exact, wide
from evaluators.engine.tracing import UnreadableError, traced

# In evaluation mode, or where nothing is dropped, they give the very tensor that they are given.
_PASSING_ON = (Identity, Dropout)


def read(network: nn.Module, n_features: int) -> Program:
    """The program of a network that maps x [N, F] and edge_index [2, E] to [N, C].

    Raises:
        UnreadableError: it cannot be read as one.
    """
    kernels()  # a fault of theirs is none of the network's
    for tensors in (network.named_parameters, network.named_buffers):
        if len(list(tensors(remove_duplicate=False))) != len(list(tensors())):
            raise UnreadableError("it has one parameter or buffer in two places")
    program = _Reader(network, n_features).program(traced(network))
    try:
        Compiled([program], Stack([network], _dtype(network), torch.device("cpu")))
    except (RuntimeError, KeyError) as error:  # the usual loop says what is wrong with the network
        raise UnreadableError(f"its modules do not fit together: {error}") from error
    return program


def read_calls(network: nn.Module, n_features: int, graph: fx.Graph) -> Program:
    """The program of a network whose calls are known, by its modules' types and options alone.

    The modules may be on torch's meta device; nothing is tried.

    Raises:
        UnreadableError: as `read`.
    """
    return _Reader(network, n_features).program(graph)


def _dtype(network: nn.Module) -> torch.dtype:
    first = next(network.parameters(), None)
    return torch.get_default_dtype() if first is None else first.dtype


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

    def program(self, graph: fx.Graph) -> Program:
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
        trained = [parameter.requires_grad for parameter in module.parameters()]
        # Kernels keep several parameters in one tensor.
        if kernel is None or (any(trained) and not all(trained)):
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
        if not all(trained):
            signature += f" trained={trained}"
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
        elif node.target in (operator.add, torch.add, "add"):
            if len(node.args) == 2 and not node.kwargs:
                return self._join(node, "add", self._several(node.args))
        elif name in FUNCTIONS and len(node.args) == 1 and _are_defaults(node.kwargs):
            return self._join(node, name, self._several(node.args))
        raise UnreadableError(f"it calls {name}, which is not recognized")

    def _join(self, node: fx.Node, name: str, inputs: tuple[int, ...]) -> None:
        """Element by element, of values with the same columns; the widest say how wide it is."""
        several = [self.columns[i] for i in inputs]
        columns = max(several, key=wide)
        # The features are not padded; what has as many columns of its own may be.
        if any(c != columns and not _is_padded(c, columns) for c in several):
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

    def _is_in_place(self, step: Step) -> bool:
        called = None if step.kernel is None else self.network.get_submodule(step.path)
        return bool(getattr(called, "inplace", False))

    def _check_in_place(self, step: Step) -> None:
        """Refuse a module that changes, in its place, a value that others read."""
        at, is_kept = step, self._is_in_place(step)
        while is_kept:
            (read,) = at.inputs
            readers = sum(other.inputs.count(read) for other in self.steps)
            if readers > 1 or (read == 0 and step.kernel is Stock):
                raise UnreadableError(f"{step.path} changes in place what others read")
            if read == 0:
                return
            at = self.steps[read - 1]
            is_kept = at.kernel in _PASSING_ON or self._is_in_place(at)

    def _finish(self, node: fx.Node) -> Program:
        if self._number(node.args[0]) != len(self.steps) or not self.steps:
            raise UnreadableError("its output is not what it computed last")
        if len(self.columns[-1]) != 1:
            raise UnreadableError("its output is made of several pieces")
        for step in self.steps:
            self._check_in_place(step)
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


def _is_padded(columns: Columns, wider: Columns) -> bool:
    """Whether they are the same but for how far one piece is padded."""
    return len(columns) == len(wider) == 1 and columns[0][0] == wider[0][0]


def _are_defaults(options: Mapping[str, Any]) -> bool:
    """Whether an activation is called as its module is built."""
    defaults = {"inplace": False, "alpha": 1.0, "negative_slope": 0.01, "approximate": "none"}
    return all(defaults.get(name) == value for name, value in options.items())


def _arguments(node: fx.Node, first: str, second: str, default: Any) -> tuple[Any, Any]:
    """Two arguments of a call, given by place or by name."""
    given = dict(zip((first, second), node.args, strict=False)) | dict(node.kwargs)
    if len(node.args) > 2 or not given.keys() <= {first, second}:
        raise UnreadableError(f"it calls {node.name} with more than a list and a dimension")
    return given.get(first), given.get(second, default)
