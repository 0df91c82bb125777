"""What attention kernels share: a softmax over what each node receives, and the weighted sum."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from evaluators.engine.edges import Edges
from evaluators.engine.kernels._base import Kernel
from evaluators.engine.kernels._site import Site
from evaluators.engine.stack import Columns, rounded

# Of scores up to it, exp and its products fit in any type as they are.
_SMALL = 20.0
_TINY = 1e-16


class Attention(Kernel):
    """A layer of several heads, side by side; only layers of equal heads are stacked.

    Attributes:
        heads: how many.
        outs: the columns of each run's output, with as many beyond the layer's own as make slices
            of runs begin where MKL computes each bit alike.
    """

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:
        """Whether a layer of PyTorch Geometric has no option beyond those that all kernels know."""
        return bool(
            isinstance(module, cls.types)
            and isinstance(module.in_channels, int)
            and module.concat
            and module.dropout == 0
            and module.edge_dim is None
            and module.aggr in ("add", "sum")
            and module.flow == "source_to_target"
        )

    @classmethod
    def hops(cls, module: nn.Module) -> int:  # noqa: ARG003 - always
        return 1

    @classmethod
    def columns(cls, module: nn.Module, columns: Columns) -> Columns:  # noqa: ARG003 - its input's
        # As other layers, whose outputs may be added to it.
        return rounded(int(module.heads) * int(module.out_channels))  # type: ignore[arg-type]

    @classmethod
    def signature(cls, module: nn.Module) -> str:
        return f"{module.heads} heads of {module.out_channels}"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.heads = int(site.modules[0].heads)  # type: ignore[arg-type]
        self.outs = site.outs(self.columns)
        self._own, self._wide = self.outs[0][0]

    def own(self, x: Tensor) -> Tensor:
        """[n, H] without the columns beyond the layer's own."""
        return x[:, : self._own].contiguous()

    def padded(self, x: Tensor) -> Tensor:
        """[n, H] with columns of zeros beyond the layer's own."""
        return x if self._own == self._wide else F.pad(x, (0, self._wide - self._own))


class Sloped(Attention):
    """One whose scores go through a leaky ReLU."""

    @classmethod
    def signature(cls, module: nn.Module) -> str:
        options = f"slope={module.negative_slope}, bias={module.bias is not None}"
        return f"{super().signature(module)}, {options}"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.slope = float(site.modules[0].negative_slope)  # type: ignore[arg-type]


def run_by_run(call: Callable[..., Tensor], *values: Tensor) -> Tensor:
    """[K, ...] of what `call` makes of each run's part of the values [K, ...].

    Faster than all at once, whose numbers at edges leave the processor's cache; and no run can
    depend on another.
    """
    if all(value.size(0) == 1 for value in values):
        return call(*(value[0] for value in values))[None]
    runs = zip(*(value.unbind() for value in values), strict=True)
    return torch.stack([call(*run) for run in runs])


def by_head(x: Tensor, heads: int) -> Tensor:
    """[n, heads * c] as [n * heads, c], which are the rows and columns of `Edges`."""
    return x.reshape(-1, x.size(1) // heads)


def head_by_head(vector: Tensor, heads: int) -> Tensor:
    """[heads, heads * c] of [1, heads * c]: each row has the numbers of its head, 0 elsewhere."""
    own = torch.eye(heads, dtype=vector.dtype, device=vector.device)
    return (own[:, :, None] * vector.view(heads, -1)).view(heads, -1)


def attend(scores: Tensor, values: Tensor, edges: Edges) -> Tensor:
    """[n, H]: values [m, H] of what a node receives, weighted by the softmax of its scores [nnz].

    A node that receives nothing gets 0.
    """
    operands = scores, by_head(values, edges.heads), edges
    attended: Tensor = _Attend.apply(*operands)  # type: ignore[no-untyped-call]
    return attended.view(-1, values.size(1))


class _Attend(Function):
    """The products of weights exp(score), divided by their sum afterward: by node, not by edge."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, values: Tensor, edges: Edges) -> Tensor:
        weights = _exponentials(scores, edges)
        # Less than that are sums of nothing alone.
        scale = edges.sums(weights).clamp_(min=_TINY).reciprocal_()[:, None]
        out = edges.product(weights, values).mul_(scale)
        ctx.edges = edges
        ctx.save_for_backward(weights, scale, values, out)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        weights, scale, values, out = ctx.saved_tensors
        edges: Edges = ctx.edges
        gradient = gradient * scale
        # Of all entries of a row, weighted: what the row's output says, without a sum over them.
        mean = torch.mul(gradient, out).sum(1)
        to_scores = edges.dots(gradient, values).sub_(edges.spread(mean)).mul_(weights)
        return to_scores, edges.transposed_product(weights, gradient), None


def _exponentials(scores: Tensor, edges: Edges) -> Tensor:
    """[nnz]: exp(score); of scores minus the largest of the row, unless all of them are small."""
    is_small = scores.device.type == "cpu" and bool((scores.abs() < _SMALL).all())
    return scores.exp() if is_small else (scores - edges.spread(edges.maxima(scores))).exp_()
