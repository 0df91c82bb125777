"""Linear maps of each row."""

from torch import nn
from torch_geometric.nn import Linear as PygLinear

from evaluators.engine.kernels._base import Kernel, Pass, biased
from evaluators.engine.kernels._site import Site
from evaluators.engine.stack import Columns, rounded
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

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        outs = site.outs(self.columns)
        self.weight = site.matrix("weight", outs)
        self.bias = site.optional("bias", outs)

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        return biased(project(head(value, at.field.rows(need)), self.weight), self.bias)


def _out_features(module: nn.Module) -> int:
    width = module.out_channels if isinstance(module, PygLinear) else module.out_features
    return int(width)  # type: ignore[arg-type]
