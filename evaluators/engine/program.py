"""Networks as programs: what each module computes from what, read by torch.fx.

A program knows of each value how many steps it is from the loss, and how many columns it has. Two
networks with equal signatures compute alike, and can train together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluators.engine.kernels import activation
from evaluators.engine.kernels._base import Kernel, Pass
from evaluators.engine.kernels._site import Site
from evaluators.engine.kernels.dropout import Dropout
from evaluators.engine.stack import Columns, Stack, wide
from evaluators.engine.values import Input, Value, dense, head


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
        return "\n".join(f"{s.path}{s.inputs}{sizes(s.columns)}{s.signature}" for s in self.steps)

    @property
    def drops_features(self) -> bool:
        """Whether it has dropout of the features."""
        return any(step.kernel is Dropout and 0 in step.inputs for step in self.steps)

    @property
    def hops(self) -> int:
        """How far the output sees."""
        return self.needs[0]

    @property
    def outputs(self) -> int:
        """The columns of the network's output."""
        return sum(own for own, _ in self.steps[-1].columns)

    @property
    def width(self) -> int:
        """The columns of its widest step."""
        return max(wide(step.columns) for step in self.steps)


class Compiled:
    """A program with the weights of K networks."""

    def __init__(self, programs: Sequence[Program], stack: Stack) -> None:
        """Args: of each network; their signatures are equal."""
        self.program = programs[0]
        self.runs = len(programs)
        last = {n: i for i, step in enumerate(self.program.steps) for n in step.inputs}
        # Which values no step after a step reads.
        steps = range(len(self.program.steps))
        self._over = [[n for n, i in last.items() if i == at] for at in steps]
        made: dict[str, Kernel] = {}
        self._calls: list[Kernel | Callable[[Sequence[Value], int], Value]] = []
        for i, step in enumerate(self.program.steps):
            if step.kernel is None and step.path in activation.FUNCTIONS:
                modules = [activation.FUNCTIONS[step.path]() for _ in programs]
                reads = [program.steps[i].reads for program in programs]
                self._calls.append(activation.Activation(Site(stack, "", modules, reads)))
                continue
            if step.kernel is None:
                self._calls.append(_FUNCTIONS[step.path])
                continue
            if step.path not in made:
                modules = [network.get_submodule(step.path) for network in stack.networks]
                columns = [program.steps[i].reads for program in programs]
                made[step.path] = step.kernel(Site(stack, step.path, modules, columns))
            self._calls.append(made[step.path])

    def __call__(self, at: Pass, features: Value) -> Tensor:
        """The output at the rows of the loss [K, n, C]."""
        values: dict[int, Value] = {0: features}
        for i, (step, call) in enumerate(zip(self.program.steps, self._calls, strict=True)):
            need = self.program.needs[i + 1]
            inputs = [values[number] for number in step.inputs]
            if isinstance(call, Kernel):
                values[i + 1] = call(at, inputs[0], need)
            else:
                rows = at.field.rows(need)
                values[i + 1] = call([head(value, rows) for value in inputs], at.runs)
            # Nothing is held that only its backward pass may still need.
            del inputs
            for number in self._over[i]:
                del values[number]
        output = dense(values[len(self.program.steps)]).expand(at.runs, -1, -1)
        return output[:, :, : self.program.outputs]


def _cat(values: Sequence[Value], runs: int) -> Value:
    first, *others = values
    if not others:
        return first
    tensors = [dense(value).expand(runs, -1, -1) for value in others]
    if isinstance(first, Input) and first.rest is None and not first.kinds:
        return Input(first.features, first.rows, first.kept, torch.cat(tensors, dim=2))
    return torch.cat([dense(first).expand(runs, -1, -1), *tensors], dim=2)


def _sum(values: Sequence[Value], runs: int) -> Value:  # noqa: ARG001 - of all functions
    first, second = _as_wide(values)
    return first + second


def _maximum(values: Sequence[Value], runs: int) -> Value:
    return torch.stack([value.expand(runs, -1, -1) for value in _as_wide(values)]).amax(dim=0)


def _as_wide(values: Sequence[Value]) -> list[Tensor]:
    """Dense, and each as wide as the widest: features have no columns beyond their own."""
    tensors = [dense(value) for value in values]
    widest = max(tensor.size(2) for tensor in tensors)
    return [
        tensor if tensor.size(2) == widest else F.pad(tensor, (0, widest - tensor.size(2)))
        for tensor in tensors
    ]


_FUNCTIONS: Mapping[str, Callable[[Sequence[Value], int], Value]] = {
    "cat": _cat,
    "add": _sum,
    "maximum": _maximum,
}


def sizes(columns: Columns) -> list[int]:
    return [size for _, size in columns]
