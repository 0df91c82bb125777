"""Whether an exported program computes what its network does."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nas.export._base import Contract, ExportFailedError, Runnable
from nas.export._manifest import Parity

# What programs keep that compute with the network's own numbers.
EXACT = 1e-5
_NOT_A_PROGRAM = (
    "A network whose result depends on chance, on earlier calls or on Python's control flow "
    "cannot be exported"
)
_TOO_COARSE = (
    "Eight bits are too few for it: export with int8_weight_only, which rounds no activations, or "
    "with pt2, or search with [extension.quantization] for networks that are trained for it"
)


def compare(
    program: Runnable,
    network: Callable[..., Tensor],
    contract: Contract,
    graphs: Sequence[tuple[Tensor, ...]],
    tolerance: float,
) -> Parity:
    """Run both on each graph; y is what the network gives, p what the program gives.

    Args:
        tolerance: relative; see Raises.

    Raises:
        ExportFailedError: on some graph max|p - y| > tolerance * max(1, max|y|), shapes differ, or
            a value is not finite.
    """
    largest = 0.0
    sizes = []
    for inputs in graphs:
        sizes.append(_size(contract, inputs))
        with torch.inference_mode():
            expected = network(*inputs)
            got = program(*inputs)
        largest = max(largest, _difference(expected, got, sizes[-1], tolerance))
    return Parity(largest_difference=largest, tolerance=tolerance, graphs=tuple(sizes))


def _difference(expected: Tensor, got: Tensor, size: dict[str, int], tolerance: float) -> float:
    where = ", ".join(f"{letter}={count}" for letter, count in size.items())
    if expected.shape != got.shape:
        raise ExportFailedError(
            f"on a graph with {where} the exported program gives {list(got.shape)}, its network "
            f"{list(expected.shape)}; nothing was written"
        )
    if not bool(expected.isfinite().all()):
        raise ExportFailedError(
            f"on a graph with {where} the network gives values that are not finite; "
            "nothing was written"
        )
    difference = float((got - expected).abs().max())
    allowed = tolerance * max(1.0, float(expected.abs().max()))
    if not difference <= allowed:
        raise ExportFailedError(
            f"on a graph with {where} the exported program differs from its network by "
            f"{difference:.3g}, more than {allowed:.3g}; nothing was written. "
            + (_TOO_COARSE if tolerance > EXACT else _NOT_A_PROGRAM)
        )
    return difference


def _size(contract: Contract, inputs: tuple[Tensor, ...]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for spec, tensor in zip(contract.inputs, inputs, strict=True):
        for letter, count in zip(spec.shape, tensor.shape, strict=True):
            if isinstance(letter, str):
                sizes[letter] = count
    return sizes
