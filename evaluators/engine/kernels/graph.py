"""The 1-dimensional k-GNN on CSR: the sum, mean or maximum over neighbors, and the node itself."""

from torch import nn
from torch_geometric.nn import GraphConv

from evaluators.engine.kernels._neighbors import NeighborsAndSelf, aggregates


class Graph(NeighborsAndSelf):
    """aggregate(x) W + x V + b."""

    types = (GraphConv,)
    maps = ("lin_rel", "lin_root")

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:
        return aggregates(module)
