"""Compiled: float32 native code of AOTInductor, for this kind of processor; runs with torch alone.

One and a half to two and a half times as fast as the same network in torch. It needs a C++ compiler
here, and none where it runs.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from nas.export._base import Contract, Exporter, Written
from nas.export._compiled import Compiled, put
from nas.export._parity import EXACT, NEAR, rounds_activations
from nas.export._traced import with_origin


@dataclass(frozen=True)
class Aoti(Compiled):
    """Writes and opens `compiled.pt2`."""

    tolerance: float = EXACT

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


def build() -> Exporter:
    """An exporter of `compiled.pt2`, in float32."""
    return Aoti()
