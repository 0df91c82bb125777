"""Networks as programs: what each module computes from what, read by torch.fx.

A program knows of each value how many steps it is from the loss, and how many columns it has. Two
networks with equal signatures compute alike, and can train together.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch_geometric.nn import GATConv, GATv2Conv, MessagePassing, TransformerConv

from evaluators.engine.kernels._base import Kernel, Pass, kernel_of, kernels
from evaluators.engine.kernels.stock import Stock
from evaluators.engine.stack import Columns, Stack, exact, wide
from evaluators.engine.values import Input, Value, dense, head

# Message passing without a kernel whose output at a node depends on what it receives alone.
_LOCAL = (GATConv, GATv2Conv, TransformerConv)


class UnreadableError(Exception):
    """A network that does something else than modules one after the other, sums and maxima."""


@dataclass(frozen=True)
class Step:
    """One step of a program.

    Attributes:
        inputs: the numbers of the values it reads; value 0 is the features, value i + 1 is what
            step i computes.
        kernel: of the module that it calls, or None for a function of values.
        path: of the module in the network, or the name of the function.
        columns: of its output.
        reads: of its first input.
        signature: equal for steps that can be stacked.
    """

    inputs: tuple[int, ...]
    kernel: type[Kernel] | None
    path: str
    columns: Columns
    reads: Columns
    signature: str


@dataclass(frozen=True)
class Program:
    """The steps of a network, the last of which computes its output.

    Attributes:
        steps: in their order.
        needs: of each value, how many steps it is from the loss at most.
        stock: modules that have no kernel, as (path, type).
        mixes_rows: whether in training a row depends on all others.
        is_local: whether a row depends on a known number of steps, in evaluation mode.
    """

    steps: tuple[Step, ...]
    needs: tuple[int, ...]
    stock: tuple[tuple[str, str], ...]
    mixes_rows: bool
    is_local: bool

    @property
    def signature(self) -> str:
        """Equal for networks that can train together."""
        return "\n".join(f"{s.path}{s.inputs}{_sizes(s.columns)}{s.signature}" for s in self.steps)

    @property
    def hops(self) -> int:
        """How far the output sees."""
        return self.needs[0]

    @property
    def width(self) -> int:
        """The columns of its widest step."""
        return max(wide(step.columns) for step in self.steps)


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


class Compiled:
    """A program with the weights of K networks."""

    def __init__(self, programs: Sequence[Program], stack: Stack) -> None:
        """Args: of each network; their signatures are equal."""
        self.program = programs[0]
        self.runs = len(programs)
        made: dict[str, Kernel] = {}
        self._calls: list[Kernel | Callable[[Sequence[Value], int], Value]] = []
        for i, step in enumerate(self.program.steps):
            if step.kernel is None:
                self._calls.append(_FUNCTIONS[step.path])
                continue
            if step.path not in made:
                modules = [network.get_submodule(step.path) for network in stack.networks]
                columns = [program.steps[i].reads for program in programs]
                made[step.path] = step.kernel(stack, step.path, modules, columns)
            self._calls.append(made[step.path])

    def __call__(self, at: Pass, features: Value) -> Tensor:
        """The output at the rows of the loss [K, n, C]."""
        values: list[Value] = [features]
        for step, call, need in zip(
            self.program.steps, self._calls, self.program.needs[1:], strict=True
        ):
            inputs = [values[i] for i in step.inputs]
            if isinstance(call, Kernel):
                values.append(call(at, inputs[0], need))
            else:
                rows = at.field.rows(need)
                values.append(call([head(value, rows) for value in inputs], at.runs))
        own = sum(own for own, _ in self.program.steps[-1].columns)
        return dense(values[-1]).expand(at.runs, -1, -1)[:, :, :own]


def _cat(values: Sequence[Value], runs: int) -> Value:
    first, *others = values
    tensors = [dense(value).expand(runs, -1, -1) for value in others]
    if isinstance(first, Input) and first.rest is None and not first.kinds:
        return Input(first.features, first.rows, first.kept, torch.cat(tensors, dim=2))
    return torch.cat([dense(first).expand(runs, -1, -1), *tensors], dim=2)


def _sum(values: Sequence[Value], runs: int) -> Value:  # noqa: ARG001 - of all functions
    return dense(values[0]) + dense(values[1])


def _maximum(values: Sequence[Value], runs: int) -> Value:
    return torch.stack([dense(value).expand(runs, -1, -1) for value in values]).amax(dim=0)


_FUNCTIONS: Mapping[str, Callable[[Sequence[Value], int], Value]] = {
    "cat": _cat,
    "add": _sum,
    "maximum": _maximum,
}


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
        try:
            graph = _Tracer().trace(self.network)
        except Exception as error:  # whatever a network's own code raises on symbols
            raise UnreadableError(f"torch.fx cannot trace it: {error}") from error
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
            self.is_local &= isinstance(module, _LOCAL)
        self.mixes_rows |= kernel.mixes_rows
        number = self._known(arguments[0])
        reads = self.columns[number]
        columns = kernel.columns(module, reads)
        kind = type(module).__name__
        signature = f"{kind} {_sizes(reads)} {kernel.signature(module)}"
        self._add(node, Step((number,), kernel, path, columns, reads, signature))

    def _function(self, node: fx.Node) -> None:
        name = node.target if isinstance(node.target, str) else node.target.__name__
        if name == "stack":
            values, dimension = _arguments(node, "tensors", "dim", 0)
            if dimension == 0:
                self.stacked[node] = self._several(values)
                return
        elif name in ("amax", "max") and node.args[0] in self.stacked:
            if _arguments(node, "input", "dim", None)[1] == 0 and name == "amax":
                inputs = self.stacked[node.args[0]]
                return self._join(node, "maximum", inputs)
        elif name == "cat":
            values, dimension = _arguments(node, "tensors", "dim", 0)
            if dimension in (1, -1):
                inputs = self._several(values)
                columns = tuple(piece for i in inputs for piece in self.columns[i])
                return self._add(node, Step(inputs, None, "cat", columns, columns, ""))
        elif node.target in (operator.add, torch.add, "add") and len(node.args) == 2:
            return self._join(node, "add", self._several(node.args))
        raise UnreadableError(f"it calls {name}, which is not among add, cat and the maximum")

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


def _arguments(node: fx.Node, first: str, second: str, default: Any) -> tuple[Any, Any]:
    """Two arguments of a call, given by place or by name."""
    given = dict(zip((first, second), node.args, strict=False)) | dict(node.kwargs)
    return given.get(first), given.get(second, default)


def _sizes(columns: Columns) -> list[int]:
    return [size for _, size in columns]
