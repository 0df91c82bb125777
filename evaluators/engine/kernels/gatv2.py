"""Graph attention with dynamic scores on CSR, a block of edges at a time.

    s_ij = sum over c of u_c leaky_relu(z_ijc),    z_ij = V x_i + W x_j

is the one that needs vectors at edges. A block of them stays in the processor's cache, and nothing
is kept for the gradient, which needs of z only where it is positive: with p = leaky_relu',

    g_i = sum over j of ds_ij p(z_ij),    d(V x_i) = u g_i,    du = sum of V x_i g_i + W x_j g_j.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch_geometric.nn import GATv2Conv

from evaluators.engine.edges import Block, Edges
from evaluators.engine.kernels._attention import (
    Sloped,
    attend,
    by_head,
    head_by_head,
    run_by_run,
)
from evaluators.engine.kernels._base import Pass, biased
from evaluators.engine.kernels._site import Site
from evaluators.engine.values import Value, head, project


class GatV2(Sloped):
    """softmax over j of u . leaky_relu(V x_i + W x_j), times W x_j, plus b."""

    types = (GATv2Conv,)

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:
        is_plain = super().accepts(module) and bool(module.add_self_loops)
        return is_plain and not (module.residual or module.share_weights)

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.sent = site.matrix("lin_l.weight", self.outs)
        self.received = site.matrix("lin_r.weight", self.outs)
        self.score = site.vector("att", self.outs)
        names = ("lin_l.bias", "lin_r.bias", "bias")
        self.biases = [site.optional(name, self.outs) for name in names]

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        rows, columns = at.field.rows(need), at.field.rows(need + 1)
        sent = biased(project(head(value, columns), self.sent), self.biases[0])
        received = biased(project(head(value, rows), self.received), self.biases[1])
        edges = at.field.edges("loops", rows, columns, self.heads)
        operands = received, sent, self.score
        attended, bias = run_by_run(partial(self._attend, edges), *operands), self.biases[2]
        # Not in place: attention keeps its output for the backward pass.
        return attended if bias is None else attended + bias

    def _attend(self, edges: Edges, received: Tensor, sent: Tensor, score: Tensor) -> Tensor:
        sent = self.own(sent)
        operands = self.own(received), sent, self.own(score), edges, self.slope
        scores: Tensor = _Scores.apply(*operands)  # type: ignore[no-untyped-call]
        return self.padded(attend(scores, sent, edges))


class _Scores(Function):
    """[nnz] of u . leaky_relu(z)."""

    @staticmethod
    def forward(
        ctx: Any, received: Tensor, sent: Tensor, score: Tensor, edges: Edges, slope: float
    ) -> Tensor:
        ctx.edges, ctx.slope = edges, slope
        ctx.save_for_backward(received, sent, score)
        weights = head_by_head(score, edges.heads)
        scores = sent.new_empty(edges.matrix.col.numel())
        for block in edges.blocks(sent.size(1)):
            z = F.leaky_relu_(block.ends(received, sent), slope)
            # Faster than z times the weights: for MKL a few columns are the worst case.
            of_heads = torch.mm(weights, z.T).view(-1)
            scores[block.entries] = of_heads.index_select(0, block.turns)
        return scores

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        received, sent, score = ctx.saved_tensors
        edges: Edges = ctx.edges
        blocks = edges.blocks(sent.size(1)), edges.transposed_blocks(sent.size(1))
        by_sender = gradient.index_select(0, edges.transposed[1])
        g_received = _gated(gradient, received, sent, edges.heads, blocks[0], ctx.slope)
        g_sent = _gated(by_sender, sent, received, edges.heads, blocks[1], ctx.slope)
        to_score = torch.mul(received, g_received).sum(0) + torch.mul(sent, g_sent).sum(0)
        return g_received.mul_(score), g_sent.mul_(score), to_score[None], None, None


def _gated(
    gradient: Tensor,
    x: Tensor,
    others: Tensor,
    heads: int,
    blocks: Sequence[Block],
    slope: float,
) -> Tensor:
    """[rows, H]: sums over a row's entries of leaky_relu'(z), weighted by `gradient` [nnz]."""
    one, sums = gradient.new_ones(()), torch.empty_like(x)
    for block in blocks:
        z = block.ends(x, others)
        # 1 where z is positive, else the slope: ten times as fast as torch.where.
        gate = torch.ops.aten.leaky_relu_backward(one.expand_as(z), z, slope, False)
        of_rows = block.sums(gradient[block.entries], by_head(gate, heads))
        sums[block.rows] = of_rows.view(-1, x.size(1))
    return sums
