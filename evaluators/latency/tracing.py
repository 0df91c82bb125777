"""What a network does, as numbers that its time is made of: work by kind of operation.

A network runs once on torch's meta device, where shapes alone are computed; each operation adds to
a vector, `Work`. The work of a network is the sum of the work of its parts, so that it can be put
together from parts that were traced before (`search_spaces.parts`). What an operation adds:

* `calls` of its kind, each of which costs some microseconds whatever its size;
* its amount: floating-point operations of a matrix product, bytes read and written of anything
  else, those of a gather or scatter by its index. The amount goes to two neighboring bins of a
  scale, in proportion to their distance: of a product by its narrowest side (narrow products are
  slow), of anything else by the bytes that it works on (each cache has a speed of its own);
* the rows that it gathers or scatters. PyTorch scatters rows of fewer than 16 numbers one number at
  a time, which takes many times longer: they are kinds of their own.

Views cost their call alone. Leaf modules and `MessagePassing.propagate` are counted too, since in
eager mode Python takes its time in them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch_geometric.nn import MessagePassing

from evaluators.latency.watching import Watcher, tensors

Work: TypeAlias = NDArray[np.float64]
# [n, 6], one row an operation: its kind, then sizes in whole numbers (see `_Tracer`).
Operations: TypeAlias = NDArray[np.float64]

# Operations by kind, by the name that PyTorch's dispatcher has for them, without a trailing `_`.
_KINDS: Mapping[str, tuple[str, ...]] = {
    "product": ("mm", "addmm", "mv", "dot", "linear"),
    "batched_product": ("bmm", "baddbmm"),
    "gather": ("index_select", "gather", "embedding", "take"),
    # Whose result has a size that values decide.
    "choice": ("index", "index_put", "masked_select", "nonzero"),
    "scatter": ("scatter_add", "index_add", "scatter", "index_copy"),
    "extreme": ("scatter_reduce", "index_reduce", "segment_reduce"),
    "view": (
        "select", "view", "expand", "t", "transpose", "permute", "unsqueeze", "squeeze", "detach",
        "slice", "alias", "split", "unbind", "_unsafe_view", "as_strided", "_reshape_alias",
        "unfold", "split_with_sizes", "lift_fresh",
    ),
    "exponential": (
        "exp", "sigmoid", "silu", "elu", "expm1", "_softmax", "_log_softmax", "log_softmax",
    ),
    "hyperbolic": ("tanh", "gelu", "erf", "sin", "cos"),
    "logarithm": ("softplus", "log", "log1p", "pow", "rsqrt", "sqrt"),
    "map": (
        "add", "sub", "mul", "div", "neg", "relu", "leaky_relu", "hardtanh", "clamp", "clamp_min",
        "eq", "ne", "lt", "le", "gt", "ge", "masked_fill", "where", "maximum", "minimum", "abs",
        "rsub", "reciprocal", "logical_and", "logical_or", "logical_not", "bitwise_and", "isinf",
        "bitwise_not", "bitwise_or", "sign", "round", "floor", "remainder", "floor_divide",
        "addcmul", "lerp", "threshold", "clamp_max", "isnan", "square",
    ),
    "reduction": (
        "sum", "mean", "amax", "amin", "max", "min", "var", "std", "argmax", "norm", "any", "all",
        "prod", "var_mean", "cumsum", "linalg_vector_norm", "bincount", "sort", "topk", "std_mean",
    ),
    "normalization": (
        "native_layer_norm", "native_batch_norm", "native_group_norm", "_native_batch_norm_legit",
        "_native_batch_norm_legit_no_training",
    ),
    "copy": (
        "cat", "clone", "copy", "_to_copy", "repeat", "stack", "constant_pad_nd", "flip", "roll",
        "repeat_interleave",
    ),
    "fill": (
        "zeros", "ones", "full", "empty", "new_zeros", "new_ones", "new_full", "arange", "fill",
        "zero", "zeros_like", "ones_like", "full_like", "empty_like", "new_empty", "scalar_tensor",
        "eye", "empty_strided",
    ),
}  # fmt: skip
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names}

_NARROW = {"scatter": "narrow_scatter", "extreme": "narrow_extreme"}
_NARROW_WIDTH = 16

# log2 of the narrowest side of a product, and of the bytes that anything else works on: 32 kB,
# 256 kB, 2 MB, 16 MB, 128 MB.
_SIDES = (0.0, 3.0, 5.0, 7.0, 9.0)
_BYTES = (15.0, 18.0, 21.0, 24.0, 27.0)
_COUNTED = (*_KINDS, *_NARROW.values(), "modules", "propagate")
_PRODUCTS = ("product", "batched_product")
_BY_ROWS = (*_PRODUCTS, "gather", *_NARROW, *_NARROW.values())
_WITHOUT_AMOUNT = ("view", "modules", "propagate")


def _names() -> Iterator[str]:
    for kind in _COUNTED:
        yield f"{kind}.calls"
        if kind in _PRODUCTS:
            yield from (f"{kind}.gflop.side{2**side:.0f}" for side in _SIDES)
            yield f"{kind}.gbytes"
        elif kind not in _WITHOUT_AMOUNT:
            yield from (f"{kind}.gbytes.{2 ** (b - 10):.0f}k" for b in _BYTES)
        if kind in _BY_ROWS:
            yield f"{kind}.grows"


# What the entries of a `Work` are.
WORK: tuple[str, ...] = tuple(_names())
_PLACE = {name: place for place, name in enumerate(WORK)}
_NUMBER = {kind: number for number, kind in enumerate(_COUNTED)}
_CALLS = np.array([_PLACE[f"{kind}.calls"] for kind in _COUNTED])
# By kind; -1 where it has none: of its operations by side, of its bytes as a whole, the first of
# their bins, of its rows.
_FLOPS = np.array([_PLACE.get(f"{kind}.gflop.side{2 ** _SIDES[0]:.0f}", -1) for kind in _COUNTED])
_WHOLE = np.array([_PLACE.get(f"{kind}.gbytes", -1) for kind in _COUNTED])
_FIRST = np.array(
    [_PLACE.get(f"{kind}.gbytes.{2 ** (_BYTES[0] - 10):.0f}k", -1) for kind in _COUNTED]
)
_ROWS = np.array([_PLACE.get(f"{kind}.grows", -1) for kind in _COUNTED])
_NARROW_OF = np.array([_NUMBER[_NARROW.get(kind, kind)] for kind in _COUNTED])


@dataclass(frozen=True)
class Trace:
    """What a network does on one size of graph.

    Attributes:
        work: see `WORK`.
        unknown: names of operations of which no kind is known.
        peak_bytes: of tensors that are alive at a time, without weights and inputs; None where
            the work was put together from parts, as no part knows what else is alive.
        output_bytes: of what it returns.
    """

    work: Work
    unknown: frozenset[str]
    peak_bytes: int | None
    output_bytes: int


@dataclass(frozen=True)
class Recording:
    """The operations of one run, and what else a `Trace` says of it."""

    operations: Operations
    unknown: frozenset[str]
    peak_bytes: int
    output_bytes: int


def trace(run: Callable[[], Any]) -> Trace:
    """Run something whose tensors are on the meta device, and take down what it does."""
    seen = record(run)
    return Trace(total(seen.operations), seen.unknown, seen.peak_bytes, seen.output_bytes)


def record(run: Callable[[], Any]) -> Recording:
    """Run something as `trace` does, and keep its operations one by one."""
    tracer = _Tracer()
    with torch.no_grad(), _counted_modules(tracer), tracer:
        output = run()
    size = sum(_bytes(one) for one in tensors((output,)))
    operations = np.array(tracer.operations, dtype=np.float64).reshape(-1, 6)
    return Recording(operations, frozenset(tracer.unknown), tracer.peak_bytes, size)


def total(operations: Operations) -> Work:
    """The sum over operations."""
    work = np.zeros(len(WORK))
    kinds = operations[:, 0].astype(np.int64)
    amount, size, width, rows = operations[:, 1:5].T
    product = _FLOPS[kinds] >= 0
    kinds = np.where((width < _NARROW_WIDTH) & ~product, _NARROW_OF[kinds], kinds)
    np.add.at(work, _CALLS[kinds], 1.0)
    flop = 2 * amount[product] * operations[product, 3]
    _spread(work, _FLOPS[kinds[product]], flop, operations[product, 3:].min(axis=1), _SIDES)
    np.add.at(work, _WHOLE[kinds[product]], 1e-9 * size[product])
    moves, by_rows = _FIRST[kinds] >= 0, _ROWS[kinds] >= 0
    rows = np.where(product, operations[:, 5], rows)
    _spread(work, _FIRST[kinds[moves]], amount[moves], size[moves], _BYTES)
    np.add.at(work, _ROWS[kinds[by_rows]], 1e-9 * rows[by_rows])
    return work


def _spread(
    work: Work,
    first: NDArray[np.int64],
    amount: NDArray[np.float64],
    size: NDArray[np.float64],
    marks: Sequence[float],
) -> None:
    """Add amounts to the two marks next to their sizes, in proportion to the distance."""
    place = np.interp(np.log2(np.maximum(size, 1.0)), marks, range(len(marks)))
    low = np.minimum(place.astype(np.int64), len(marks) - 2)
    np.add.at(work, first + low, 1e-9 * amount * (1 - (place - low)))
    np.add.at(work, first + low + 1, 1e-9 * amount * (place - low))


@contextmanager
def _counted_modules(tracer: "_Tracer") -> Iterator[None]:
    def count(module: nn.Module, _inputs: Any) -> None:
        if isinstance(module, MessagePassing):
            tracer.add("propagate")
        elif next(module.children(), None) is None:
            tracer.add("modules")

    handle = register_module_forward_pre_hook(count)
    try:
        yield
    finally:
        handle.remove()


class _Tracer(Watcher):  # type: ignore[no-untyped-call]
    """Rows of (kind, amount, size, three more).

    Amount and size of a product are the elements made and the bytes that it touches, the three its
    inner, right and left side. Of anything else they are bytes, and the three the numbers in a row,
    the rows and nothing, where rows count.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[int, int, int, int, int, int]] = []
        self.unknown: set[str] = set()

    def add(
        self, kind: str, amount: int = 0, size: int = 0, more: tuple[int, int, int] = (0, 0, 0)
    ) -> None:
        self.operations.append((_NUMBER[kind], amount, size, *more))

    def saw(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        kind = _KIND_OF.get(name)
        if kind is None:
            self.unknown.add(name)
        elif kind == "view":
            self.add(kind)
        else:
            self._add_sized(kind, name, args, list(tensors((result,))))

    def _add_sized(
        self, kind: str, name: str, args: tuple[Any, ...], made: Sequence[Tensor]
    ) -> None:
        read = list(tensors(args))
        moved = sum(_bytes(one) for one in (*read, *made))
        if kind in _PRODUCTS:
            left, right = args[1:3] if name in ("addmm", "baddbmm") else args[:2]
            columns = right.size(-1) if right.dim() > 1 else 1
            sides = (left.size(-1), columns, left.shape[-2:-1].numel())
            self.add(kind, made[0].numel(), moved, sides)
        elif kind == "gather":
            width = made[0].shape[1:].numel()
            rows = made[0].shape[:1].numel()
            self.add(kind, 2 * sum(map(_bytes, made)), _bytes(args[0]), (width, rows, 0))
        elif kind in _NARROW:
            # The target is the first, and may be larger than what is added to it.
            sources = read if name == "segment_reduce" else read[1:]
            source = max(sources, key=Tensor.numel, default=made[0])
            width, rows = source.shape[1:].numel(), source.shape[:1].numel()
            amount = source.numel() * made[0].element_size()
            self.add(kind, amount, _bytes(made[0]), (width, rows, 0))
        else:
            self.add(kind, moved, moved)


def _bytes(tensor: Tensor) -> int:
    # Of an expanded tensor, which repeats itself without memory, what it stands for.
    return tensor.numel() * tensor.element_size()
