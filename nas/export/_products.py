"""Products with weights of which single entries are left: by these alone where that is faster here.

A weight in rows of its entries (CSR) is multiplied as

    y[n, o] = sum over the entries j of row o of  value[j] * x[n, column[j]]

by torch's `embedding_bag` on the columns of x. Programs of torch.export hold it as they hold any
operation; torch's own sparse tensors they refuse (torch 2.13). Zeros in a dense product cost what
all numbers cost, and a dense product is so much faster a number that most pruned weights are better
left whole: so both are timed, in turns, on as many rows as the graph has.
"""

import copy
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import Linear as PygLinear

from evaluators.latency.clocks import clock_of
from nas.export._parity import rounds_activations
from search_spaces.quantization.mixins import Reads
from search_spaces.sparsity.storage import masks

# Whose programs have the maps of the network as they are.
EXPORTERS = ("pt2", "aoti")
# Multiplications of one product at most, for which fewer rows are taken; seconds for all products
# together, beside the least rounds of each.
_MOST, _SECONDS = 2**28, 1.0
_LEAST_ROUNDS, _MOST_ROUNDS = 4, 40
# In what share of the rounds entries alone must be faster, to be faster.
_MOSTLY = 0.9

Run: TypeAlias = Callable[[], object]
# Seconds of each function in each round, of functions and of how many seconds that may take.
Rounds: TypeAlias = Callable[[Sequence[Run], float], Sequence[Sequence[float]]]


@dataclass(frozen=True)
class Product:
    """How long the product with a weight took.

    Attributes:
        rows: that were multiplied.
        dense, sparse: seconds, a round each, of the whole matrix and of the entries that are left.
    """

    rows: int
    dense: tuple[float, ...]
    sparse: tuple[float, ...]

    @property
    def is_faster(self) -> bool:
        """Whether entries alone are, by more than rounds differ among each other: in 9 of 10."""
        pairs = zip(self.sparse, self.dense, strict=True)
        return sum(sparse < dense for sparse, dense in pairs) >= _MOSTLY * len(self.dense)

    @property
    def times_as_long(self) -> float:
        """Of entries alone, by the medians."""
        return statistics.median(self.sparse) / statistics.median(self.dense)


class SparseMap(nn.Module):
    """A linear map that multiplies by the entries of its weight that are not 0.

    Args:
        map_: with its weight [outputs, inputs].
    """

    rows: Tensor
    columns: Tensor
    values: Tensor

    def __init__(self, map_: nn.Linear | PygLinear) -> None:
        super().__init__()
        # Apart from the sparse tensor, whose views cannot be traced.
        csr = map_.weight.detach().to_sparse_csr()
        self.register_buffer("rows", csr.crow_indices().clone())
        self.register_buffer("columns", csr.col_indices().clone())
        self.register_buffer("values", csr.values().clone())
        self.bias = map_.bias
        self.input_quantizer = map_.input_quantizer if isinstance(map_, Reads) else None

    def forward(self, x: Tensor) -> Tensor:
        if self.input_quantizer is not None:
            x = self.input_quantizer(x)
        flat = x.reshape(-1, x.size(-1))
        product = F.embedding_bag(
            self.columns,
            flat.t().contiguous(),
            self.rows,
            mode="sum",
            include_last_offset=True,
            per_sample_weights=self.values,
        ).t()
        if self.bias is not None:
            product = product + self.bias
        return product.reshape(*x.shape[:-1], product.size(-1))


