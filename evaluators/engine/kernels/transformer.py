"""Transformer attention over neighbors on CSR: scores are sampled products of two matrices."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch_geometric.nn import TransformerConv

from evaluators.engine.edges import Edges
from evaluators.engine.kernels._attention import Attention, attend, by_head, run_by_run
from evaluators.engine.kernels._base import Pass, biased
from evaluators.engine.kernels._site import Site
from evaluators.engine.stack import Columns, places, wide
from evaluators.engine.values import Value, head, project


class Transformer(Attention):
    """softmax over j of (Q x_i) . (K x_j) / sqrt(c), times V x_j, plus R x_i."""

    types = (TransformerConv,)

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:
        return super().accepts(module) and bool(module.root_weight) and not module.beta

    @classmethod
    def signature(cls, module: nn.Module) -> str:
        bias = module.get_submodule("lin_key").bias is not None
        return f"{super().signature(module)}, bias={bias}"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        # Of those who send, and of those who receive, who are fewer.
        self.sent = _joined(site, ("lin_key", "lin_value"), self.outs)
        self.received = _joined(site, ("lin_query", "lin_skip"), self.outs)
        self.scale = int(site.modules[0].out_channels) ** -0.5  # type: ignore[arg-type]

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        rows, columns = at.field.rows(need), at.field.rows(need + 1)
        sent = biased(project(head(value, columns), self.sent[0]), self.sent[1])
        received = biased(project(head(value, rows), self.received[0]), self.received[1])
        edges = at.field.edges("sum", rows, columns, self.heads)
        return run_by_run(partial(self._attend, edges), sent, received)

    def _attend(self, edges: Edges, sent: Tensor, received: Tensor) -> Tensor:
        keys, values = torch.split(sent, wide(self.outs[0]), dim=1)
        queries, rest = torch.split(received, wide(self.outs[0]), dim=1)
        queries, keys = self.own(queries) * self.scale, self.own(keys)
        operands = by_head(queries, self.heads), by_head(keys, self.heads), edges
        scores: Tensor = _Dots.apply(*operands)  # type: ignore[no-untyped-call]
        return self.padded(attend(scores, self.own(values), edges)) + rest


class _Dots(Function):
    """[nnz]: query [rows, c] of the receiver of each entry times key [columns, c] of its sender."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, edges: Edges) -> Tensor:
        ctx.edges = edges
        ctx.save_for_backward(queries, keys)
        return edges.dots(queries, keys)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        queries, keys = ctx.saved_tensors
        edges: Edges = ctx.edges
        to_keys = edges.transposed_product(gradient, queries)
        return edges.product(gradient, keys), to_keys, None


def _joined(
    site: Site, maps: Sequence[str], outs: Sequence[Columns]
) -> tuple[Tensor, Tensor | None]:
    """Weights [K, in, out * maps] and biases [K, 1, out * maps] of several linear maps."""
    names = [site.name(f"{name}.weight") for name in maps]
    weight = site.stack.matrices(names, site.columns, outs)
    if not site.has(f"{maps[0]}.bias"):
        return weight, None
    width = wide(outs[0])

    def block(start: int) -> Callable[[Tensor, int], Tensor]:
        return lambda leaf, run: leaf[0, start + places(outs[run])]

    selectors = {site.name(f"{name}.bias"): block(i * width) for i, name in enumerate(maps)}
    return weight, site.stack.leaf((1, width * len(maps)), selectors)
