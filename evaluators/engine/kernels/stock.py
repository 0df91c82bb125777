"""Modules that have no kernel of their own: each network's own module, one after the other."""

import copy

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from evaluators._faults import network_fault
from evaluators.engine.kernels._base import Kernel, Pass
from evaluators.engine.kernels._site import Site
from evaluators.engine.stack import Columns, exact, places
from evaluators.engine.values import Value, dense, head


class Stock(Kernel):
    """A module as it is, on the field's own edges.

    What its output at a node depends on is not known, so programs compute the whole graph.
    """

    @classmethod
    def hops(cls, module: nn.Module) -> int:
        return 1 if isinstance(module, MessagePassing) else 0

    @classmethod
    def columns(cls, module: nn.Module, columns: Columns) -> Columns:
        """By a trial run of a copy, on two nodes without edges."""
        parameter = next(module.parameters(), torch.empty(0))
        x = torch.zeros(2, sum(own for own, _ in columns), dtype=parameter.dtype)
        tried = copy.deepcopy(module).eval()
        with torch.no_grad(), network_fault("trying the module on two nodes"):
            out = tried(*_arguments(module, x, torch.empty(2, 0, dtype=torch.int64)))
        return exact(out.size(1))

    @classmethod
    def signature(cls, module: nn.Module) -> str:
        return repr(module)

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        site.stack.keep(site.path)
        device = site.stack.device
        self._places = [
            places(own).to(device) if _is_padded(own) else slice(None) for own in site.columns
        ]

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        module = self.modules[0]
        hops = self.hops(module)
        rows = at.field.rows(need)
        x = dense(head(value, at.field.rows(need + hops))).expand(at.runs, -1, -1)
        edges = at.field.edge_index(rows) if hops else torch.empty(0)
        outputs = []
        for run, module in enumerate(self.modules):
            module.train(at.training)
            if at.draws is not None:
                at.draws.seed_torch(run)
            own = x[run][:, self._places[run]]
            with network_fault("running the network"):
                outputs.append(module(*_arguments(module, own, edges))[:rows])
        return torch.stack(outputs)


def _is_padded(columns: Columns) -> bool:
    return any(own != size for own, size in columns)


def _arguments(module: nn.Module, x: Tensor, edge_index: Tensor) -> tuple[Tensor, ...]:
    return (x, edge_index) if isinstance(module, MessagePassing) else (x,)
