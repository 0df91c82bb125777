"""GraphSAGE on CSR: the mean, sum or maximum over neighbors, and the node itself."""

from torch import nn
from torch_geometric.nn import SAGEConv

from evaluators.engine.kernels._neighbors import NeighborsAndSelf, aggregates


class Sage(NeighborsAndSelf):
    """aggregate(x) W + x V + b."""

    types = (SAGEConv,)
    maps = ("lin_l", "lin_r")

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:
        return (
            isinstance(module, SAGEConv)
            and module.root_weight
            and not (module.project or module.normalize)
            and aggregates(module)
        )
