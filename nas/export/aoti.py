"""Compiled: float32 native code of AOTInductor, for this kind of processor; runs with torch alone.

One and a half to two and a half times as fast as the same network in torch. It needs a C++ compiler
here, and none where it runs.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn
from torch_geometric.nn import ChebConv

from nas.export._base import Contract, Exporter, Written
from nas.export._compiled import Compiled, put
from nas.export._parity import EXACT, NEAR, rounds_activations
from nas.export._traced import with_origin
from search_spaces.message_passing import Dense


@dataclass(frozen=True)
class Aoti(Compiled):
    """Writes and opens `compiled.pt2`."""

    tolerance: float = EXACT

    def unfit(self, network: nn.Module) -> str:
        """torch 2.13 compiles some of them to a program that computes something else.

        What a layer reads is also kept for a concatenation, and the second Chebyshev polynomial,
        2 L T_1 - T_0, is then wrong by as much as the outputs. `write` finds it, too.
        """
        for body in network.modules():
            if isinstance(body, Dense) and any(map(_is_polynomial, body.layers[:-1].modules())):
                return (
                    "torch's compiler computes cheb of 2 hops or more wrongly where layers are "
                    "concatenated (connectivity dense)"
                )
        return ""

    def write(
        self,
        network: nn.Module,
        contract: Contract,
        folder: Path,
        sample: tuple[Tensor, ...],  # noqa: ARG002
    ) -> Written:
        """Trace the network, compile the program, and save both.

        Raises:
            ExportError: there is no compiler, or the network cannot be traced or compiled for all
                sizes of graph.
        """
        self.check_machine()
        program = with_origin(network, contract)
        rounds = rounds_activations(network)
        files = put(self, folder, program, network, contract, rounds=rounds, tolerance=EXACT)
        return Written(files, mean_tolerance=NEAR if rounds else None)


def _is_polynomial(module: nn.Module) -> bool:
    return isinstance(module, ChebConv) and len(module.lins) > 2


def build() -> Exporter:
    """An exporter of `compiled.pt2`, in float32."""
    return Aoti()
