"""Networks that compute with numbers of few bits: quantizers put into the modules they have.

A module gets a quantizer by a class of its own, made from the one it has: parameters and buffers
keep their names, and only those of quantizers come to them. The weights of linear maps and of
message passing are read through a quantizer, and so are the inputs of linear maps, the messages of
each message passing and what it aggregates, attention coefficients, and, where that is asked for,
the outputs of activation functions. Hooks would not do: PyTorch Geometric leaves its own out of
what is exported.

Full precision stay biases, normalization, and what no quantizer reads.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, MessagePassing, TransformerConv
from torch_geometric.nn import Linear as PygLinear
from torch_geometric.nn.aggr import Aggregation

from search_spaces.message_passing import ACTIVATIONS
from search_spaces.quantization.formats import FLOAT, Format
from search_spaces.quantization.mixins import (
    SUFFIX,
    Aggregates,
    Attends,
    AttendsInMessage,
    Gives,
    Quantized,
    Reads,
    ReadsItself,
)
from search_spaces.quantization.quantizers import ActivationQuantizer, Options, WeightQuantizer

_ACTIVATIONS = tuple({type(make()) for make in ACTIVATIONS.values()} - {nn.Identity})
# How parameters begin that attention reads.
_ATTENTION = "att"
# What is done to the features first is a linear map, of these.
_READ_BY_MAPS = (nn.Linear, PygLinear, GCNConv, GATConv, GATv2Conv, TransformerConv)


@dataclass(frozen=True)
class Precision:
    """The formats of a module's components.

    Attributes:
        weight, activation: of linear maps: their weights, and what they read.
        attention_weight, attention: attention vectors, and coefficients.
        message, aggregation: what neighbors send, and what a node has of all of them.
        output: of activation functions.
    """

    weight: Format = FLOAT
    activation: Format = FLOAT
    attention_weight: Format = FLOAT
    attention: Format = FLOAT
    message: Format = FLOAT
    aggregation: Format = FLOAT
    output: Format = FLOAT


def quantize(module: nn.Module, precision: Precision, options: Options) -> nn.Module:
    """Put quantizers into a module and those within it; it is changed, and returned."""
    for part in list(module.modules()):
        if not isinstance(part, Quantized | WeightQuantizer | ActivationQuantizer):
            _quantize_one(part, precision, options)
    return module


def quantized_weights(network: nn.Module) -> Iterator[tuple[str, Tensor, WeightQuantizer]]:
    """Of each quantized parameter the name in the state dict, its full-precision value, and what
    rounds it."""
    for path, module in network.named_modules():
        if isinstance(module, Quantized):
            for name in module.quantized_names:
                quantizer = module.get_submodule(name + SUFFIX)
                parameter = module._parameters[name]
                if isinstance(quantizer, WeightQuantizer) and parameter is not None:
                    yield f"{path}.{name}" if path else name, parameter, quantizer


def activation_quantizers(network: nn.Module) -> Iterator[tuple[str, ActivationQuantizer]]:
    """All of a network, by path."""
    for path, module in network.named_modules():
        if isinstance(module, ActivationQuantizer):
            yield path, module


def reads_sparse(module: nn.Module) -> bool:
    """Whether a module reads features by linear maps, which take them as a sparse matrix."""
    maps = [part for part in module.modules() if isinstance(part, nn.Linear | PygLinear)]
    by_maps = type(module) in _READ_BY_MAPS or getattr(module, "plain", None) in _READ_BY_MAPS
    return by_maps and all(isinstance(part, Reads) for part in maps)


def settled(network: nn.Module) -> nn.Module:
    """Round the weights for good, and keep the ranges of activations; it is changed, and returned.

    It computes the same in evaluation mode, and branches on no value any more.
    """
    for module in list(network.modules()):
        if isinstance(module, ActivationQuantizer):
            module.settle()
        elif isinstance(module, Quantized):
            _round_for_good(module)
    return network


def _quantize_one(module: nn.Module, precision: Precision, options: Options) -> None:
    if isinstance(module, nn.Linear | PygLinear):
        _put(module, Reads, options, input=precision.activation)
        _read_by(module, {"weight": precision.weight}, options, by_row=True)
    elif isinstance(module, MessagePassing):
        aggregation = getattr(module, "aggr_module", None)
        if isinstance(aggregation, Aggregation):
            of_both = {"message": precision.message, "aggregation": precision.aggregation}
            _put(aggregation, Aggregates, options, **of_both)
        attends = _attends(module)
        if attends is not None:
            _put(module, attends, options, attention=precision.attention)
        formats = {
            name: precision.attention_weight if name.startswith(_ATTENTION) else precision.weight
            for name, parameter in module.named_parameters(recurse=False)
            if parameter.dim() > 1
        }
        if any(not name.startswith(_ATTENTION) for name in formats):
            _put(module, ReadsItself, options, input=precision.activation)
        _read_by(module, formats, options, by_row=False)
    elif isinstance(module, _ACTIVATIONS):
        _put(module, Gives, options, output=precision.output)


def _attends(module: MessagePassing) -> type[Quantized] | None:
    if isinstance(module, TransformerConv):
        return AttendsInMessage
    overrides = type(module).edge_update is not MessagePassing.edge_update
    return Attends if overrides else None


def _put(module: nn.Module, mixin: type[Quantized], options: Options, **formats: Format) -> None:
    """Have activations quantized, unless all stay as they are."""
    if all(format_.is_float for format_ in formats.values()):
        return
    for name, format_ in formats.items():
        module.add_module(name + SUFFIX, ActivationQuantizer(format_, options))
    given_class(module, mixin)


def given_class(module: nn.Module, mixin: type[Quantized]) -> None:
    """Have a module do what a mixin does; all that it has stays."""
    module.__class__ = _class_of(type(module), mixin, ())


def _read_by(
    module: nn.Module, formats: dict[str, Format], options: Options, *, by_row: bool
) -> None:
    """Have parameters read through quantizers."""
    formats = {n: f for n, f in formats.items() if not f.is_float}
    for name, format_ in formats.items():
        parameter = module._parameters[name]
        if parameter is not None:
            quantizer = WeightQuantizer(format_, options, parameter, by_row=by_row)
            module.add_module(name + SUFFIX, quantizer)
    if formats:
        module.__class__ = _class_of(type(module), Quantized, tuple(formats))


# Every class is made once: networks of one architecture are of equal types.
_MADE: dict[tuple[object, ...], type[Any]] = {}


def _class_of(kind: type[Any], mixin: type[Any], names: tuple[str, ...]) -> type[Any]:
    key = (kind, mixin, names)
    if key not in _MADE:
        _MADE[key] = _made(kind, mixin, names)
    return _MADE[key]


def _made(kind: type[Any], mixin: type[Any], names: tuple[str, ...]) -> type[Any]:
    plain = kind.plain if issubclass(kind, Quantized) else kind
    attributes: dict[str, Any] = {name: property(_reader(name)) for name in names}
    attributes |= {"plain": plain, "__module__": __name__}
    if names:
        attributes |= {"quantized_names": names, "unread": kind}
    bases = (kind,) if mixin in kind.__mro__ else (mixin, kind)
    return type(f"Quantized{plain.__name__}", bases, attributes)


def _reader(name: str) -> Callable[[nn.Module], Tensor]:
    def read(module: nn.Module) -> Tensor:
        quantizer = module._modules[name + SUFFIX]
        weight = module._parameters[name]
        if quantizer is None or weight is None:
            raise AttributeError(f"{type(module).__name__} has no {name}")
        quantized: Tensor = quantizer(weight)
        return quantized

    return read


def _round_for_good(module: Quantized) -> None:
    """Keep the rounded weights, and no quantizer of weights."""
    rounded = {name: getattr(module, name).detach() for name in module.quantized_names}
    if not rounded:
        return
    module.__class__ = module.unread
    for name, weight in rounded.items():
        delattr(module, name + SUFFIX)
        module._parameters[name] = nn.Parameter(weight, requires_grad=False)
