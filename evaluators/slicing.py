"""Runs slices of a supernet: on the engine where it reads their networks, else as modules.

For training no network is built with weights: it is made on torch's meta device, once for what it
calls, and computes with slices of the shared weights, which gradients flow back to. One with
constants of its own is built as it is.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch_geometric.nn import MessagePassing

from evaluators._batches import Batch, Batches
from evaluators._dropout import set_dropout
from evaluators._faults import network_fault
from evaluators._normalization import recalibrate
from evaluators.engine.dropout import Draws
from evaluators.engine.kernels._base import Pass, kernel_of, kernels
from evaluators.engine.program import Compiled, Program
from evaluators.engine.reading import read_calls
from evaluators.engine.stack import Slices
from evaluators.engine.tracing import UnreadableError, traced
from evaluators.engine.values import Input
from search_spaces import Architecture
from search_spaces.slices import Weights
from search_spaces.supernet import Supernet

# Networks that are kept: those of a population come back, those of a sampler hardly ever.
_KEPT = 1024
_GRAPHS_AT_A_TIME = 512
_CPU = torch.device("cpu")
# What batch normalization and quantizers of activations keep of what they have seen.
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked", "range_low", "range_high")


@dataclass(frozen=True, eq=False)
class _Made:
    """A network without values, and how the engine computes it; None where it does not."""

    network: nn.Module
    program: Program | None


class Subnets:
    """The networks of a supernet on one dataset.

    Args:
        supernet: whose slices they are.
        batches: of the dataset.
        dropout: the probability, in training.
        by_modules: leave the engine alone, which knows the features of the dataset and no others.
    """

    def __init__(
        self,
        supernet: Supernet,
        batches: Batches,
        dropout: float = 0.0,
        *,
        by_modules: bool = False,
    ) -> None:
        kernels()
        self._by_modules = by_modules or batches.by_graph
        self.supernet, self.batches, self.dropout = supernet, batches, dropout
        self._made = lru_cache(maxsize=_KEPT)(self._make)
        self._calls: dict[object, fx.Graph] = {}

    def trained(
        self,
        weights: Weights,
        architecture: Architecture,
        batch: Batch,
        seed: tuple[int, ...] | None,
    ) -> Tensor:
        """The logits [rows, C] of a batch in training; gradients flow back to the weights.

        Args:
            seed: of what is dropped; None for nothing.
        """
        made, parameters = self._made(architecture), self.supernet.weights(weights, architecture)
        if made.program is not None:
            return self._computed(parameters, made, batch, seed)
        return self._called(parameters, made, batch, seed)

    def evaluated(self, weights: Weights, architecture: Architecture, units: Tensor) -> Tensor:
        """The logits [U, C] of units, nothing dropped, batch normalization recalibrated."""
        parameters = self.supernet.weights(weights, architecture)
        return self.evaluated_with(parameters, architecture, units)

    def evaluated_with(
        self, parameters: dict[str, Tensor], architecture: Architecture, units: Tensor
    ) -> Tensor:
        """The same of a network with these parameters, by their names in it."""
        made = self._made(architecture)
        with torch.no_grad():
            if made.program is not None:
                batch = self.batches.of(units)
                return self._computed(parameters, made, batch, None)
            network = self._recalibrated(parameters, architecture)
            batches = self.batches.split(units, _GRAPHS_AT_A_TIME)
            with network_fault("evaluating the network"):
                return torch.cat([batch.select(network(*batch.inputs)) for batch in batches])

    def network(self, weights: Weights, architecture: Architecture) -> nn.Module:
        """A network of its own with a copy of its slices, recalibrated, in evaluation mode."""
        parameters = self.supernet.weights(weights, architecture)
        return self._recalibrated(parameters, architecture)

    def _recalibrated(self, parameters: Weights, architecture: Architecture) -> nn.Module:
        network = self.supernet.network_of(parameters, architecture)
        train = self.batches.dataset.train.nonzero()[:, 0]
        with network_fault("recalibrating the network"):
            recalibrate(network, self.batches.split(train, _GRAPHS_AT_A_TIME))
        return network

    def _make(self, architecture: Architecture) -> _Made:
        space, dataset = self.supernet.space, self.batches.dataset
        with torch.device("meta"):
            network = space.network(architecture, self.supernet.task)
        if _has_constants(network):
            network = space.network(architecture, self.supernet.task)
        if self._by_modules:
            set_dropout(network, self.dropout, None)
            return _Made(network, None)
        try:
            graph = self._traced(architecture, network)
            program = read_calls(network, dataset.x.size(1), graph)
        except UnreadableError:
            program = None
        if program is None or program.stock:
            set_dropout(network, self.dropout, self.batches.sparse_features)
            return _Made(network, None)
        return _Made(network, program)

    def _traced(self, architecture: Architecture, network: nn.Module) -> fx.Graph:
        """What a network calls, which is the same for all that are put together alike."""
        around = [(n, c) for n, c in architecture.structure.items() if not n.startswith("layer")]
        inner = [
            (path, type(module))
            for path, module in network.named_modules()
            if kernel_of(module) is None and not isinstance(module, MessagePassing)
        ]
        key = (*((n, c) for n, c in around if not n.endswith("width")), *inner)
        if key not in self._calls:
            self._calls[key] = traced(network)
        return self._calls[key]

    def _computed(
        self,
        parameters: dict[str, Tensor],
        made: _Made,
        batch: Batch,
        seed: tuple[int, ...] | None,
    ) -> Tensor:
        """By the engine. Rows that a batch normalization mixes are normalized by themselves."""
        program = made.program
        if program is None or batch.rows is None:
            raise ValueError("the engine computes nodes of networks that it has read")
        state = _state(parameters, made.network)
        dtype = next(iter(parameters.values())).dtype
        graph = self.batches.graph(dtype, _CPU)
        compiled = Compiled([program], Slices([made.network], graph.dtype, _CPU, [state]))
        is_training = seed is not None or program.mixes_rows
        view = graph.view(batch.rows, program, training=is_training)
        at = Pass(view.field, 1, self._draws(seed, dtype) if is_training else None)
        logits = compiled(at, Input(view.features, view.field.rows(program.hops)))
        return view.field.of_units(logits)[0]

    def _draws(self, seed: tuple[int, ...] | None, dtype: torch.dtype) -> Draws:
        p = 0.0 if seed is None else self.dropout
        stream = seed or (0,)
        return Draws([stream], [0], [p], share_input=False, dtype=dtype, device=_CPU)

    def _called(
        self,
        parameters: dict[str, Tensor],
        made: _Made,
        batch: Batch,
        seed: tuple[int, ...] | None,
    ) -> Tensor:
        """By the modules themselves."""
        network, state = made.network, _state(parameters, made.network)
        network.train()
        if seed is None:
            for module in network.modules():
                if isinstance(module, nn.Dropout):
                    module.eval()
        else:
            torch.manual_seed(hash(seed) % 2**63)
        with network_fault("training the network"):
            logits: Tensor = functional_call(network, state, batch.inputs)
        return batch.select(logits)


def _state(parameters: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Parameters, statistics as new, which are of no use here, and what never changes."""
    own, dtype = dict(parameters), next(iter(parameters.values())).dtype
    for name, buffer in network.named_buffers():
        new = _as_new(name, buffer) if _is_statistic(name) else buffer
        own[name] = new.to(dtype) if new.is_floating_point() else new
    return own


def _has_constants(network: nn.Module) -> bool:
    """Whether modules keep tensors besides parameters and statistics: they need their values."""
    kept = (value for module in network.modules() for value in vars(module).values())
    others = (name for name, _ in network.named_buffers() if not _is_statistic(name))
    return any(others) or any(isinstance(value, Tensor) for value in kept)


def _is_statistic(buffer: str) -> bool:
    return buffer.endswith(_STATISTICS)


def _as_new(name: str, buffer: Tensor) -> Tensor:
    make = torch.ones if name.endswith("running_var") else torch.zeros
    return make(buffer.shape, dtype=buffer.dtype)
