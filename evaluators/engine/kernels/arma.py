"""ARMA filter on CSR, with one stack of one recursion."""

from collections.abc import Sequence

from torch import nn
from torch_geometric.nn import ARMAConv

from evaluators.engine.kernels._base import Pass, biased, propagate_and_project
from evaluators.engine.kernels._convolution import Convolution
from evaluators.engine.stack import Columns, Stack
from evaluators.engine.values import Value, head, project


class Arma(Convolution):
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

    def __init__(
        self, stack: Stack, path: str, modules: Sequence[nn.Module], columns: Sequence[Columns]
    ) -> None:
        super().__init__(stack, path, modules, columns)
        self.neighbors = stack.matrix(f"{path}.init_weight", columns, self.outs, flip=False)
        self.itself = stack.matrix(f"{path}.root_weight", columns, self.outs, flip=False)
        self.bias = stack.optional(f"{path}.bias", self.outs)

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        received = propagate_and_project(at, "symmetric", value, self.neighbors, need)
        own = project(head(value, at.field.rows(need)), self.itself)
        return biased(received + own, self.bias)
