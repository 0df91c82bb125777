"""Takes weights over into layers that are alike; what is not, begins anew.

Zhou, Huang, Song and Hu, "Auto-GNN: neural architecture search of graph neural networks", 2019: a
layer takes over weights only from one that is alike: the same operator, the same shapes of input
and output, the same activation. Weights that were trained below another activation or attention are
of other statistics and would mislead. Batch and layer normalization and the maps of skip
connections belong to no operator and begin anew.

The parts of a network whose weights go together are found in its modules. A module with a
`signature` (a string; see `search_spaces.message_passing.Layer`) is alike one with an equal string,
and an empty one is never taken over. What has none - perceptrons, outputs, the networks of other
spaces - is alike what has the same place and the same `repr`, which names class and sizes. A
checkpoint keeps the signatures beside the weights.

Limits: an activation that a network of another space applies between its modules is not seen.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from evaluators.inheritances._base import Parent
from search_spaces import Architecture

# By the path of each part, in the order of the modules.
Signatures: TypeAlias = dict[str, str]


def signatures(network: nn.Module) -> Signatures:
    """What each part of a network is, of those that may be taken over."""
    return {path: signature for path, signature, _ in _parts(network, "")}


def inherit(network: nn.Module, architecture: Architecture, parent: Parent) -> None:
    """Copy the parent's weights into the parts that are alike, the others stay as they are.

    The first part of a signature takes from the parent's first of that signature, the second from
    the second: a layer may have moved.

    Args:
        network: of the candidate, just built.
        architecture: of the candidate.
        parent: whose signatures and weights are looked at.
    """
    del architecture  # the modules say what is alike
    offered: dict[str, list[str]] = defaultdict(list)
    for path, signature in parent.signatures.items():
        offered[signature].append(path)
    for _, signature, own in _parts(network, ""):
        if offered[signature]:
            _copy(own, parent.weights, offered[signature].pop(0))


def _copy(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], source: str) -> None:
    """All tensors of a part, or none."""
    names = {name: _joined(source, name) for name in own}
    if all(names[n] in weights and weights[names[n]].shape == own[n].shape for n in own):
        for name, tensor in own.items():
            tensor.data.copy_(weights[names[name]])


def _parts(module: nn.Module, path: str) -> Iterator[tuple[str, str, dict[str, Tensor]]]:
    """(path, signature, its tensors by their names within) of each part."""
    signature = getattr(module, "signature", None)
    if signature == "" or _is_normalization(module):
        return
    whole = signature or isinstance(module, MessagePassing) or not any(module.children())
    tensors = _tensors(module) if whole else _own(module)
    if tensors:
        alike = signature or f"{path}: {module!r}" if whole else f"{path}: {type(module).__name__}"
        yield path, alike, tensors
    if not whole:
        for name, child in module.named_children():
            yield from _parts(child, _joined(path, name))


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Of the module and all below it, but for normalizations."""
    found = _own(module)
    for name, child in module.named_children():
        if not _is_normalization(child):
            found |= {_joined(name, inner): t for inner, t in _tensors(child).items()}
    return found


def _own(module: nn.Module) -> dict[str, Tensor]:
    return {
        **dict(module.named_parameters(recurse=False)),
        **dict(module.named_buffers(recurse=False)),
    }


def _is_normalization(module: nn.Module) -> bool:
    # torch's and PyG's have nothing else in common: BatchNorm1d, LayerNorm, GraphNorm, ...
    return "Norm" in type(module).__name__


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
