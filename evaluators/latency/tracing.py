"""What a network does, as numbers that its time is made of: work by kind of operation.

A network runs once on torch's meta device, where shapes alone are computed; each operation adds to
a vector, `Work`. The work of a network is the sum of the work of its parts, so that it can be put
together from parts that were traced before (`search_spaces.parts`). What an operation adds:

* `calls` of its kind, each of which costs some microseconds whatever its size;
* its amount: floating-point operations of a matrix product, bytes read and written of anything
  else, those of a gather or scatter by its index. The amount goes to two neighboring bins of a
  scale, in proportion to their distance: of a product by its narrowest side (narrow products are
  slow), of anything else by the bytes that it works on (each cache has a speed of its own).

Views cost their call alone. Leaf modules and `MessagePassing.propagate` are counted too, since in
eager mode Python takes its time in them.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.nn import MessagePassing

Work: TypeAlias = NDArray[np.float64]

# Operations by kind, by the name that PyTorch's dispatcher has for them, without a trailing `_`.
_PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "mv", "dot", "linear")
_GATHERS = ("index_select", "index", "gather", "embedding", "take", "masked_select")
_SCATTERS = ("scatter_add", "index_add", "scatter", "index_put", "index_copy")
_EXTREMES = ("scatter_reduce", "index_reduce", "segment_reduce")
_VIEWS = (
    "select", "view", "expand", "t", "transpose", "permute", "unsqueeze", "squeeze", "detach",
    "slice", "alias", "split", "unbind", "_unsafe_view", "as_strided", "_reshape_alias", "unfold",
    "split_with_sizes", "lift_fresh",
)  # fmt: skip
_SLOW_MAPS = (
    "exp", "tanh", "sigmoid", "gelu", "silu", "elu", "softplus", "log", "pow", "erf", "rsqrt",
    "sqrt", "log_softmax", "_log_softmax", "_softmax", "sin", "cos", "expm1", "log1p",
)  # fmt: skip
_MAPS = (
    "add", "sub", "mul", "div", "neg", "relu", "leaky_relu", "hardtanh", "clamp", "clamp_min",
    "eq", "ne", "lt", "le", "gt", "ge", "masked_fill", "where", "maximum", "minimum", "abs",
    "rsub", "reciprocal", "logical_and", "logical_or", "logical_not", "bitwise_and", "isinf",
    "bitwise_not", "bitwise_or", "sign", "round", "floor", "remainder", "floor_divide", "addcmul",
    "lerp", "threshold", "clamp_max", "isnan", "square",
)  # fmt: skip
_REDUCTIONS = (
    "sum", "mean", "amax", "amin", "max", "min", "var", "std", "native_layer_norm", "argmax",
    "native_batch_norm", "_native_batch_norm_legit_no_training", "_native_batch_norm_legit", "norm",
    "any", "all", "prod", "var_mean", "cumsum", "linalg_vector_norm", "bincount", "sort", "topk",
    "native_group_norm", "std_mean",
)  # fmt: skip
_COPIES = ("cat", "clone", "copy", "_to_copy", "repeat", "stack", "constant_pad_nd", "flip", "roll",
           "repeat_interleave")  # fmt: skip
_FILLS = ("zeros", "ones", "full", "empty", "new_zeros", "new_ones", "new_full", "arange", "fill",
          "zero", "zeros_like", "ones_like", "full_like", "empty_like", "new_empty",
          "scalar_tensor", "eye", "empty_strided")  # fmt: skip
_KINDS: Mapping[str, tuple[str, ...]] = {
    "product": _PRODUCTS,
    "gather": _GATHERS,
    "scatter": _SCATTERS,
    "extreme": _EXTREMES,
    "view": _VIEWS,
    "slow_map": _SLOW_MAPS,
    "map": _MAPS,
    "reduction": _REDUCTIONS,
    "copy": _COPIES,
    "fill": _FILLS,
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names}

# log2 of the narrowest side of a product, and of the bytes that anything else works on: 32 kB,
# 256 kB, 2 MB, 16 MB, 128 MB.
_SIDES = (0.0, 3.0, 5.0, 7.0, 9.0)
_BYTES = (15.0, 18.0, 21.0, 24.0, 27.0)


def _names() -> Iterator[str]:
    for kind in _KINDS:
        yield f"{kind}.calls"
        if kind == "product":
            yield from (f"product.gflop.side{2**side:.0f}" for side in _SIDES)
            yield "product.gbytes"
        elif kind != "view":
            yield from (f"{kind}.gbytes.{2**(b - 10):.0f}k" for b in _BYTES)
    yield "modules.calls"
    yield "propagate.calls"


# What the entries of a `Work` are.
WORK: tuple[str, ...] = tuple(_names())
_PLACE = {name: place for place, name in enumerate(WORK)}
_CALLS = {kind: _PLACE[f"{kind}.calls"] for kind in _KINDS}
_FLOPS = _PLACE[f"product.gflop.side{2**_SIDES[0]:.0f}"]
_AMOUNTS = {
    kind: _PLACE[f"{kind}.gbytes.{2**(_BYTES[0] - 10):.0f}k"]
    for kind in _KINDS
    if kind not in ("product", "view")
}


@dataclass(frozen=True)
class Trace:
    """What a network does on one size of graph.

    Attributes:
        work: see `WORK`.
        unknown: names of operations of which no kind is known.
        peak_bytes: of tensors that are alive at a time, without weights and inputs.
        output_bytes: of what it returns.
    """

    work: Work
    unknown: frozenset[str]
    peak_bytes: int
    output_bytes: int


def trace(run: Callable[[], Any]) -> Trace:
    """Run something whose tensors are on the meta device, and take down what it does."""
    tracer = _Tracer()
    with torch.no_grad(), _counted_modules(tracer), tracer:
        output = run()
    tensors = output if isinstance(output, tuple | list) else (output,)
    size = sum(_bytes(one) for one in tensors if isinstance(one, Tensor))
    return Trace(tracer.work, frozenset(tracer.unknown), tracer.peak, size)


@contextmanager
def _counted_modules(tracer: "_Tracer") -> Iterator[None]:
    def count(module: nn.Module, _inputs: Any) -> None:
        if isinstance(module, MessagePassing):
            tracer.work[_PLACE["propagate.calls"]] += 1
        elif next(module.children(), None) is None:
            tracer.work[_PLACE["modules.calls"]] += 1

    handle = register_module_forward_pre_hook(count)
    try:
        yield
    finally:
        handle.remove()


class _Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.work: Work = np.zeros(len(WORK))
        self.unknown: set[str] = set()
        self.alive = self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__.rstrip("_")
        if name in ("index", "index_put"):
            args = (args[0], all_chosen(args[1]), *args[2:])
        result = func(*args, **(kwargs or {}))
        kind = _KIND_OF.get(name)
        if kind is None:
            self.unknown.add(name)
        else:
            self._add(kind, name, args, result)
        return result

    def _add(self, kind: str, name: str, args: tuple[Any, ...], result: Any) -> None:
        self.work[_CALLS[kind]] += 1
        if kind == "view":
            return
        read = [one for one in _tensors(args)]
        made = [one for one in _tensors((result,))]
        if kind == "product":
            self._product(name, args, made[0], read)
        elif kind == "gather":
            self._spread(kind, 2 * sum(map(_bytes, made)), _bytes(args[0]))
        elif kind in ("scatter", "extreme"):
            source = max(_numel(one) for one in read)
            self._spread(kind, source * made[0].element_size(), _bytes(made[0]))
        else:
            moved = sum(_bytes(one) for one in (*read, *made))
            self._spread(kind, moved, moved)

    def _product(
        self, name: str, args: tuple[Any, ...], made: Tensor, read: Sequence[Tensor]
    ) -> None:
        left, right = args[1:3] if name in ("addmm", "baddbmm") else args[:2]
        inner = left.size(-1)
        sides = (inner, *(right.shape[-1:] if right.dim() > 1 else (1,)), left.shape[-2:-1].numel())
        low, share = _bin(_SIDES, math.log2(max(1, min(sides))))
        amount = 2e-9 * made.numel() * inner
        self.work[_FLOPS + low] += amount * (1 - share)
        self.work[_FLOPS + min(low + 1, len(_SIDES) - 1)] += amount * share
        self.work[_PLACE["product.gbytes"]] += 1e-9 * sum(_bytes(o) for o in (*read, made))

    def _spread(self, kind: str, amount: int, size: int) -> None:
        low, share = _bin(_BYTES, math.log2(max(1, size)))
        place = _AMOUNTS[kind]
        self.work[place + low] += 1e-9 * amount * (1 - share)
        self.work[place + min(low + 1, len(_BYTES) - 1)] += 1e-9 * amount * share


def _bin(scale: Sequence[float], value: float) -> tuple[int, float]:
    """The mark below a value, and which share of the way to the next one it has gone."""
    for low in range(len(scale) - 1):
        if value <= scale[low + 1]:
            return low, max(0.0, (value - scale[low]) / (scale[low + 1] - scale[low]))
    return len(scale) - 1, 0.0


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _bytes(tensor: Tensor) -> int:
    # Of an expanded tensor, which repeats itself without memory, what it stands for.
    return tensor.numel() * tensor.element_size()


def _numel(tensor: Tensor) -> int:
    return int(tensor.numel())


def all_chosen(indices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Without values, a mask chooses everything: no edge of the workload is a self-loop."""
    chosen: list[Tensor | None] = []
    for index in indices:
        if index is not None and index.is_meta and index.dtype == torch.bool:
            everything = torch.empty(index.numel(), dtype=torch.int64, device="meta")
            chosen += [everything] * index.dim()
        else:
            chosen.append(index)
    return chosen
