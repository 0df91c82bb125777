"""Simplified graph convolution on CSR."""

from torch import nn
from torch_geometric.nn import SGConv

from evaluators.engine.kernels._base import Pass, biased, propagate_and_project
from evaluators.engine.kernels._convolution import Convolution
from evaluators.engine.kernels._site import Site
from evaluators.engine.values import Value


class Sg(Convolution):
    """A^K x W + b, for A = D^-1/2 (A + I) D^-1/2."""

    types = (SGConv,)

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:
        return (
            isinstance(module, SGConv)
            and module.add_self_loops
            and not module.cached
            and module.aggr == "add"
            and module.flow == "source_to_target"
        )

    @classmethod
    def hops(cls, module: nn.Module) -> int:
        return int(module.K)  # type: ignore[arg-type]

    @classmethod
    def signature(cls, module: nn.Module) -> str:
        bias = module.lin.bias is not None  # type: ignore[union-attr]
        return f"hops={module.K}, bias={bias}"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.weight = site.matrix("lin.weight", self.outs)
        self.bias = site.optional("lin.bias", self.outs)
        self.count = self.hops(site.modules[0])

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        mapped = propagate_and_project(at, "gcn", value, self.weight, need, self.count)
        return biased(mapped, self.bias)
