"""What operators share that map what a node receives and the node itself, each by own weights."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from evaluators.engine.kernels._base import Pass, biased, propagate_and_project
from evaluators.engine.kernels._convolution import Convolution
from evaluators.engine.kernels._site import Site
from evaluators.engine.matrices import Kind
from evaluators.engine.values import Input, Value, dense, head, project

# By what PyTorch Geometric calls it.
_SUMS: Mapping[str, Kind] = {"add": "sum", "sum": "sum", "mean": "mean"}


class NeighborsAndSelf(Convolution):
    """aggregate(x) W + x V + b, of the sum, the mean or the maximum over neighbors."""

    # The names of the linear maps W, with the bias, and V.
    maps: ClassVar[tuple[str, str]]

    @classmethod
    def signature(cls, module: nn.Module) -> str:
        neighbors = getattr(module, cls.maps[0])
        return f"aggregation={module.aggr}, bias={neighbors.bias is not None}"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        neighbors, itself = self.maps
        self.neighbors = site.matrix(f"{neighbors}.weight", self.outs)
        self.itself = site.matrix(f"{itself}.weight", self.outs)
        self.bias = site.optional(f"{neighbors}.bias", self.outs)
        self.kind = _SUMS.get(str(site.modules[0].aggr))

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        if self.kind is None:
            received = _maximum_and_project(at, value, self.neighbors, need)
        else:
            received = propagate_and_project(at, self.kind, value, self.neighbors, need)
        own = project(head(value, at.field.rows(need)), self.itself)
        return biased(biased(own, received), self.bias)


def aggregates(module: nn.Module) -> bool:
    """Whether a module aggregates in one of these ways."""
    return module.aggr in (*_SUMS, "max") and module.flow == "source_to_target"


def _maximum_and_project(at: Pass, value: Value, weight: Tensor, need: int) -> Tensor:
    """The maximum over neighbors, times weights. The two do not commute."""
    rows, columns = at.field.rows(need), at.field.rows(need + 1)
    maximum = at.field.maximum(rows, columns)
    value = head(value, columns)
    if not isinstance(value, Input):
        return project(maximum(dense(value)), weight)
    features = value.features.columns
    of_features = weight if value.rest is None else weight[:, :features]
    if value.features.sparse is not None:
        mapped = _sparse_maximum(value, of_features, at.field.distance(need))
    elif value.kept is None and not value.kinds:
        mapped = project(value.features.maximum(at.field.distance(need)), of_features)
    else:
        mapped = project(maximum(value.without_rest().dense()), of_features)
    if value.rest is None:
        return mapped
    return mapped + project(maximum(value.rest), weight[:, features:])


def _sparse_maximum(value: Input, weight: Tensor, need: int) -> Tensor:
    """Of sparse features, whose maxima are sparse too, and have no gradient."""
    union, sparse = value.features.union(need), value.features.sparse
    if sparse is None:
        raise ValueError("dense features have no pattern")
    given = sparse.head(value.rows).values[None]
    maxima = union.maxima(given if value.kept is None else given * value.kept)
    return union.pattern(maxima, weight)
