"""Graph attention on CSR: scores are sums of one number of each end of an edge."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch_geometric.nn import GATConv

from evaluators.engine.edges import Edges
from evaluators.engine.kernels._attention import attend, head_by_head, in_groups, is_plain
from evaluators.engine.kernels._base import Kernel, Pass, biased
from evaluators.engine.stack import Columns, Stack, exact
from evaluators.engine.values import Value, head, project


class Gat(Kernel):
    """softmax over j of leaky_relu(u . W x_i + v . W x_j), times W x_j, plus b."""

    types = (GATConv,)

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:
        return (
            isinstance(module, GATConv)
            and is_plain(module)
            and module.add_self_loops
            and not module.residual
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
        self.weight = stack.matrix(f"{path}.lin.weight", columns, outs)
        self.source = stack.vector(f"{path}.att_src", outs)
        self.target = stack.vector(f"{path}.att_dst", outs)
        name = f"{path}.bias"
        self.bias = stack.vector(name, outs) if stack.has(name) else None

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        mapped = project(head(value, at.field.rows(need + 1)), self.weight)
        ends = torch.cat([head_by_head(v, self.heads) for v in (self.source, self.target)], dim=2)
        source, target = torch.bmm(mapped, ends).split(self.heads, dim=2)
        target = target[:, : at.field.rows(need)]
        attended = in_groups(
            at, "loops", need, self.heads, self._attend, (source, target, mapped)
        )
        return biased(attended, self.bias)

    def _attend(self, edges: Edges, source: Tensor, target: Tensor, mapped: Tensor) -> Tensor:
        ends = source.reshape(-1), target.reshape(-1)
        sums: Tensor = _Sum.apply(*ends, edges)  # type: ignore[no-untyped-call]
        scores = F.leaky_relu(sums, self.slope, inplace=True)
        return attend(scores, mapped, edges)


class _Sum(Function):
    """[nnz]: what the sender of each entry has [columns], plus what its receiver has [rows]."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, target: Tensor, edges: Edges) -> Tensor:
        ctx.edges = edges
        return source.index_select(0, edges.matrix.col).add_(edges.spread(target))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        return ctx.edges.transposed_sums(gradient), ctx.edges.sums(gradient), None
