"""Where a kernel stands in the networks, and what the stack has of them there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from evaluators.engine.stack import Columns, Stack


@dataclass(frozen=True, eq=False)
class Site:
    """The modules of one place in K networks. Names of their tensors begin there.

    Attributes:
        path: of the modules in their networks; "" for a function.
        columns: of each run's input.
    """

    stack: Stack
    path: str
    modules: Sequence[nn.Module]
    columns: Sequence[Columns]

    def name(self, tensor: str) -> str:
        return f"{self.path}.{tensor}"

    def has(self, tensor: str) -> bool:
        return self.stack.has(self.name(tensor))

    def outs(self, of: Callable[[nn.Module, Columns], Columns]) -> list[Columns]:
        """The columns of each run's output."""
        return [of(*pair) for pair in zip(self.modules, self.columns, strict=True)]

    def matrix(
        self,
        tensor: str,
        outs: Sequence[Columns],
        ins: Sequence[Columns] | None = None,
        *,
        flip: bool = True,
    ) -> Tensor:
        """[K, in, out], from the columns of the input where nothing else is said."""
        return self.stack.matrix(self.name(tensor), ins or self.columns, outs, flip=flip)

    def vector(self, tensor: str, outs: Sequence[Columns]) -> Tensor:
        """[K, 1, H]."""
        return self.stack.vector(self.name(tensor), outs)

    def optional(self, tensor: str, outs: Sequence[Columns]) -> Tensor | None:
        """[K, 1, H], or None where the networks have none of that name."""
        return self.stack.optional(self.name(tensor), outs)
