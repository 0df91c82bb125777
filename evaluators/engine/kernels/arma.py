"""ARMA filter on CSR, with one stack of one recursion."""

from torch import nn
from torch_geometric.nn import ARMAConv

from evaluators.engine.kernels._base import Pass, biased, propagate_and_project
from evaluators.engine.kernels._convolution import Convolution
from evaluators.engine.kernels._site import Site
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

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.neighbors = site.matrix("init_weight", self.outs, flip=False)
        self.itself = site.matrix("root_weight", self.outs, flip=False)
        self.bias = site.optional("bias", self.outs)

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        received = propagate_and_project(at, "symmetric", value, self.neighbors, need)
        own = project(head(value, at.field.rows(need)), self.itself)
        return biased(received + own, self.bias)
