"""Facts of a network that need no training: what it takes in numbers, operations, bits and memory.

Definition of `macs`, for one forward pass in evaluation mode over the workload (the whole graph for
a node task, the mean graph for a graph task, nodes and edges rounded):

* a matrix product [M, N] x [N, K] counts M * N * K, a batch of them as many times;
* a scatter, index-add or segment reduction counts one for each element that it reads: a sum over E
  messages of width F counts E * F, and so does a maximum;
* everything else (activations, normalization, edge weights, biases, the scores of attention apart
  from the reductions over edges in their softmax) counts nothing.

A linear layer costs N * F * C. A GCN layer costs N * F * H, plus (E + N) * H for the messages with
self-loops, plus E + N for the degrees where it computes them itself. Where a network chooses among
the edges (`search_spaces.extension.ChoosesEdges`), E is from there on what it leaves of the graph.

`peak_memory_bytes`, of the same pass: weights, buffers and inputs, and the most that tensors made
by operations take at one time. What a kernel allocates for itself is not in it.

Of networks with few bits (`search_spaces.extensions.quantization`; in others all numbers have 32):

* `model_bytes`: what weights and buffers take in the file of a bundle, without its header; of
  weights with single entries pruned, what is left (`search_spaces.sparsity.storage`);
* `bit_operations`: as `macs`, where a product of numbers of a and b bits counts a * b, and the sum
  of a number of b bits counts b;
* `buffer_bytes`: the largest operand of what is counted there, weights apart, in its bits: what has
  to be kept between two operations at least.

The extensions of a space bring facts of their own, computed from the network as they made it. Where
a network trains more than it leaves (`search_spaces.extensions.sparsity`), all are of what it will
leave: of the smaller network, without what remembers which weights and edges are left.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from evaluators._faults import CandidateError
from evaluators.latency.shapes import network_inputs, without_values
from evaluators.latency.values import Workload
from evaluators.latency.watching import Watcher, held_bytes
from search_spaces import Architecture, SearchSpace, Task
from search_spaces.extension import ChoosesEdges
from search_spaces.quantization.quantizers import ActivationQuantizer, WeightQuantizer
from search_spaces.quantization.storage import stored_bytes
from search_spaces.sparsity.edges import Edges, Share
from search_spaces.sparsity.storage import saved_bytes

__all__ = ["CandidateError", "facts"]


def facts(
    space: SearchSpace,
    architecture: Architecture,
    task: Task,
    in_degrees: Tensor | None = None,
    *,
    kept: Callable[[Edges], int] | None = None,
) -> dict[str, float]:
    """All of `FACTS`, and the space's own, of a network; `params` are its trainable numbers.

    Runs on torch's meta device: shapes alone are computed, and masks are taken to choose all (that
    no edge is a self-loop). A network that needs values is run once on zeros instead, on a ring of
    the same size: as slow, and as large in memory, as its inference.

    Args:
        in_degrees: [n_nodes], for networks that choose among edges; without it they keep all.
        kept: how many edges a ticket or a rule leaves of the task's graph; without it as many as if
            each had both directions and none were a self-loop.

    Raises:
        CandidateError: the network cannot be built or run; its `failure` says why.
    """
    load = Workload.of(task)

    def count(device: torch.device) -> dict[str, float]:
        # Moved too: the old constructor `torch.Tensor(n)` (ChebConv) ignores the default device.
        made = space.network(architecture, task)
        saved = saved_bytes(made)
        network = space.counted(made, architecture).to(device).eval()
        inputs = network_inputs(task, _load(network, load, in_degrees, kept))
        if in_degrees is not None:
            _keep_edges(network, task, in_degrees, kept)
        params = sum(p.numel() for p in network.parameters() if p.requires_grad)
        stored = stored_bytes(network) - saved
        with _Counter(network) as counter:
            network(*inputs)
        peak = held_bytes(network, inputs) + counter.peak_bytes
        own = {name: _finite(name, f(network, architecture)) for name, f in space.facts.items()}
        return {
            "params": params,
            "macs": counter.macs,
            "peak_memory_bytes": peak,
            "model_bytes": stored,
            "buffer_bytes": counter.buffer_bytes,
            "bit_operations": counter.bit_operations,
            **own,
        }

    return without_values(count, "counting the network")


def _load(
    network: nn.Module,
    load: Workload,
    in_degrees: Tensor | None,
    kept: Callable[[Edges], int] | None,
) -> Workload:
    """A graph that leaves with the network has no edge but those that are left of it."""
    shares = [module for module in network.modules() if isinstance(module, Share)]
    if in_degrees is None or not shares:
        return load
    return replace(load, edges=min(_left(share, in_degrees, kept) for share in shares))


def _keep_edges(
    network: nn.Module,
    task: Task,
    in_degrees: Tensor,
    kept: Callable[[Edges], int] | None,
) -> None:
    """Let what chooses among edges leave as many as of the dataset itself."""
    for module in network.modules():
        if isinstance(module, ChoosesEdges):
            count = round(_left(module, in_degrees, kept) / task.n_graphs)
            # Without values a mask has chosen all, and a ring loses no more edges than the graph.
            module.register_forward_hook(lambda _module, _edges, left, count=count: left[:, :count])


def _left(module: ChoosesEdges, in_degrees: Tensor, kept: Callable[[Edges], int] | None) -> int:
    if kept is not None and isinstance(module, Edges):
        return kept(module)
    return module.edges_kept(in_degrees)


def _finite(name: str, value: float) -> float:
    number = float(value)  # of NumPy or torch, perhaps, which JSON does not have
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}, expected a finite number")
    return number


def _product(a: Tensor, b: Tensor) -> int:
    return a.numel() * b.size(-1)


_Count = Callable[[tuple[Any, ...]], int]
# Of each operation how much it counts, and which of its arguments are multiplied, or summed.
_COSTS: Mapping[str, tuple[_Count, tuple[int, ...]]] = {
    "mm": (lambda args: _product(args[0], args[1]), (0, 1)),
    "bmm": (lambda args: _product(args[0], args[1]), (0, 1)),
    "addmm": (lambda args: _product(args[1], args[2]), (1, 2)),
    "baddbmm": (lambda args: _product(args[1], args[2]), (1, 2)),
    "mv": (lambda args: int(args[0].numel()), (0, 1)),
    "dot": (lambda args: int(args[0].numel()), (0, 1)),
    # (self, dim, index, source, ...): as many elements are read as there are indices
    "scatter_add": (lambda args: int(args[2].numel()), (3,)),
    "scatter_reduce": (lambda args: int(args[2].numel()), (3,)),
    "index_add": (lambda args: int(args[3].numel()), (3,)),
    "index_reduce": (lambda args: int(args[3].numel()), (3,)),
    "segment_reduce": (lambda args: int(args[0].numel()), (0,)),
    "index_put": (lambda args: int(args[2].numel()), (2,)),
}
_FLOAT_BITS = 32


class _Counter(Watcher):  # type: ignore[no-untyped-call]
    """Counts `macs`, `bit_operations` and `buffer_bytes`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.macs, self.bit_operations, self.buffer_bytes = 0, 0, 0.0
        self._weights = {p.untyped_storage()._cdata for p in network.parameters()}
        # The storages of numbers of few bits, and of weights; each is forgotten with its tensors.
        self._bits: WeakKeyDictionary[Any, tuple[int, bool]] = WeakKeyDictionary()
        for module in network.modules():
            if isinstance(module, WeightQuantizer | ActivationQuantizer):
                module.register_forward_hook(self._quantized)

    def saw(self, name: str, args: tuple[Any, ...], result: Any) -> None:  # noqa: ARG002
        if name not in _COSTS or (name == "index_put" and not (len(args) > 3 and args[3])):
            return
        count, places = _COSTS[name]
        known = [self._operand(args[place]) for place in places]
        macs = count(args)
        self.macs += macs
        self.bit_operations += macs * math.prod(bits for bits, _ in known)
        for place, (bits, is_weight) in zip(places, known, strict=True):
            if not is_weight:
                self.buffer_bytes = max(self.buffer_bytes, args[place].numel() * bits / 8)

    def _operand(self, operand: Any) -> tuple[int, bool]:
        """The bits of its numbers, and whether they are weights."""
        if not isinstance(operand, Tensor):  # a number
            return _FLOAT_BITS, False
        storage = operand.untyped_storage()
        return self._bits.get(storage, (_FLOAT_BITS, storage._cdata in self._weights))

    def _quantized(self, module: nn.Module, _: Any, result: Tensor) -> None:
        if isinstance(module, WeightQuantizer | ActivationQuantizer) and not module.format.is_float:
            is_weight = isinstance(module, WeightQuantizer)
            self._bits[result.untyped_storage()] = module.format.bits, is_weight
