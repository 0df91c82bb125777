"""Compiled, with 8-bit weights and inputs of linear maps, whose ranges are found row by row.

The range of each row of what a map reads is that of the row at hand, so no graph is out of range;
that takes a look at every row, and is a little slower than `int8_static`. It needs
`pip install 'gnn-nas[int8]'` and a C++ compiler here, none of them where the program runs.
`model.pt2` beside it computes the same numbers anywhere, by plain operations. What a network was
trained to round it rounds as well.
"""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.export._base import Contract, Exporter, ExportError, Written
from nas.export._compiled import put
from nas.export._int8 import (
    HIGH,
    LOW,
    Int8,
    converted,
    integer_maps,
    linear_maps,
    no_maps,
    torchao,
    with_integers,
)
from nas.export._parity import COARSE
from nas.export._traced import with_origin
from search_spaces.quantization.mixins import Reads

_SLOW = (
    "This processor has no VNNI, and multiplies 8-bit integers whose ranges are found on the way "
    "many times slower than float32: export with aoti or int8_static, or for another machine."
)
_NOTE = "What its linear maps read is rounded as it was trained to be, then to 8 bits row by row."


@dataclass(frozen=True)
class Int8Dynamic(Int8):
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
        program = with_origin(with_integers(maps, rows_too=True), contract)
        reference = copy.deepcopy(maps.network)
        for _, module in linear_maps(reference):
            if isinstance(module, Reads):
                module.input_quantizer.register_forward_hook(_by_row_again)
            else:
                module.register_forward_pre_hook(_by_row)
        names = converted(program)
        if not names:
            raise ExportError(no_maps(network))
        # Rows of what is on a grid already have ties, which either may round to either side.
        files = put(
            self, folder, program, reference, contract, rounds=maps.rounds, mean_tolerance=COARSE
        )
        written = maps.written(files, names, [_NOTE])
        slow = () if torch.cpu._is_vnni_supported() else (_SLOW,)
        return replace(written, notes=(*written.notes, *slow), portable=reference)


def _by_row(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return (_in_rows(given[0]), *given[1:])


def _by_row_again(_: nn.Module, __: tuple[Any, ...], rounded: Tensor) -> Tensor:
    return _in_rows(rounded)


def _in_rows(x: Tensor) -> Tensor:
    """Each row rounded to the 8-bit integers of its own range."""
    scale = x.abs().amax(-1, keepdim=True) / ((HIGH - LOW) / 2)
    scale = scale.clamp(min=torch.finfo(torch.float32).eps)
    return (x / scale).round().clamp(LOW, HIGH) * scale


def build() -> Exporter:
    """An exporter of `compiled.pt2`, in 8-bit integers with ranges that are found."""
    return Int8Dynamic()