@dataclass(frozen=True)
class Products:
    """Of all pruned weights of a network, how they are multiplied.

    Attributes:
        pruned: how many weights have single entries pruned.
        why_not: why none of them is multiplied by its entries, whatever that would cost.
        of: those that were timed, by the path of their map.
    """

    pruned: int
    why_not: str
    of: Mapping[str, Product]

    def executed(self, leaving: nn.Module) -> nn.Module:
        """A copy that multiplies by entries where that was faster; itself where it never was."""
        faster = [path for path, product in self.of.items() if product.is_faster]
        if not faster:
            return leaving
        network = copy.deepcopy(leaving)
        for path in faster:
            map_: Any = network.get_submodule(path)
            network.set_submodule(path, SparseMap(map_))
        return network.eval().requires_grad_(False)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is said of it to whoever deploys the network."""
        dense = "as dense matrices, zeros included"
        if self.pruned and self.why_not:
            return (f"{_weights(self.pruned)} {dense}: {self.why_not}.",)
        said = []
        if faster := [p for p in self.of.values() if p.is_faster]:
            said.append(
                f"{_weights(len(faster))} by the entries that are left (CSR), which took "
                f"{_span(faster)} times as long as dense products where it was exported, "
                f"{_rows(faster)}."
            )
        if others := [p for p in self.of.values() if not p.is_faster]:
            said.append(
                f"{_weights(len(others))} {dense}: by the entries that are left (CSR) it would "
                f"have taken {_span(others)} times as long where it was exported, {_rows(others)}."
            )
        if rest := self.pruned - len(self.of):
            said.append(f"{_weights(rest)} {dense}: they are not those of linear maps, or all 0.")
        return tuple(said)


def timed_products(
    searched: nn.Module, leaving: nn.Module, exporter: str, rows: int, rounds: Rounds | None = None
) -> Products:
    """Time the products of linear maps with single entries pruned, where that can decide anything.

    Args:
        searched: the network with its masks.
        leaving: what is written, with the same names.
        exporter: that writes it.
        rows: of the graph.
        rounds: times functions; by default `in_turns`.
    """
    pruned, why_not = len(masks(searched)), _why_not(exporter, leaving)
    maps = {} if why_not else _maps(searched, leaving)
    seconds = _SECONDS / max(1, len(maps))
    found = {path: _timed(map_, rows, seconds, rounds or in_turns) for path, map_ in maps.items()}
    return Products(pruned, why_not, found)


def _why_not(exporter: str, leaving: nn.Module) -> str:
    if exporter not in EXPORTERS:
        return f"the exporter {exporter} has products of its own"
    if rounds_activations(leaving):
        return "sums in another order could round its activations to other numbers"
    return ""


def in_turns(runs: Sequence[Run], seconds: float) -> list[list[float]]:
    """Seconds of each function in each round, one after the other; each has run once before.

    Of CPU time where torch has one thread, so that what else runs here does not count.
    """
    clock = clock_of("cpu", torch.get_num_threads())
    for run in runs:
        clock(run, 1)
    found: list[list[float]] = [[] for _ in runs]
    began = time.perf_counter()
    while len(found[0]) < _LEAST_ROUNDS or (
        len(found[0]) < _MOST_ROUNDS and time.perf_counter() - began < seconds
    ):
        for own, run in zip(found, runs, strict=True):
            own.append(clock(run, 1).figure)
    return found


def _maps(searched: nn.Module, leaving: nn.Module) -> dict[str, nn.Linear | PygLinear]:
    found: dict[str, nn.Linear | PygLinear] = {}
    for name in masks(searched):
        path, _, own = name.rpartition(".")
        module = leaving.get_submodule(path)
        if own == "weight" and isinstance(module, nn.Linear | PygLinear) and module.weight.any():
            found[path] = module
    return found


def _timed(map_: nn.Linear | PygLinear, rows: int, seconds: float, rounds: Rounds) -> Product:
    weight = map_.weight.detach()
    rows = max(1, min(rows, _MOST // weight.numel()))
    x = torch.rand(rows, weight.size(1), generator=torch.Generator().manual_seed(0))
    plain = nn.Linear(weight.size(1), weight.size(0), bias=False)
    plain.weight = nn.Parameter(weight, requires_grad=False)
    sparse = SparseMap(plain)
    with torch.inference_mode():
        # Made contiguous, as whatever reads it next wants it.
        runs = (lambda: plain(x), lambda: sparse(x).contiguous())
        dense, alone = rounds(runs, seconds)
    return Product(rows, tuple(dense), tuple(alone))


def _weights(count: int) -> str:
    return f"{count} of its pruned weights {'is' if count == 1 else 'are'} multiplied"


def _span(products: Sequence[Product]) -> str:
    low, high = (f(p.times_as_long for p in products) for f in (min, max))
    ends = dict.fromkeys(f"{end:.2g}" for end in (low, high))
    return " to ".join(ends)


def _rows(products: Sequence[Product]) -> str:
    numbers = sorted({p.rows for p in products})
    return f"on {' to '.join(f'{n:,}' for n in dict.fromkeys((numbers[0], numbers[-1])))} rows"
