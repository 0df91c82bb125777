"""The weights of K networks side by side, and the way back to each of them.

A leaf is one tensor [K, ...] that is trained; each run's slice is contiguous. A network's own
parameter is found in it at `positions`, since leaves may be transposed, hold several parameters, or
be wider than the parameter: widths are rounded up so that networks of nearly the same width can
train together. What is beyond the parameter is 0 and stays 0.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

# A value's columns: (columns of the network, columns here), of each piece side by side.
Columns = tuple[tuple[int, int], ...]


def rounded(width: int) -> Columns:
    """One piece as wide as 16, 32, 64 or the next multiple of 64 that the width fits into."""
    for size in (16, 32, 64):
        if width <= size:
            return ((width, size),)
    return ((width, -(-width // 64) * 64),)


def exact(width: int) -> Columns:
    return ((width, width),)


def wide(columns: Columns) -> int:
    """How many columns here."""
    return sum(size for _, size in columns)


def places(columns: Columns) -> Tensor:
    """Where the network's columns are among those here."""
    found, start = [], 0
    for own, size in columns:
        found.append(torch.arange(start, start + own))
        start += size
    return torch.cat(found) if found else torch.arange(0)


@lru_cache(maxsize=64)
def _block(width: int, rows: Columns, columns: Columns, start: int, flip: bool) -> Tensor:
    """Where a matrix is in a leaf [..., width] that is numbered row by row."""
    chosen = places(rows)[:, None] * width + start + places(columns)
    return (chosen.T if flip else chosen).contiguous()


@dataclass(frozen=True, eq=False)
class Part:
    """A tensor of the networks' state dicts, within a leaf.

    Attributes:
        leaf: its number.
        positions: for each run, where its elements are in the run's slice of the leaf.
    """

    leaf: int
    positions: tuple[Tensor, ...]

    def read(self, run: int, leaf: Tensor) -> Tensor:
        """The tensor, out of a run's slice of the leaf."""
        return leaf.reshape(-1)[self.positions[run].to(leaf.device)]

    def write(self, run: int, leaf: Tensor, value: Tensor) -> None:
        positions = self.positions[run].to(leaf.device).reshape(-1)
        leaf.view(-1)[positions] = value.reshape(-1).to(leaf)


class Stack:
    """Leaves and buffers of K networks.

    Attributes:
        networks: in the order of the runs.
        leaves: [K, ...] each; they require a gradient where the networks' parameters do.
        buffers: [K, ...] each, by the number of its leaf.
        parts: by name in the state dict.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        dtype: torch.dtype,
        device: torch.device,
        states: Sequence[Mapping[str, Tensor]] | None = None,
    ) -> None:
        """Args: states, of the networks where that is not what they hold themselves."""
        self.networks, self.dtype, self.device = networks, dtype, device
        self.leaves: list[Tensor] = []
        self.parts: dict[str, Part] = {}
        # What modules without a kernel keep to themselves, by the name in the state dict.
        self.kept: set[str] = set()
        if states is None:
            states = [network.state_dict(keep_vars=True) for network in networks]
        self._states = [dict(state) for state in states]

    @property
    def size(self) -> int:
        return len(self.networks)

    def has(self, name: str) -> bool:
        return name in self._states[0]

    def leaf(
        self,
        shape: Sequence[int],
        names: Mapping[str, Callable[[Tensor, int], Tensor]],
    ) -> Tensor:
        """A tensor [K, *shape] that holds the named tensors of each network.

        Args:
            names: from a name in the state dicts to a function of (a tensor of the given shape, the
                number of a run) that selects the tensor's elements.
        """
        theirs = [[state[name] for name in names] for state in self._states]
        first = theirs[0][0]
        dtype = self.dtype if first.is_floating_point() else first.dtype
        tensor = torch.zeros(self.size, *shape, dtype=dtype, device=self.device)
        counted = torch.arange(tensor[0].numel()).view(tuple(shape))
        for name, select in names.items():
            positions = tuple(select(counted, run) for run in range(self.size))
            part = Part(len(self.leaves), positions)
            self.parts[name] = part
            for run, state in enumerate(self._states):
                part.write(run, tensor[run], state[name].detach())
        tensor.requires_grad_(first.requires_grad)
        self.leaves.append(tensor)
        return tensor

    def matrix(
        self, name: str, rows: Sequence[Columns], columns: Sequence[Columns], *, flip: bool = True
    ) -> Tensor:
        """[K, in, out] of weights that the networks keep as [out, in], or as [..., in, out]."""
        return self.matrices([name], rows, columns, flip=flip)

    def matrices(
        self,
        names: Sequence[str],
        rows: Sequence[Columns],
        columns: Sequence[Columns],
        *,
        flip: bool = True,
    ) -> Tensor:
        """[K, in, out * len(names)]: several such weights, for one product."""
        width = wide(columns[0])

        def block(name: str, start: int) -> Callable[[Tensor, int], Tensor]:
            def select(leaf: Tensor, run: int) -> Tensor:
                chosen = _block(leaf.size(1), rows[run], columns[run], start, flip)
                return chosen.view(self._states[run][name].shape)

            return select

        selectors = {name: block(name, i * width) for i, name in enumerate(names)}
        return self.leaf((wide(rows[0]), width * len(names)), selectors)

    def vector(self, name: str, columns: Sequence[Columns]) -> Tensor:
        """[K, 1, H] of biases and the like, which the networks keep as [H], or [1, ..., H]."""

        def select(leaf: Tensor, run: int) -> Tensor:
            chosen = leaf[0, places(columns[run])]
            return chosen.view(self._states[run][name].shape)

        return self.leaf((1, wide(columns[0])), {name: select})

    def optional(self, name: str, columns: Sequence[Columns]) -> Tensor | None:
        """Such a vector, or None where the networks have none of that name."""
        return self.vector(name, columns) if self.has(name) else None

    def keep(self, path: str) -> None:
        """The tensors of a module that is trained as it is, in each of the networks."""
        for network in self.networks:
            network.get_submodule(path).to(device=self.device, dtype=self.dtype)
        self.kept |= {name for name in self._states[0] if name.startswith(f"{path}.")}

    def whole(self, name: str) -> Tensor:
        """[K, ...] of tensors that have the same shape in all networks."""
        shape = self._states[0][name].shape
        return self.leaf(shape, {name: lambda leaf, _: leaf})


class Slices(Stack):
    """Leaves that are made of tensors which gradients flow back to: slices of shared weights.

    A module without a kernel has none: it computes with what it holds itself.
    """

    def leaf(
        self,
        shape: Sequence[int],
        names: Mapping[str, Callable[[Tensor, int], Tensor]],
    ) -> Tensor:
        if not all(self._states[0][name].requires_grad for name in names):
            return super().leaf(shape, names)
        counted = torch.arange(math.prod(shape)).view(tuple(shape))
        rows = []
        for run, state in enumerate(self._states):
            row = torch.zeros(counted.numel(), dtype=self.dtype, device=self.device)
            for name, select in names.items():
                positions = select(counted, run).reshape(-1).to(self.device)
                row = row.index_copy(0, positions, state[name].reshape(-1).to(row))
            rows.append(row.view(tuple(shape)))
        self.leaves.append(torch.stack(rows))
        return self.leaves[-1]

    def keep(self, path: str) -> None:
        raise ValueError(f"{path} has no kernel, so it cannot compute with other weights")
