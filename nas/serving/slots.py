"""Memory that the server and the process of the program share: a graph goes in, logits come out.

A slot holds one forward's tensors one after another, each at a multiple of 64 bytes. It is a file
without a name where the system has such files, and a temporary one elsewhere; it grows with the
graphs, and a large one is given back.
"""

import math
import mmap
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nas.export._base import Contract
from nas.serving.graphs import Graph

_ALIGNED = 64
# What a slot keeps between two graphs.
_KEPT_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Sizes:
    """N, E and B of a graph: where each tensor lies follows from them and the contract."""

    nodes: int
    edges: int
    graphs: int

    @classmethod
    def of(cls, graph: Graph) -> "Sizes":
        """Of a graph."""
        return cls(graph.x.size(0), graph.edge_index.size(1), graph.graphs)

    def places(self, contract: Contract) -> dict[str, tuple[int, torch.dtype, tuple[int, ...]]]:
        """Where each tensor begins, its type and its shape; the last one is of the logits."""
        tensors: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
            "x": (torch.float32, (self.nodes, contract.n_features)),
            "edge_index": (torch.int64, (2, self.edges)),
        }
        if contract.is_graph_task:
            tensors["graph_ids"] = (torch.int64, (self.nodes,))
        rows = self.graphs if contract.is_graph_task else self.nodes
        tensors["logits"] = (torch.float32, (rows, contract.n_classes))
        found, begin = {}, 0
        for name, (dtype, shape) in tensors.items():
            found[name] = (begin, dtype, shape)
            size = math.prod(shape) * dtype.itemsize
            begin += math.ceil(size / _ALIGNED) * _ALIGNED
        return found

    def n_bytes(self, contract: Contract) -> int:
        """Of a slot that holds it."""
        begin, dtype, shape = self.places(contract)["logits"]
        return begin + math.prod(shape) * dtype.itemsize


class Slot:
    """A file in memory, seen as tensors.

    Args:
        path: of one that another process made; None makes one.
    """

    def __init__(self, path: str | None = None) -> None:
        self._is_own = path is None
        self._file, self.path = _made() if path is None else (_opened(path), path)
        self._map: mmap.mmap | None = None

    def tensors(self, sizes: Sizes, contract: Contract) -> dict[str, Tensor]:
        """Views by name; what is written into them, the other side sees.

        Raises:
            MemoryError: there is no room for it.
        """
        size = max(1, sizes.n_bytes(contract))
        if self._map is None or len(self._map) < size:
            self._map = self._mapped(size)
        return {
            name: _view(self._map, begin, dtype, shape)
            for name, (begin, dtype, shape) in sizes.places(contract).items()
        }

    def _mapped(self, size: int) -> mmap.mmap:
        try:
            if self._is_own:
                os.ftruncate(self._file, size)
                # Pages are taken now: later, a system without any would kill the process.
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(self._file, 0, size)
            return mmap.mmap(self._file, 0)
        except OSError as error:
            raise MemoryError(f"{size} bytes: {error.strerror}") from error

    def give_back(self) -> None:
        """Let go of memory that an unusually large graph took; no view of it may be in use."""
        if self._map is not None and len(self._map) > _KEPT_BYTES:
            self._map = None
            os.ftruncate(self._file, 0)

    def close(self) -> None:
        """The file is gone with the last process that has it open."""
        self._map = None
        os.close(self._file)
        if self._is_own and not self.path.startswith("/proc/"):
            Path(self.path).unlink()


def _made() -> tuple[int, str]:
    """A file of no bytes, and the path by which another process of this user opens it."""
    if sys.platform == "linux":
        file = os.memfd_create("nas-serve")
        return file, f"/proc/{os.getpid()}/fd/{file}"
    return tempfile.mkstemp(prefix="nas-serve-")


def _opened(path: str) -> int:
    return os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))


def _view(shared: mmap.mmap, begin: int, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    count = math.prod(shape)
    if count == 0:  # which frombuffer does not take
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(shared, dtype=dtype, count=count, offset=begin).reshape(shape)
