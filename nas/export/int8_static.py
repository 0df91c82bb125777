"""Compiled, with 8-bit weights and inputs of linear maps, whose ranges are chosen beforehand.

A network that was searched with bits keeps what it was trained with: what a map reads has the codes
of its own quantizer, of 8 bits or fewer, and what is rounded elsewhere is rounded in the program by
the same operations. It computes what the network does, but for sums in another order. Other maps
read the range from the least to the largest number that they read on the study's graph; beyond it
is cut off, so give them graphs like that one. It is the fastest exporter, and needs
`pip install 'gnn-nas[int8]'` and a C++ compiler here, none of them where the program runs.
`model.pt2` beside it computes the same numbers anywhere, by plain operations. Sums over edges,
attention and normalization stay in float32.
"""

import copy
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from nas.export._base import Contract, Exporter, ExportError, Written
from nas.export._compiled import put
from nas.export._int8 import Int8, integer_maps, no_maps, taken_grids, too_large, torchao
from nas.export._traced import with_origin

_OBSERVED = (
    "What {} of its {} linear maps read was trained in more than 8 bits; it is read in 8, of the "
    "range that it had on the sample."
)
_TOO_LARGE = (
    "{} of its {} linear maps stay in float32: this processor adds products of two 8-bit integers "
    "in 16 bits, which are too few for what they were trained with. A processor with VNNI has more."
)
_ELSE = "Export with int8_weight_only or aoti, or search with activation_bits or weight_bits of 6."


@dataclass(frozen=True)
class Int8Static(Int8):
    """Writes and opens `compiled.pt2`."""

    tolerance: float = 0.5

    def write(
        self, network: nn.Module, contract: Contract, folder: Path, sample: tuple[Tensor, ...]
    ) -> Written:
        """Trace, observe the sample, convert, compile, and save program and reference.

        Raises:
            ExportError: there is no compiler or no torchao; no linear map would run in eight bits;
                the network cannot be traced or compiled for all sizes of graph.
        """
        self.check_machine()
        torchao("torchao.quantization.pt2e.quantize_pt2e")
        from nas.export._pt2e import in_plain_operations, quantized

        maps = integer_maps(network)
        large = too_large(maps)
        if len(large) == len(maps.codes):
            raise ExportError(f"{_TOO_LARGE.format(*[len(large)] * 2)} {_ELSE}")
        grids = taken_grids(maps.network, large)
        module, names = quantized(with_origin(maps.network, contract), sample, grids, large)
        if not names:
            raise ExportError(no_maps(network))
        program = with_origin(module, contract)
        reference = in_plain_operations(copy.deepcopy(module))
        rounds = maps.rounds
        files = put(self, folder, program, reference, contract, rounds=rounds, freezing=True)
        observed = [name for name in names if name not in grids]
        notes = [_OBSERVED.format(len(observed), len(names))] if observed else []
        written = maps.written(files, names, notes, sample_only=bool(observed))
        kept = (_TOO_LARGE.format(len(large), len(maps.codes)),) if large else ()
        return replace(written, notes=(*written.notes, *kept), portable=reference)


def build() -> Exporter:
    """An exporter of `compiled.pt2`, in 8-bit integers with ranges that are known."""
    return Int8Static()
