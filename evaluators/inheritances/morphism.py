"""Begins as a network that computes what its parent does: wider layers, more layers.

Chen, Goodfellow and Shlens, "Net2Net: accelerating learning via knowledge transfer", 2016. The new
channels of a wider layer are copies of its own, a new layer is the identity (see
`search_spaces.morphism`, which says what can grow). A little noise tells copies apart, which would
have equal gradients for ever; a new layer that gives zeros before a ReLU learns by its noise alone.
What is copied is drawn by torch's random numbers.

Limits: for candidates that their parents can grow into; others are refused.
"""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import nn

from evaluators.inheritances._base import Parent
from search_spaces import Architecture, SpaceError
from search_spaces.morphism import morph


def inherit(
    network: nn.Module,
    architecture: Architecture,
    parent: Parent,
    *,
    noise: Annotated[float, Ge(0)] = 1e-2,
    noise_deeper: Annotated[float, Ge(0)] = 1e-3,
) -> None:
    """Give the network the weights with which it computes what its parent does.

    Args:
        network: of the candidate, just built.
        architecture: of the candidate.
        parent: what it grows from.
        noise: added to what new channels write, in standard deviations of the tensor.
        noise_deeper: added to the weights of new layers, in those of how they would begin.

    Raises:
        SpaceError: the parent cannot grow into it; the message says why.
    """
    if parent.space is None or parent.task is None:
        raise SpaceError(
            "the parent comes without its space and its task, which say what may grow; give "
            "Parent(..., space=..., task=...)"
        )
    generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
    weights = morph(
        parent.space,
        parent.task,
        parent.architecture,
        architecture,
        parent.weights,
        generator,
        noise=noise,
        noise_deeper=noise_deeper,
    )
    network.load_state_dict(weights)
