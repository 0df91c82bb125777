"""Transformer attention over neighbors on CSR: scores are sampled products of two matrices."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.autograd import Function
from torch_geometric.nn import TransformerConv

from evaluators.engine.edges import Edges
from evaluators.engine.kernels._attention import attend, by_head, in_groups, is_plain
from evaluators.engine.kernels._base import Kernel, Pass, biased
from evaluators.engine.stack import Columns, Stack, exact, wide
from evaluators.engine.values import Value, head, project


class Transformer(Kernel):
    """softmax over j of (Q x_i) . (K x_j) / sqrt(c), times V x_j, plus R x_i."""

    types = (TransformerConv,)

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:
        return (
            isinstance(module, TransformerConv)
            and is_plain(module)
            and module.root_weight
            and not module.beta
        )

    @classmethod
    def hops(cls, module: nn.Module) -> int:  # noqa: ARG003 - always
        return 1

    @classmethod
    def columns(cls, module: nn.Module, columns: Columns) -> Columns:  # noqa: ARG003 - its input's
        return exact(int(module.heads) * int(module.out_channels))  # type: ignore[arg-type]

    @classmethod
    def signature(cls, module: nn.Module) -> str:
        return f"heads={module.heads}, bias={module.lin_key.bias is not None}"  # type: ignore[union-attr]

    def __init__(
        self, stack: Stack, path: str, modules: Sequence[nn.Module], columns: Sequence[Columns]
    ) -> None:
        super().__init__(stack, path, modules, columns)
        self.heads = int(modules[0].heads)  # type: ignore[arg-type]
        outs = [self.columns(module, own) for module, own in zip(modules, columns, strict=True)]
        self.width = wide(outs[0])
        # Keys and values are of those who send, queries and the rest of those who receive: fewer.
        self.sent = joined(stack, path, ("lin_key", "lin_value"), columns, outs)
        self.received = joined(stack, path, ("lin_query", "lin_skip"), columns, outs)

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        rows, columns = at.field.rows(need), at.field.rows(need + 1)
        sent = biased(project(head(value, columns), self.sent[0]), self.sent[1])
        received = biased(project(head(value, rows), self.received[0]), self.received[1])
        keys, values = sent.split(self.width, dim=2)
        queries, rest = received.split(self.width, dim=2)
        operands = (queries * (self.width // self.heads) ** -0.5, keys, values)
        return in_groups(at, "sum", need, self.heads, self._attend, operands) + rest

    def _attend(self, edges: Edges, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        operands = by_head(queries, self.heads), by_head(keys, self.heads)
        scores: Tensor = _Dots.apply(*operands, edges)  # type: ignore[no-untyped-call]
        return attend(scores, values, edges)


class _Dots(Function):
    """[nnz]: query [rows, c] of the receiver of each entry times key [columns, c] of its sender."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, edges: Edges) -> Tensor:
        ctx.edges = edges
        ctx.save_for_backward(queries, keys)
        return edges.dots(queries, keys)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        queries, keys = ctx.saved_tensors
        edges: Edges = ctx.edges
        to_keys = edges.transposed_product(gradient, queries)
        return edges.product(gradient, keys), to_keys, None


def joined(
    stack: Stack,
    path: str,
    maps: Sequence[str],
    columns: Sequence[Columns],
    outs: Sequence[Columns],
) -> tuple[Tensor, Tensor | None]:
    """Weights [K, in, out * maps] and biases [K, 1, out * maps] of several linear maps."""
    weight = stack.matrices([f"{path}.{name}.weight" for name in maps], columns, outs)
    if not stack.has(f"{path}.{maps[0]}.bias"):
        return weight, None
    width = wide(outs[0])
    selectors = {
        f"{path}.{name}.bias": lambda leaf, _, i=i: leaf[0, i * width : (i + 1) * width]
        for i, name in enumerate(maps)
    }
    return weight, stack.leaf((1, width * len(maps)), selectors)
