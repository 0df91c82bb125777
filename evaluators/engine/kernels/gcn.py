"""Graph convolution on CSR: A (x W) + b, or (A x) W + b where x is narrower or a constant."""

from torch import nn
from torch_geometric.nn import GCNConv

from evaluators.engine.kernels._base import Pass, biased, propagate_and_project
from evaluators.engine.kernels._convolution import Convolution
from evaluators.engine.kernels._site import Site
from evaluators.engine.values import Value


class Gcn(Convolution):
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

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.weight = site.matrix("lin.weight", self.outs)
        self.bias = site.optional("bias", self.outs)

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        return biased(propagate_and_project(at, "gcn", value, self.weight, need), self.bias)
