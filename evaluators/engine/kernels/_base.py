"""What a kernel is, and how the kernel of a module is found."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

from torch import Tensor, nn
from torch_geometric.nn import Linear as PygLinear
from torch_geometric.nn import MaxAggregation, MeanAggregation, MessagePassing, SumAggregation

from evaluators.engine.dropout import Draws
from evaluators.engine.fields import Field
from evaluators.engine.kernels._site import Site
from evaluators.engine.matrices import Kind
from evaluators.engine.stack import Columns
from evaluators.engine.values import Input, Value, dense, head, project, width

# By what PyTorch Geometric calls them.
_AGGREGATIONS: Mapping[str, type[nn.Module]] = {
    "add": SumAggregation,
    "sum": SumAggregation,
    "mean": MeanAggregation,
    "max": MaxAggregation,
}


@dataclass(frozen=True, eq=False)
class Pass:
    """One forward pass of K networks over a field.

    Attributes:
        field: whose rows are computed.
        runs: K.
        draws: the random numbers of training; None in evaluation mode.
    """

    field: Field
    runs: int
    draws: Draws | None = None

    @property
    def training(self) -> bool:
        return self.draws is not None

    def propagate(self, kind: Kind, value: Value, need: int) -> Value:
        """A matrix times a value: [K or 1, rows, H], the rows that are `need` steps from the loss.

        A dense input that nothing was dropped of stays one: its product is a constant, computed
        once for all runs and epochs.
        """
        rows, columns = self.field.rows(need), self.field.rows(need + 1)
        value = head(value, columns)
        if isinstance(value, Input) and value.is_constant:
            kinds = (*value.kinds, kind)
            return replace(value, rows=rows, kinds=kinds, need=self.field.distance(need))
        return self.field.product(kind, rows, columns)(dense(value))


class Kernel:
    """The modules of one place in K networks that train together.

    A kernel computes what its modules compute, with columns beyond the modules' own staying 0, and
    each run's slice bit for bit what it would be alone.
    """

    # The kinds of modules that it stands for, exactly these, without subclasses.
    types: ClassVar[tuple[type[nn.Module], ...]] = ()
    # Whether in training a row depends on all other rows: there the whole graph is computed.
    mixes_rows: ClassVar[bool] = False
    # Whether it computes otherwise, if only to the last bit, where columns are padded.
    minds_padding: ClassVar[bool] = False

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:  # noqa: ARG003 - for those that do not accept all
        """Whether it computes a module of these options."""
        return True

    @classmethod
    def hops(cls, module: nn.Module) -> int:  # noqa: ARG003 - 0 for what does not propagate
        """From how many steps away a node receives."""
        return 0

    @classmethod
    def columns(cls, module: nn.Module, columns: Columns) -> Columns:  # noqa: ARG003
        """The columns of its output, from those of its input."""
        return columns

    @classmethod
    def signature(cls, module: nn.Module) -> str:  # noqa: ARG003 - where columns say all
        """Equal for modules that can be stacked when their columns are as wide."""
        return ""

    def __init__(self, site: Site) -> None:
        self.modules = site.modules

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        """The output's rows that are `need` steps from the loss."""
        raise NotImplementedError


@cache
def kernels() -> dict[type[nn.Module], type[Kernel]]:
    """All kernels in this package, by the type of module."""
    package = importlib.import_module("evaluators.engine.kernels")
    found: dict[type[nn.Module], type[Kernel]] = {}
    for entry in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"evaluators.engine.kernels.{entry.name}")
        for item in vars(module).values():
            if isinstance(item, type) and issubclass(item, Kernel):
                found |= dict.fromkeys(item.types, item)
    return found


def kernel_of(module: nn.Module) -> type[Kernel] | None:
    """The kernel of a module, or None where it has none of its type and options."""
    kind = type(module)
    # Our own classes that only name what they inherit.
    if kind not in kernels() and kind.__module__.startswith("search_spaces."):
        base = kind.__mro__[1]
        kind = base if getattr(base, "forward", None) is kind.forward else kind
    kernel = kernels().get(kind)
    if kernel is None or not _is_as_built(module):
        return None
    return kernel if kernel.accepts(module) else None


def _is_as_built(module: nn.Module) -> bool:
    """Whether a layer still has the parts that its class gives it; another may take their place."""
    if not isinstance(module, MessagePassing):
        return True
    expected = _AGGREGATIONS.get(str(module.aggr))
    for name, part in module.named_modules():
        if name == "aggr_module":
            if type(part) is not expected:
                return False
        elif name and not name.startswith("nn") and type(part) not in (PygLinear, nn.ModuleList):
            return False
    return True


def biased(x: Tensor, bias: Tensor | None) -> Tensor:
    """x [K or 1, n, H], which is nobody else's, plus a bias [K, 1 or n, H]."""
    if bias is None:
        return x
    return x.add_(bias) if x.size(0) == bias.size(0) else x + bias


def is_narrow(at: Pass, value: Value, columns: int) -> bool:
    """Whether A x costs no more than A (x W), for x W that wide. Sparse features would fill up."""
    if isinstance(value, Input) and value.features.sparse is not None:
        return False
    # Of equal widths too, where fewer rows are then left to project.
    return width(value) < columns or (width(value) == columns and not at.field.is_whole)


def propagates_first(at: Pass, value: Value, columns: int) -> bool:
    """Whether A x is cheaper than A (x W): x is narrow, or A x a constant."""
    return (isinstance(value, Input) and value.is_constant) or is_narrow(at, value, columns)


def propagate_and_project(
    at: Pass, kind: Kind, value: Value, weight: Tensor, need: int, hops: int = 1
) -> Tensor:
    """A^hops x W, in the cheaper order."""
    first = propagates_first(at, value, weight.size(2))
    if not first:
        value = project(head(value, at.field.rows(need + hops)), weight)
    for hop in reversed(range(hops)):
        value = at.propagate(kind, value, need + hop)
    return project(value, weight) if first else dense(value)
