"""What attention kernels share: a softmax over what each node receives, and the weighted sum."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch_geometric.nn import GATConv, GATv2Conv, TransformerConv

from evaluators.engine.edges import Edges
from evaluators.engine.kernels._base import Pass
from evaluators.engine.matrices import Kind

# So many entries at once; above, memory traffic costs more than calls do.
_ENTRIES = 1 << 20


def is_plain(module: nn.Module) -> bool:
    """Whether an attention layer of PyTorch Geometric has only options that kernels know."""
    return (
        isinstance(module, (GATConv, GATv2Conv, TransformerConv))
        and isinstance(module.in_channels, int)
        and module.concat
        and module.dropout == 0
        and module.edge_dim is None
        and module.aggr in ("add", "sum")
        and module.flow == "source_to_target"
    )


def by_head(x: Tensor, heads: int) -> Tensor:
    """[K, n, heads * c] as [K * n * heads, c], which are the rows and columns of `Edges`."""
    return x.reshape(-1, x.size(2) // heads)


def head_by_head(vector: Tensor, heads: int) -> Tensor:
    """[K, heads * c, heads] of [K, 1, heads * c]: x times it is each head's part times its own."""
    runs, _, width = vector.shape
    own = torch.eye(heads, dtype=vector.dtype, device=vector.device)
    blocks = vector.view(runs, heads, width // heads, 1) * own[:, None]
    return blocks.view(runs, width, heads)


def attend(scores: Tensor, values: Tensor, edges: Edges) -> Tensor:
    """[K, n, H]: values [K, m, H] of what a node receives, weighted by the softmax of its scores.

    Args: scores [nnz]. A node that receives nothing gets 0.
    """
    runs, _, width = values.shape
    attended: Tensor = _Attend.apply(scores, by_head(values, edges.heads), edges)  # type: ignore[no-untyped-call]
    return attended.view(runs, -1, width)


class _Attend(Function):
    """With weights w = exp(score - maximum of the row), divided only after the sum, by node."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, values: Tensor, edges: Edges) -> Tensor:
        weights = (scores - edges.spread(edges.maxima(scores))).exp_()
        # The largest weight of a row is 1: below 1 are sums of nothing alone.
        scale = edges.sums(weights).clamp_(min=1.0).reciprocal_()[:, None]
        out = edges.product(weights, values).mul_(scale)
        ctx.edges = edges
        ctx.save_for_backward(weights, scale, values, out)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        weights, scale, values, out = ctx.saved_tensors
        edges: Edges = ctx.edges
        gradient = gradient * scale
        # The mean over the row of what a score changes is what the output itself has of it.
        mean = torch.mul(gradient, out).sum(1)
        to_scores = edges.dots(gradient, values).sub_(edges.spread(mean)).mul_(weights)
        return to_scores, edges.transposed_product(weights, gradient), None


def in_groups(
    at: Pass,
    kind: Kind,
    need: int,
    heads: int,
    call: Callable[..., Tensor],
    values: Sequence[Tensor],
) -> Tensor:
    """What `call` makes of edges and values, for as many runs at once as is fast.

    Args:
        call: of (edges, *values [k, ...]), for k of the K runs; gives [k, n, H].
        values: [K, ...] each.
    """
    rows, columns = at.field.rows(need), at.field.rows(need + 1)
    entries = at.field.edges(kind, rows, columns, heads, 1).matrix.col.numel()
    size = max(1, _ENTRIES // max(entries, 1))
    parts = [value.split(size) for value in values]
    outputs = [
        call(at.field.edges(kind, rows, columns, heads, group[0].size(0)), *group)
        for group in zip(*parts, strict=True)
    ]
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)
