"""Hands over the parent's own tensors."""

from torch import nn

from evaluators import Parent
from search_spaces import Architecture


def inherit(network: nn.Module, architecture: Architecture, parent: Parent) -> None:
    own = network.state_dict()
    for name, tensor in parent.weights.items():
        if name in own and own[name].shape == tensor.shape:
            module, _, leaf = name.rpartition(".")
            network.get_submodule(module)._parameters[leaf] = nn.Parameter(tensor)
