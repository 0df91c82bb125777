"""Compiled, with 8-bit weights in linear maps, which compute in float32: small and close.

A quarter of the bytes, at the speed of float32: integers become numbers again on their way into
each product. What maps read is rounded where the network was searched with bits, as it was trained
to be, and nowhere else, so it is the closest of the exporters in eight bits. It needs
`pip install 'gnn-nas[int8]'` and a C++ compiler here, none of them where the program runs.
`model.pt2` beside it computes the same numbers anywhere.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from nas.export._base import Contract, Exporter, ExportError, Written
from nas.export._compiled import put
from nas.export._int8 import Int8, converted, integer_maps, no_maps, torchao, with_integers
from nas.export._traced import with_origin


@dataclass(frozen=True)
class Int8WeightOnly(Int8):
    """Writes and opens `compiled.pt2`."""

    tolerance: float = 0.1

    def write(
        self,
        network: nn.Module,
        contract: Contract,
        folder: Path,
        sample: tuple[Tensor, ...],  # noqa: ARG002
    ) -> Written:
        """Convert, trace, compile, and save program and reference.

        Raises:
            ExportError: there is no compiler or no torchao; it has no linear map; it cannot be
                traced or compiled for all sizes of graph.
        """
        self.check_machine()
        torchao("torchao.quantization")
        maps = integer_maps(network)
        program = with_origin(with_integers(maps), contract)
        names = converted(program)
        if not names:
            raise ExportError(no_maps(network))
        files = put(self, folder, program, maps.network, contract, rounds=maps.rounds)
        return replace(maps.written(files, names), portable=maps.network)


def build() -> Exporter:
    """An exporter of `compiled.pt2` with 8-bit weights."""
    return Int8WeightOnly()
