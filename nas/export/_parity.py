"""Whether an exported program computes what its network does."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from nas.export._base import Contract, ExportFailedError, Runnable
from nas.export._manifest import Parity
from search_spaces.quantization.layers import activation_quantizers

# What programs keep that compute with the network's own numbers.
EXACT = 1e-5
# By how much a compiled program may differ from its reference: a number that lies between two
# integers of eight bits may be rounded to either.
SAME = 0.05
# In the mean, of what rounds as the network does. Sums in another order are off by 1e-7, and then
# one number in 1e5 is a whole step off: 1e-7 in the mean again, whatever the step.
NEAR = 2e-3
# In the mean, of what rounds as the network does and something to eight bits besides.
COARSE = 0.05
_NOT_A_PROGRAM = (
    "A network whose result depends on chance, on earlier calls or on Python's control flow "
    "cannot be exported"
)
_TOO_COARSE = (
    "Eight bits are too few for it: export with int8_weight_only, which rounds no activations, or "
    "with pt2, or search with activation_bits of 8 or fewer under [extension.quantization], for "
    "networks that are trained for it"
)
_STEPS = (
    "Its activations have few bits, where small differences become whole steps: export it with "
    "pt2, which computes each operation as it was trained"
)


def rounds_activations(network: nn.Module) -> bool:
    """Whether it rounds any on its way."""
    return any(not each.format.is_float for _, each in activation_quantizers(network))


def compare(
    program: Runnable,
    network: Callable[..., Tensor],
    contract: Contract,
    graphs: Sequence[tuple[Tensor, ...]],
    tolerance: float,
    *,
    in_mean: bool = False,
) -> Parity:
    """Run both on each graph; y is what the network gives, p what the program gives.

    Args:
        tolerance: relative; see Raises.
        in_mean: whether it is of the mean over all logits of all graphs.

    Raises:
        ExportFailedError: on some graph max|p - y| > tolerance * max(1, max|y|), or in the mean
            mean|p - y| is; shapes differ, or a value is not finite.
    """
    differences = []
    sizes = []
    size_of_y = 1.0
    for inputs in graphs:
        sizes.append(_size(contract, inputs))
        with torch.inference_mode():
            expected = network(*inputs)
            got = program(*inputs)
        where = "a graph with " + ", ".join(f"{name}={n}" for name, n in sizes[-1].items())
        differences.append(_differences(expected, got, where))
        size_of_y = max(size_of_y, float(expected.abs().max()))
        if not in_mean:
            allowed = tolerance * max(1.0, float(expected.abs().max()))
            _check(float(differences[-1].max()), allowed, where, _advice(tolerance))
    together = torch.cat(differences)
    mean = float(together.mean()) if in_mean else None
    if mean is not None:
        _check(mean, tolerance * size_of_y, f"{len(sizes)} graphs, in the mean,", _STEPS)
    return Parity(
        largest_difference=float(together.max()),
        mean_difference=mean,
        tolerance=tolerance,
        graphs=tuple(sizes),
    )


def _differences(expected: Tensor, got: Tensor, where: str) -> Tensor:
    """|p - y|, flat."""
    if expected.shape != got.shape:
        raise ExportFailedError(
            f"on {where} the exported program gives {list(got.shape)}, its network "
            f"{list(expected.shape)}; nothing was written"
        )
    if not bool(expected.isfinite().all()):
        raise ExportFailedError(
            f"on {where} the network gives values that are not finite; nothing was written"
        )
    return (got - expected).abs().flatten()


def _check(difference: float, allowed: float, where: str, advice: str) -> None:
    if not difference <= allowed:
        raise ExportFailedError(
            f"on {where} the exported program differs from its network by {difference:.3g}, more "
            f"than {allowed:.3g}; nothing was written. {advice}"
        )


def _advice(tolerance: float) -> str:
    return _TOO_COARSE if tolerance > EXACT else _NOT_A_PROGRAM


def _size(contract: Contract, inputs: tuple[Tensor, ...]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for spec, tensor in zip(contract.inputs, inputs, strict=True):
        for letter, count in zip(spec.shape, tensor.shape, strict=True):
            if isinstance(letter, str):
                sizes[letter] = count
    return sizes
