"""Chebyshev filter on CSR: a polynomial of the scaled Laplacian."""

import torch
from torch import Tensor, nn
from torch_geometric.nn import ChebConv

from evaluators.engine.kernels._base import Pass, biased, is_narrow
from evaluators.engine.kernels._convolution import Convolution
from evaluators.engine.kernels._site import Site
from evaluators.engine.values import Value, dense, head, project


class Cheb(Convolution):
    """sum over k = 0..K of T_k(A) x W_k + b, for A = - D^-1/2 A D^-1/2.

    Wide x is projected first, and the sum evaluated from its last term:

        b_k = x W_k + 2 A b_k+1 - b_k+2,    sum = x W_0 + A b_1 - b_2

    C. W. Clenshaw: A note on the summation of Chebyshev series (1955).
    """

    types = (ChebConv,)

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:
        return (
            isinstance(module, ChebConv)
            and module.normalization == "sym"
            and module.aggr == "add"
            and module.flow == "source_to_target"
        )

    @classmethod
    def hops(cls, module: nn.Module) -> int:
        return len(module.lins) - 1  # type: ignore[arg-type]

    @classmethod
    def signature(cls, module: nn.Module) -> str:
        return f"hops={cls.hops(module)}, bias={module.bias is not None}"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        names = [f"lins.{k}.weight" for k in range(self.hops(site.modules[0]) + 1)]
        self.weights = [site.matrix(name, self.outs) for name in names]
        self.bias = site.optional("bias", self.outs)

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        if is_narrow(at, value, self.weights[0].size(2)):
            return biased(self._forward(at, dense(value), need), self.bias)
        return biased(self._backward(at, value, need), self.bias)

    def _forward(self, at: Pass, value: Tensor, need: int) -> Tensor:
        """T_k is needed `K - k` steps further away than the sum."""
        rows, last = at.field.rows(need), need + len(self.weights) - 1
        before, now = value, value
        total = project(head(now, rows), self.weights[0])
        for k, weight in enumerate(self.weights[1:], start=1):
            after = _times(at, now, last - k)
            if k > 1:
                after = _twice_minus(after, before)
            before, now = now, after
            total = total + project(head(now, rows), weight)
        return total

    def _backward(self, at: Pass, value: Value, need: int) -> Tensor:
        """b_k is needed `k` steps further away than the sum."""
        after: Tensor | None = None
        now: Tensor | None = None
        for k in reversed(range(len(self.weights))):
            term = project(head(value, at.field.rows(need + k)), self.weights[k])
            if now is not None:
                term = torch.add(term, _times(at, now, need + k), alpha=2 if k else 1)
            if after is not None:
                term = term - dense(head(after, term.size(1)))
            after, now = now, term
        if now is None:
            raise ValueError("expected a filter with at least one term")
        return now


def _times(at: Pass, x: Tensor, need: int) -> Tensor:
    return dense(at.propagate("chebyshev", x, need))


def _twice_minus(x: Tensor, before: Tensor) -> Tensor:
    return 2 * x - dense(head(before, x.size(1)))
