"""Graph attention on CSR: scores are sums of one number of each end of an edge."""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch_geometric.nn import GATConv

from evaluators.engine.edges import Edges
from evaluators.engine.kernels._attention import Sloped, attend, head_by_head, run_by_run
from evaluators.engine.kernels._base import Pass
from evaluators.engine.kernels._site import Site
from evaluators.engine.values import Value, head, project


class Gat(Sloped):
    """softmax over j of leaky_relu(u . W x_i + v . W x_j), times W x_j, plus b."""

    types = (GATConv,)

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:
        return super().accepts(module) and bool(module.add_self_loops) and not module.residual

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.weight = site.matrix("lin.weight", self.outs)
        self.source = site.vector("att_src", self.outs)
        self.target = site.vector("att_dst", self.outs)
        self.bias = site.optional("bias", self.outs)

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        mapped = project(head(value, at.field.rows(need + 1)), self.weight)
        edges = at.field.edges("loops", at.field.rows(need), mapped.size(1), self.heads)
        operands = mapped, self.source, self.target
        attended, bias = run_by_run(partial(self._attend, edges), *operands), self.bias
        # Not in place: attention keeps its output for the backward pass.
        return attended if bias is None else attended + bias

    def _attend(self, edges: Edges, mapped: Tensor, source: Tensor, target: Tensor) -> Tensor:
        mapped = self.own(mapped)
        ends = torch.cat([head_by_head(self.own(end), self.heads) for end in (source, target)])
        # Faster than x times the ends: for MKL a few columns are the worst case.
        sources, targets = torch.split(torch.mm(ends, mapped.T), self.heads)
        targets = targets[:, : edges.plain.rows]
        operands = sources.T.reshape(-1), targets.T.reshape(-1), edges
        sums: Tensor = _Sum.apply(*operands)  # type: ignore[no-untyped-call]
        scores = F.leaky_relu(sums, self.slope, inplace=True)
        return self.padded(attend(scores, mapped, edges))


class _Sum(Function):
    """[nnz]: what the sender of each entry has [columns], plus what its receiver has [rows]."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, target: Tensor, edges: Edges) -> Tensor:
        ctx.edges = edges
        return source.index_select(0, edges.matrix.col).add_(edges.spread(target))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        return ctx.edges.transposed_sums(gradient), ctx.edges.sums(gradient), None
