"""Personalized PageRank by power iteration, on CSR."""

import torch
from torch import nn
from torch_geometric.nn import APPNP

from evaluators.engine.kernels._base import Kernel, Pass
from evaluators.engine.kernels._site import Site
from evaluators.engine.values import Value, dense, head


class Appnp(Kernel):
    """z_k+1 = (1 - alpha) A z_k + alpha z_0, for A = D^-1/2 (A + I) D^-1/2."""

    types = (APPNP,)

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:
        return (
            isinstance(module, APPNP)
            and module.normalize
            and module.add_self_loops
            and not (module.cached or module.dropout)
            and module.aggr == "add"
            and module.flow == "source_to_target"
        )

    @classmethod
    def hops(cls, module: nn.Module) -> int:
        return int(module.K)  # type: ignore[arg-type]

    @classmethod
    def signature(cls, module: nn.Module) -> str:
        return f"hops={module.K}, alpha={module.alpha}"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.count = self.hops(site.modules[0])
        self.alpha = float(site.modules[0].alpha)  # type: ignore[arg-type]

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        value = dense(head(value, at.field.rows(need + self.count)))
        # The first value is needed in full by the first step alone.
        teleported: Value = value[:, : at.field.rows(need + self.count - 1)] * self.alpha
        for step in reversed(range(need, need + self.count)):
            teleported = head(teleported, at.field.rows(step))
            received = dense(at.propagate("gcn", value, step))
            value = torch.add(dense(teleported), received, alpha=1 - self.alpha)
        return value
