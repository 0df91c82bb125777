"""Modules that have no kernel of their own: each network's own module, one after the other."""

import copy

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from evaluators._faults import network_fault
from evaluators.engine.kernels._base import Kernel, Pass
from evaluators.engine.kernels._site import Site
from evaluators.engine.stack import Columns, exact, places
from evaluators.engine.values import Input, Value, dense, head
from search_spaces.quantization.layers import reads_sparse


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
        self._reads_sparse = all(map(reads_sparse, site.modules))
        device = site.stack.device
        self._places = [
            places(own).to(device) if _is_padded(own) else slice(None) for own in site.columns
        ]

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        module = self.modules[0]
        hops = self.hops(module)
        rows = at.field.rows(need)
        value = head(value, at.field.rows(need + hops))
        xs = self._sparse(value, at.runs) or self._dense(value, at.runs)
        edges = at.field.edge_index(rows) if hops else torch.empty(0)
        outputs = []
        for run, module in enumerate(self.modules):
            module.train(at.training)
            if at.draws is not None:
                at.draws.seed_torch(run)
            with network_fault("running the network"):
                outputs.append(module(*_arguments(module, xs[run], edges))[:rows])
        return torch.stack(outputs)

    def _dense(self, value: Value, runs: int) -> list[Tensor]:
        """What each run's module is given."""
        x = dense(value).expand(runs, -1, -1)
        return [x[run][:, self._places[run]] for run in range(runs)]

    def _sparse(self, value: Value, runs: int) -> list[Tensor]:
        """The same of sparse features, where modules take them so; of others none."""
        if not (self._reads_sparse and isinstance(value, Input)):
            return []
        if value.features.sparse is None or value.rest is not None:
            return []
        matrix = value.features.sparse.head(value.rows)
        values = matrix.values[None] if value.kept is None else matrix.values * value.kept
        return [matrix.tensor(each) for each in values.expand(runs, -1)]


def _is_padded(columns: Columns) -> bool:
    return any(own != size for own, size in columns)


def _arguments(module: nn.Module, x: Tensor, edge_index: Tensor) -> tuple[Tensor, ...]:
    return (x, edge_index) if isinstance(module, MessagePassing) else (x,)
