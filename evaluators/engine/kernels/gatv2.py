"""Graph attention with dynamic scores on CSR, a block of edges at a time.

    s_ij = sum over c of u_c leaky_relu(z_ijc),    z_ij = V x_i + W x_j

is the one that needs vectors at edges. A block of them stays in a core's own cache, and nothing is
kept for the gradient, which needs of z only where it is positive: with p = leaky_relu',

    g_i = sum over j of ds_ij p(z_ij),    ds/dV x_i = u g_i,    ds/du = sum of V x_i g_i + W x_j g_j.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch_geometric.nn import GATv2Conv

from evaluators.engine.csr import Csr
from evaluators.engine.edges import Edges
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
        return attend(scores, sent, edges, self.heads)
