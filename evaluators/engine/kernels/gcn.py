"""Graph convolution on CSR: A (x W) + b, or (A x) W + b where x is narrower or a constant."""

from collections.abc import Sequence

from torch import nn
from torch_geometric.nn import GCNConv

from evaluators.engine.kernels._base import Kernel, Pass, biased, propagate_and_project
from evaluators.engine.stack import Columns, Stack, rounded
from evaluators.engine.values import Value


class Gcn(Kernel):
    """A x W + b, for A = D^-1/2 (A + I) D^-1/2."""

    types = (GCNConv,)

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:
        return (
            isinstance(module, GCNConv)
            and module.normalize
            and module.add_self_loops
            and not (module.improved or module.cached)
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
        self.weight = stack.matrix(f"{path}.lin.weight", columns, outs)
        name = f"{path}.bias"
        self.bias = stack.vector(name, outs) if stack.has(name) else None

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        return biased(propagate_and_project(at, "gcn", value, self.weight, need), self.bias)
