"""What a preparation keeps of tensors that are trained by Adam, and how it goes on from that."""

from collections.abc import Mapping

from torch import Tensor
from torch.optim import Adam

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def under(group: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a group of what a preparation has left, by their names in it."""
    start = f"{group}/"
    return {n.removeprefix(start): tensor for n, tensor in state.items() if n.startswith(start)}


def grouped(group: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same the other way round."""
    return {f"{group}/{name}": tensor.detach() for name, tensor in tensors.items()}


def moments(group: str, tensors: Mapping[str, Tensor], optimizer: Adam) -> dict[str, Tensor]:
    """What an optimizer remembers of its tensors."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        known = optimizer.state.get(tensor, {})
        found |= {f"{group}/{key}/{name}": known[key] for key in _MOMENTS if key in known}
    return found


def remember(
    group: str, tensors: Mapping[str, Tensor], optimizer: Adam, state: Mapping[str, Tensor]
) -> None:
    """Have an optimizer, which has not begun, remember what another did."""
    for key in _MOMENTS:
        for name, tensor in under(f"{group}/{key}", state).items():
            optimizer.state[tensors[name]][key] = tensor.clone()
