"""Watch what a network does, operation by operation, and what memory its tensors take meanwhile."""

import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode


class Watcher(TorchDispatchMode, ABC):  # type: ignore[no-untyped-call]
    """Sees every operation that runs while it is entered, on the meta device or another.

    Attributes:
        peak_bytes: most that tensors made meanwhile have taken at one time. What a view shows is
            counted once, with the tensor whose memory it is; inputs and weights are not counted.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._alive: dict[int, weakref.ref[Any]] = {}
        self._alive_bytes = self.peak_bytes = 0

    @abstractmethod
    def saw(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        """Take down an operation, by the dispatcher's name for it without a trailing `_`."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name, makes = _known(func)
        if name in ("index", "index_put"):
            args = (args[0], _all_chosen(args[1]), *args[2:])
        result = func(*args, **(kwargs or {}))
        if makes:
            for made in tensors((result,)):
                self._hold(made, args)
        self.saw(name, args, result)
        return result

    def _hold(self, made: Tensor, args: tuple[Any, ...]) -> None:
        storage = made.untyped_storage()
        place = storage._cdata
        # Some operations return a view without saying so.
        if place in self._alive or any(
            place == given.untyped_storage()._cdata for given in tensors(args)
        ):
            return
        size = storage.nbytes()

        def died(_: Any) -> None:
            del self._alive[place]
            self._alive_bytes -= size

        # torch keeps one Python object for a storage, for as long as any tensor has it.
        self._alive[place] = weakref.ref(storage, died)
        self._alive_bytes += size
        self.peak_bytes = max(self.peak_bytes, self._alive_bytes)


@cache
def _known(func: Any) -> tuple[str, bool]:
    """An operation's name without a trailing `_`, and whether it makes tensors: views do not."""
    makes = any(returned.alias_info is None for returned in func._schema.returns)
    return func.overloadpacket.__name__.rstrip("_"), makes


def tensors(values: Any) -> Iterator[Tensor]:
    """The tensors in nested lists and tuples."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors(value)


def held_bytes(network: nn.Module, inputs: Sequence[Tensor]) -> int:
    """Of weights, buffers and inputs: what memory is taken before the network runs."""
    held = (*network.parameters(), *network.buffers(), *inputs)
    return sum({s._cdata: s.nbytes() for s in (one.untyped_storage() for one in held)}.values())


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
