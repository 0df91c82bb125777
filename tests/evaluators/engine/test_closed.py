"""Modules from elsewhere that do more than call others run as they are, in a fast network."""

import pytest
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from evaluators.engine.kernels.stock import Stock
from evaluators.engine.reading import read
from evaluators.engine.tracing import UnreadableError
from search_spaces import ChangesInTraining


class Halved(nn.Module):
    """Reads the weight of a module that it does not call."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.linear.weight / 2, self.linear.bias)


class Caller(nn.Module):
    """Calls others, and does nothing else."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x


class Network(nn.Module):
    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part, self.layer = part, GCNConv(4, 3)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.layer(self.part(x), edge_index)


def kinds(network: nn.Module) -> list[str]:
    """The kinds of modules that its program runs as they are."""
    return [kind for _, kind in read(network, 5).stock]


def test_what_reads_weights_is_run_as_it_is():
    """The rest of the network has its kernels."""
    network = Network(Halved(nn.Linear(5, 4)))
    assert kinds(network) == ["Halved"]
    assert [step.kernel is Stock for step in read(network, 5).steps] == [True, False]


def test_what_only_calls_is_read_through():
    assert kinds(Network(Caller(nn.Linear(5, 4), nn.ReLU()))) == []
    assert kinds(Network(Caller(Halved(nn.Linear(5, 4)), nn.ReLU()))) == ["Halved"]


def test_what_changes_from_epoch_to_epoch_is_not_read():
    class Annealed(Halved):
        def begin_epoch(self, epoch: int, loss: object) -> None: ...

    assert isinstance(Annealed(nn.Linear(5, 4)), ChangesInTraining)
    for part in (Annealed(nn.Linear(5, 4)), Caller(Annealed(nn.Linear(5, 4)))):
        with pytest.raises(UnreadableError, match="changes from epoch to epoch"):
            read(Network(part), 5)
