"""Topology adaptive convolution on CSR: a polynomial of the normalized adjacency matrix."""

from torch import Tensor, nn
from torch_geometric.nn import TAGConv

from evaluators.engine.kernels._base import Pass, biased, propagates_first
from evaluators.engine.kernels._convolution import Convolution
from evaluators.engine.kernels._site import Site
from evaluators.engine.values import Value, dense, head, project


class Tag(Convolution):
    """sum over k = 0..K of A^k x W_k + b, for A = D^-1/2 A D^-1/2.

    Wide x is projected first, and the polynomial evaluated from its last term, by Horner's rule.
    """

    types = (TAGConv,)

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:
        return (
            isinstance(module, TAGConv)
            and module.normalize
            and module.aggr == "add"
            and module.flow == "source_to_target"
        )

    @classmethod
    def hops(cls, module: nn.Module) -> int:
        return int(module.K)  # type: ignore[arg-type]

    @classmethod
    def signature(cls, module: nn.Module) -> str:
        return f"hops={module.K}, bias={module.bias is not None}"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.count = self.hops(site.modules[0])
        names = [f"lins.{k}.weight" for k in range(self.count + 1)]
        self.weights = [site.matrix(name, self.outs) for name in names]
        self.bias = site.optional("bias", self.outs)

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        if propagates_first(at, value, self.weights[0].size(2)):
            return biased(self._forward(at, value, need), self.bias)
        return biased(self._backward(at, value, need), self.bias)

    def _forward(self, at: Pass, value: Value, need: int) -> Tensor:
        rows, last = at.field.rows(need), need + self.count
        total = project(head(value, rows), self.weights[0])
        for k, weight in enumerate(self.weights[1:], start=1):
            value = at.propagate("symmetric", value, last - k)
            total = total + project(head(value, rows), weight)
        return total

    def _backward(self, at: Pass, value: Value, need: int) -> Tensor:
        """Term k is needed `k` steps further away."""
        terms = [
            project(head(value, at.field.rows(need + k)), weight)
            for k, weight in enumerate(self.weights)
        ]
        total = terms.pop()
        while terms:
            step = need + len(terms) - 1
            total = dense(at.propagate("symmetric", total, step)) + terms.pop()
        return total
