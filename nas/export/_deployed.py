"""The module that is exported: raw features and edges are prepared, then read by the network."""

import copy

import torch
from torch import Tensor, nn

from evaluators.datasets._base import Preprocessing
from nas.export._base import Contract, Edges, ExportError
from nas.export._edges import undirected


class Preprocess(nn.Module):
    """Raw features [N, F] to what the network was trained on, [N, F].

    Raises:
        ExportError: standardization without its mean and deviation.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.features = preprocessing.features
        if preprocessing.features != "standardize":
            return
        if preprocessing.mean is None or preprocessing.std is None:
            raise ExportError("features are standardized, but their mean or deviation is missing")
        self.register_buffer("mean", preprocessing.mean.detach().clone())
        self.register_buffer("std", preprocessing.std.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        if self.features == "row":
            return row_normalized(x)
        if self.features == "standardize":
            return (x - self.mean) / self.std
        return x


def row_normalized(x: Tensor) -> Tensor:
    """Each row [F] divided by its sum; a row whose sum is 0 stays as it is."""
    total = x.sum(dim=-1, keepdim=True)
    return x / torch.where(total == 0, torch.ones_like(total), total)


class Deployed(nn.Module):
    """A network behind what prepares its inputs; subclasses take them."""

    def __init__(self, preprocessing: Preprocess, network: nn.Module, edges: Edges) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.network = network
        self.edges = edges

    def prepared(self, x: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
        """Features and edges as the network was trained on them."""
        if self.edges == "undirected":
            edge_index = undirected(edge_index, x.size(0))
        return self.preprocessing(x), edge_index


class _DeployedNodes(Deployed):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        logits: Tensor = self.network(*self.prepared(x, edge_index))
        return logits


class _DeployedGraphs(Deployed):
    def forward(self, x: Tensor, edge_index: Tensor, graph_ids: Tensor, graphs: Tensor) -> Tensor:
        logits: Tensor = self.network(*self.prepared(x, edge_index), graph_ids, graphs)
        return logits


def deployed(network: nn.Module, preprocessing: Preprocessing, contract: Contract) -> Deployed:
    """A copy of the network behind its preprocessing, for inference: on the CPU, without gradients.

    Its inputs are the contract's. The network itself is left as it was.
    """
    kind = _DeployedGraphs if contract.is_graph_task else _DeployedNodes
    module = kind(Preprocess(preprocessing), copy.deepcopy(network).cpu(), contract.edges)
    return module.eval().requires_grad_(False)
