"""ARMA filter on CSR, with one stack of one recursion."""

from collections.abc import Sequence

from torch import nn
from torch_geometric.nn import ARMAConv

from evaluators.engine.kernels._base import Kernel, Pass, biased, propagate_and_project
from evaluators.engine.stack import Columns, Stack, rounded
from evaluators.engine.values import Value, head, project


class Arma(Kernel):
    """A x W + x V + b, for A = D^-1/2 A D^-1/2."""

    types = (ARMAConv,)

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:
        return (
            isinstance(module, ARMAConv)
            and module.num_stacks == module.num_layers == 1
            and module.act is None
            and not module.dropout
            # Weights of further recursions would be trained, by weight decay alone.
            and module.weight is None
            and module.aggr == "add"
            and module.flow == "source_to_target"
        )

    @classmethod
    def hops(cls, module: nn.Module) -> int:  # noqa: ARG003 - always
        return 1

    @classmethod
    def columns(cls, module: nn.Module, columns: Columns) -> Columns:  # noqa: ARG003 - its input's
        return rounded(int(module.out_channels))  # type: ignore[arg-type]

    @classmethod
    def signature(cls, module: nn.Module) -> str:
        return f"bias={module.bias is not None}"

    def __init__(
        self, stack: Stack, path: str, modules: Sequence[nn.Module], columns: Sequence[Columns]
    ) -> None:
        super().__init__(stack, path, modules, columns)
        outs = [self.columns(module, own) for module, own in zip(modules, columns, strict=True)]
        self.neighbors = stack.matrix(f"{path}.init_weight", columns, outs, flip=False)
        self.itself = stack.matrix(f"{path}.root_weight", columns, outs, flip=False)
        name = f"{path}.bias"
        self.bias = stack.vector(name, outs) if stack.has(name) else None

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        received = propagate_and_project(at, "symmetric", value, self.neighbors, need)
        own = project(head(value, at.field.rows(need)), self.itself)
        return biased(received + own, self.bias)
