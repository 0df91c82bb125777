"""What modules do that have quantizers: mixins, before the class that a module had."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.utils import softmax

from search_spaces.quantization.quantizers import ActivationQuantizer

# How quantizers are called: by what they quantize, and this behind.
SUFFIX = "_quantizer"


class Quantized(nn.Module):
    """What modules with quantizers have in common.

    Attributes:
        quantized_names: of the parameters that are read through a quantizer.
    """

    quantized_names: tuple[str, ...] = ()
    # The class without any quantizer, and without those of weights.
    plain: type[Any]
    unread: type[Any]

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name in self.quantized_names:
            # PyTorch Geometric's linear map saves what `.weight` gives, which is rounded.
            parameter = self._parameters[name]
            if parameter is not None:
                destination[prefix + name] = parameter if keep_vars else parameter.detach()


class Reads(Quantized):
    """A linear map that quantizes what it reads."""

    input_quantizer: ActivationQuantizer

    weight: Tensor
    bias: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        """Of features with few numbers but 0, as a sparse matrix too (CSR): 0 stays 0."""
        if x.layout != torch.sparse_csr:
            mapped: Tensor = super().forward(self.input_quantizer(x))
            return mapped
        rows, crow = x.size(0), x.crow_indices()
        row = torch.arange(rows).repeat_interleave(crow.diff())
        values = self.input_quantizer(x.values(), row)
        read = torch.sparse_csr_tensor(crow, x.col_indices(), values, x.shape)
        product = read @ self.weight.t()
        return product if self.bias is None else product + self.bias


class ReadsItself(Quantized):
    """Message passing that maps what it reads by weights of its own: ARMA."""

    input_quantizer: ActivationQuantizer

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        out: Tensor = super().forward(self.input_quantizer(x), edge_index)
        return out


class Gives(Quantized):
    """An activation function that quantizes what it gives."""

    output_quantizer: ActivationQuantizer

    def forward(self, x: Tensor) -> Tensor:
        # Nodes come last but for features: ARMA has its stacks before them.
        out = super().forward(x)
        given: Tensor = self.output_quantizer(out, None, max(-2, -out.dim()))
        return given


class Aggregates(Quantized):
    """An aggregation that quantizes messages, and what it makes of them.

    Their edges and nodes lie along `dim`: [E, F], and ARMA's [stacks, E, F].
    """

    message_quantizer: ActivationQuantizer
    aggregation_quantizer: ActivationQuantizer

    def forward(
        self, x: Tensor, index: Tensor | None = None, *, dim: int = -2, **options: Any
    ) -> Tensor:
        messages = self.message_quantizer(x, index, dim)
        aggregated = super().forward(messages, index, dim=dim, **options)
        quantized: Tensor = self.aggregation_quantizer(aggregated, None, dim)
        return quantized


class Attends(Quantized):
    """Message passing whose coefficients [E, heads] are made in `edge_update`: GAT, GATv2."""

    attention_quantizer: ActivationQuantizer

    def edge_update(self, *args: Any, index: Tensor, **options: Any) -> Tensor:
        made: Any = super()
        coefficients: Tensor = made.edge_update(*args, index=index, **options)
        quantized: Tensor = self.attention_quantizer(coefficients, index)
        return quantized


class AttendsInMessage(Quantized):
    """The transformer operator, whose coefficients are made where messages are."""

    attention_quantizer: ActivationQuantizer
    out_channels: int

    def message(
        self,
        query_i: Tensor,
        key_j: Tensor,
        value_j: Tensor,
        edge_attr: None,  # noqa: ARG002 - graphs here have no features of edges
        index: Tensor,
        ptr: Tensor | None,
        size_i: int | None,
    ) -> Tensor:
        scores = (query_i * key_j).sum(dim=-1) / math.sqrt(self.out_channels)
        coefficients = self.attention_quantizer(softmax(scores, index, ptr, size_i), index)
        weighed: Tensor = value_j * coefficients.unsqueeze(-1)
        return weighed
