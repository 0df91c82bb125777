"""Facts of a network that need no training: trainable parameters and multiply-accumulates.

Definition of `macs`, for one forward pass in evaluation mode over the workload (the whole graph for
a node task, the mean graph for a graph task, nodes and edges rounded):

* a matrix product [M, N] x [N, K] counts M * N * K, a batch of them as many times;
* a scatter, index-add or segment reduction counts one for each element that it reads: a sum over E
  messages of width F counts E * F, and so does a maximum;
* everything else (activations, normalization, edge weights, biases, the scores of attention apart
  from the reductions over edges in their softmax) counts nothing.

A linear layer costs N * F * C. A GCN layer costs N * F * H, plus (E + N) * H for the messages with
self-loops, plus E + N for the degrees where it computes them itself.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from evaluators._faults import CandidateError, network_fault
from search_spaces import Architecture, SearchSpace, Task

__all__ = ["CandidateError", "facts"]


def facts(space: SearchSpace, architecture: Architecture, task: Task) -> dict[str, int]:
    """`params` (trainable numbers) and `macs` (see above) of an architecture's network.

    Runs on torch's meta device: shapes alone are computed, and masks are taken to choose all (that
    no edge is a self-loop). A network that needs values is run once on zeros instead, on a ring of
    the same size: as slow, and as large in memory, as its inference.

    Raises:
        CandidateError: the network cannot be built or run; its `failure` says why.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            return _count(space, architecture, task, "meta")
        except Exception:  # any operation without a meta kernel has its own type of error
            with network_fault("counting the network"):
                return _count(space, architecture, task, "cpu")


def _count(
    space: SearchSpace, architecture: Architecture, task: Task, device: str
) -> dict[str, int]:
    with torch.device(device):
        # Moved too: the old constructor `torch.Tensor(n)` (ChebConv) ignores the default device.
        network = space.network(architecture, task).to(device).eval()
        inputs = _workload(task)
    params = sum(p.numel() for p in network.parameters() if p.requires_grad)
    with torch.device(device), torch.no_grad(), _MacCounter() as counter:
        network(*inputs)
    return {"params": params, "macs": counter.macs}


def _workload(task: Task) -> tuple[Tensor, ...]:
    """Inputs of the task's size on the current default device."""
    nodes = max(1, round(task.n_nodes / task.n_graphs))
    edges = round(task.n_edges / task.n_graphs)
    ring = torch.arange(edges) % nodes
    x, edge_index = torch.zeros(nodes, task.n_features), torch.stack([ring, (ring + 1) % nodes])
    if not task.is_graph_task:
        return x, edge_index
    return x, edge_index, torch.zeros(nodes, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)


def _all_chosen(indices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Without values, a mask chooses everything: no edge of the workload is a self-loop."""
    chosen: list[Tensor | None] = []
    for index in indices:
        if index is not None and index.is_meta and index.dtype == torch.bool:
            everything = torch.empty(index.numel(), dtype=torch.int64, device="meta")
            chosen += [everything] * index.dim()
        else:
            chosen.append(index)
    return chosen


def _product(a: Tensor, b: Tensor) -> int:
    return a.numel() * b.size(-1)


_Count = Callable[[tuple[Any, ...]], int]
_COSTS: Mapping[str, _Count] = {
    "mm": lambda args: _product(args[0], args[1]),
    "bmm": lambda args: _product(args[0], args[1]),
    "addmm": lambda args: _product(args[1], args[2]),
    "baddbmm": lambda args: _product(args[1], args[2]),
    "mv": lambda args: int(args[0].numel()),
    "dot": lambda args: int(args[0].numel()),
    # (self, dim, index, source, ...): as many elements are read as there are indices
    "scatter_add": lambda args: int(args[2].numel()),
    "scatter_reduce": lambda args: int(args[2].numel()),
    "index_add": lambda args: int(args[3].numel()),
    "index_reduce": lambda args: int(args[3].numel()),
    "segment_reduce": lambda args: int(args[0].numel()),
}


class _MacCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__.rstrip("_")
        if name in ("index", "index_put"):
            args = (args[0], _all_chosen(args[1]), *args[2:])
        if name in _COSTS:
            self.macs += _COSTS[name](args)
        elif name == "index_put" and len(args) > 3 and args[3]:
            self.macs += args[2].numel()
        return func(*args, **(kwargs or {}))
