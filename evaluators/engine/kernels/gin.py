"""Graph isomorphism network on CSR."""

import torch
from torch import Tensor, nn
from torch_geometric.nn import GINConv

from evaluators.engine.kernels._base import Pass, biased, is_narrow
from evaluators.engine.kernels._convolution import Convolution
from evaluators.engine.kernels._site import Site
from evaluators.engine.stack import Columns, exact, rounded, wide
from evaluators.engine.values import Value, dense, head, project


class Gin(Convolution):
    """relu(((1 + eps) x + A x) W + b) V + c, for A that counts edges."""

    types = (GINConv,)

    @classmethod
    def accepts(cls, module: nn.Module) -> bool:
        return (
            isinstance(module, GINConv)
            and isinstance(module.nn, nn.Sequential)
            and [type(part) for part in module.nn] == [nn.Linear, nn.ReLU, nn.Linear]
            and module.aggr == "add"
            and module.flow == "source_to_target"
        )

    @classmethod
    def columns(cls, module: nn.Module, columns: Columns) -> Columns:  # noqa: ARG003 - its input's
        return rounded(_linear(module, 2).out_features)

    @classmethod
    def signature(cls, module: nn.Module) -> str:
        first, second = _linear(module, 0), _linear(module, 2)
        biases = [first.bias is not None, second.bias is not None]
        trained = isinstance(module.eps, nn.Parameter)
        return f"hidden={wide(rounded(first.out_features))}, biases={biases}, trained={trained}"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        hidden = [rounded(_linear(module, 0).out_features) for module in site.modules]
        self.eps = site.vector("eps", [exact(1)] * len(site.modules))
        self.weights = [
            site.matrix("nn.0.weight", hidden),
            site.matrix("nn.2.weight", self.outs, hidden),
        ]
        self.biases = [
            site.optional("nn.0.bias", hidden),
            site.optional("nn.2.bias", self.outs),
        ]

    def __call__(self, at: Pass, value: Value, need: int) -> Value:
        mapped = biased(self._first(at, value, need), self.biases[0])
        return biased(project(torch.relu(mapped), self.weights[1]), self.biases[1])

    def _first(self, at: Pass, value: Value, need: int) -> Tensor:
        """The first linear map, of the sum or within it. eps is not the same for all runs."""
        weight = self.weights[0]
        if is_narrow(at, value, weight.size(2)):
            return project(self._sum(at, value, need), weight)
        return self._sum(at, project(head(value, at.field.rows(need + 1)), weight), need)

    def _sum(self, at: Pass, value: Value, need: int) -> Tensor:
        received = dense(at.propagate("sum", value, need))
        return torch.addcmul(received, dense(head(value, received.size(1))), 1 + self.eps)


def _linear(module: nn.Module, place: int) -> nn.Linear:
    part: nn.Linear = module.nn[place]  # type: ignore[index, assignment]
    return part
