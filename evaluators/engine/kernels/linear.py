"""Linear maps of each row."""

from collections.abc import Sequence

from torch import nn
from torch_geometric.nn import Linear as PygLinear

from evaluators.engine.kernels._base import Kernel, Pass, biased
from evaluators.engine.stack import Columns, Stack, rounded
from evaluators.engine.values import Value, head, project


class Linear(Kernel):
    """x W + b."""

    types = (nn.Linear, PygLinear)

    @classmethod
    def columns(cls, module: nn.Module, columns: Columns) -> Columns:  # noqa: ARG003 - its input's
        return rounded(_out_features(module))

    @classmethod
    def signature(cls, module: nn.Module) -> str:
        return f"bias={module.bias is not None}"

    def __init__(
        self, stack: Stack, path: str, modules: Sequence[nn.Module], columns: Sequence[Columns]
    ) -> None:
        super().__init__(stack, path, modules, columns)
        outs = [self.columns(module, own) for module, own in zip(modules, columns, strict=True)]
        self.weight = stack.matrix(f"{path}.weight", columns, outs)
        self.bias = stack.optional(f"{path}.bias", outs)

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        return biased(project(head(value, at.field.rows(need)), self.weight), self.bias)


def _out_features(module: nn.Module) -> int:
    width = module.out_channels if isinstance(module, PygLinear) else module.out_features
    return int(width)  # type: ignore[arg-type]
