"""Graph attention with dynamic scores on CSR, a block of edges at a time.

    s_ij = sum over c of u_c leaky_relu(z_ijc),    z_ij = V x_i + W x_j

is the one that needs vectors at edges. A block of them stays in a core's own cache, and nothing is
kept for the gradient, which needs of z only where it is positive: with p = leaky_relu',

    g_i = sum over j of ds_ij p(z_ij),    ds/dV x_i = u g_i,    ds/du = sum of V x_i g_i + W x_j g_j.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch_geometric.nn import GATv2Conv

from evaluators.engine.edges import Block, Edges
from evaluators.engine.kernels._attention import attend, head_by_head, in_groups, is_plain
from evaluators.engine.kernels._base import Kernel, Pass, biased
from evaluators.engine.stack import Columns, Stack, exact
from evaluators.engine.values import Value, head, project


class GatV2(Kernel):
    """softmax over j of u . leaky_relu(V x_i + W x_j), times W x_j, plus b."""

    types = (GATv2Conv,)

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:
        return (
            isinstance(module, GATv2Conv)
            and is_plain(module)
            and module.add_self_loops
            and not (module.residual or module.share_weights)
        )

    @classmethod
    def hops(cls, module: nn.Module) -> int:  # noqa: ARG003 - always
        return 1

    @classmethod
    def columns(cls, module: nn.Module, columns: Columns) -> Columns:  # noqa: ARG003 - its input's
        return exact(int(module.heads) * int(module.out_channels))  # type: ignore[arg-type]

    @classmethod
    def signature(cls, module: nn.Module) -> str:
        return f"heads={module.heads}, slope={module.negative_slope}, bias={module.bias is not None}"

    def __init__(
        self, stack: Stack, path: str, modules: Sequence[nn.Module], columns: Sequence[Columns]
    ) -> None:
        super().__init__(stack, path, modules, columns)
        self.heads, self.slope = int(modules[0].heads), float(modules[0].negative_slope)  # type: ignore[arg-type]
        outs = [self.columns(module, own) for module, own in zip(modules, columns, strict=True)]
        self.sent = stack.matrix(f"{path}.lin_l.weight", columns, outs)
        self.received = stack.matrix(f"{path}.lin_r.weight", columns, outs)
        self.score = stack.vector(f"{path}.att", outs)
        names = (f"{path}.lin_l.bias", f"{path}.lin_r.bias", f"{path}.bias")
        self.biases = [stack.vector(n, outs) if stack.has(n) else None for n in names]

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        rows, columns = at.field.rows(need), at.field.rows(need + 1)
        sent = biased(project(head(value, columns), self.sent), self.biases[0])
        received = biased(project(head(value, rows), self.received), self.biases[1])
        operands = (received, sent, self.score)
        attended = in_groups(at, "loops", need, self.heads, self._attend, operands)
        return biased(attended, self.biases[2])

    def _attend(self, edges: Edges, received: Tensor, sent: Tensor, score: Tensor) -> Tensor:
        scores: Tensor = _Scores.apply(received, sent, score, edges, self.slope)  # type: ignore[no-untyped-call]
        return attend(scores, sent, edges)


class _Scores(Function):
    """[nnz] of u . leaky_relu(z), one run after the other."""

    @staticmethod
    def forward(
        ctx: Any, received: Tensor, sent: Tensor, score: Tensor, edges: Edges, slope: float
    ) -> Tensor:
        ctx.edges, ctx.slope = edges, slope
        ctx.save_for_backward(received, sent, score)
        weights = head_by_head(score, edges.heads)
        scores = received.new_empty(edges.copies, edges.plain.col.numel() * edges.heads)
        for run, block in product(range(edges.copies), edges.blocks(sent.size(2))):
            z = F.leaky_relu_(block.ends(received[run], sent[run]), slope)
            # Faster than z times the weights: for MKL a few columns are the worst case.
            of_heads = torch.mm(weights[run].T, z.T)
            scores[run, block.entries] = of_heads.view(-1).index_select(0, block.turns)
        return scores.view(-1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        received, sent, score = ctx.saved_tensors
        edges: Edges = ctx.edges
        width, heads, slope = sent.size(2), edges.heads, ctx.slope
        g_received = _gated(gradient, received, sent, heads, edges.blocks(width), slope)
        by_sender = gradient.index_select(0, edges.transposed[1])
        blocks = edges.transposed_blocks(width)
        g_sent = _gated(by_sender, sent, received, heads, blocks, slope)
        to_score = torch.mul(received, g_received).sum(1) + torch.mul(sent, g_sent).sum(1)
        return g_received.mul_(score), g_sent.mul_(score), to_score[:, None], None, None


def _gated(
    gradient: Tensor,
    x: Tensor,
    others: Tensor,
    heads: int,
    blocks: Sequence[Block],
    slope: float,
) -> Tensor:
    """[K, rows, H]: sums over a row's entries of leaky_relu'(z), weighted by `gradient` [nnz]."""
    runs, rows, width = x.shape
    gradient, one = gradient.view(runs, -1), gradient.new_ones(())
    sums = torch.empty_like(x)
    for run, block in product(range(runs), blocks):
        z = block.ends(x[run], others[run])
        # 1 where z is positive, else the slope: ten times as fast as torch.where.
        gate = torch.ops.aten.leaky_relu_backward(one.expand_as(z), z, slope, False)
        of_rows = block.sums(gradient[run, block.entries], gate.view(-1, width // heads))
        sums[run, block.rows] = of_rows.view(-1, width)
    return sums
