"""Linear maps whose weights are 8-bit integers: what the exporters of such programs share.

A weight [out, in] is codes times a scale for each of its outputs. Weights that lie on such a grid
already, because they were trained in eight bits or fewer, keep their values: the scale of a row is
that of the coarsest grid that it lies on, and max|w| / 127 where it lies on none. What a network
was trained to round besides, its program rounds as well.
"""

import copy
import importlib
import importlib.util
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import cast

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch_geometric.nn import Linear as PygLinear

from nas.export._base import ExportError, Written
from nas.export._compiled import Compiled
from nas.export._parity import COARSE, NEAR, rounds_activations
from nas.export._quiet import quiet
from search_spaces.quantization.codes import Codes
from search_spaces.quantization.layers import settled
from search_spaces.quantization.mixins import Reads

MOST_BITS = 8
LOW, HIGH = -128, 127
# Codes that a map reads are unsigned. Where the processor adds products of eight bits to 32 bits
# (VNNI) they may have all eight; elsewhere two products are added in 16 bits, cut off at MOST_SUM.
MOST_CODE = 255
MOST_SUM = 2**15 - 1
# How far from a grid point a weight may lie that lies on the grid, in steps.
_ON_GRID = 1e-3
_MISSING = (
    "this exporter converts networks by torchao, which is not installed: "
    "pip install 'gnn-nas[int8]', or export with pt2 or aoti"
)
_MOVED = "The weights of {} of its {} linear maps were trained in more than 8 bits, and have 8."


@dataclass(frozen=True)
class Int8(Compiled):
    """What exporters of such programs have in common: what they need, and what they refuse."""

    def check_machine(self) -> None:
        """Refuse to begin without a compiler or torchao.

        Raises:
            ExportError: it says how that is installed.
        """
        super().check_machine()
        # Importing it takes seconds.
        if importlib.util.find_spec("torchao") is None:
            raise ExportError(_MISSING)

    def unfit(self, network: nn.Module) -> str:
        """What has no linear map would be in float32."""
        return "" if next(linear_maps(network), None) else no_maps(network)


@dataclass(frozen=True, eq=False)
class Maps:
    """A network whose linear maps have weights on 8-bit grids.

    Attributes:
        network: a copy with those weights as numbers, and all that rounds activations, settled.
        codes: of each map, the integers of its weight, by the weight's name.
        moved: the names of the weights that were on no such grid.
        rounds: whether the network rounds activations on its way.
    """

    network: nn.Module
    codes: dict[str, Codes]
    moved: tuple[str, ...]
    rounds: bool

    def written(
        self,
        files: Sequence[Path],
        names: Sequence[str],
        notes: Sequence[str] = (),
        *,
        sample_only: bool = False,
    ) -> Written:
        """What is written of it.

        Args:
            names: of the weights that the program has as integers.
            notes: what it rounds to eight bits that the network does not.
            sample_only: see `Written`.
        """
        codes = {name: self.codes[name] for name in names}
        if not self.rounds:
            return Written(files, (), codes, sample_only=sample_only)
        moved = [name for name in names if name in self.moved]
        if moved:
            notes = (*notes, _MOVED.format(len(moved), len(names)))
        tolerance = COARSE if notes else NEAR
        return Written(files, tuple(notes), codes, tolerance, sample_only)


def linear_maps(network: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """Linear maps of torch and of PyTorch Geometric, by the names of their weights."""
    for path, module in network.named_modules():
        if isinstance(module, nn.Linear | PygLinear):
            # PyTorch Geometric's is no subclass of torch's, and has weight and bias as that has.
            yield f"{path}.weight" if path else "weight", cast(nn.Linear, module)


def integer_maps(network: nn.Module) -> Maps:
    """The linear maps of a network with weights of eight bits.

    Raises:
        ExportError: it has none.
    """
    made = settled(copy.deepcopy(network))
    codes: dict[str, Codes] = {}
    moved = []
    for name, module in linear_maps(made):
        codes[name] = codes_of(module.weight.detach())
        weight = codes[name].dequantized()
        if bool(((weight - module.weight).abs() > 2 * _ON_GRID * codes[name].scale).any()):
            moved.append(name)
        module.weight = nn.Parameter(weight, requires_grad=False)
    if not codes:
        raise ExportError(no_maps(network))
    return Maps(made.eval(), codes, tuple(moved), rounds_activations(network))


def most_code() -> int:
    """The largest code that a map may read, so that no weight makes its sum too large here."""
    return MOST_CODE if torch.cpu._is_vnni_supported() else MOST_SUM // (2 * -LOW)


def too_large(maps: Maps) -> list[str]:
    """The names of the weights whose products with what is read would be cut off here.

    What maps read that was trained in eight bits has codes up to 255, and no other ones can be
    chosen any more; of all others `most_code` is the largest.
    """
    if torch.cpu._is_vnni_supported():
        return []
    large = []
    for name, module in linear_maps(maps.network):
        grid = _grid_read(module)
        if grid is not None:
            most = (grid.high - min(grid.low, 0)) * int(maps.codes[name].values.abs().max())
            if 2 * most > MOST_SUM:
                large.append(name)
    return large


def _grid_read(module: nn.Module) -> Codes | None:
    """How a linear map rounds what it reads, if to 8 bits or fewer over a range that was seen."""
    if not isinstance(module, Reads) or module.input_quantizer.format.bits > MOST_BITS:
        return None
    return module.input_quantizer.grid()


def taken_grids(network: nn.Module, but: Collection[str] = ()) -> dict[str, Codes]:
    """How linear maps round what they read, by the names of their weights; all that to 8 bits or
    fewer over a range that was seen. They are changed: what integers do, no quantizer does twice.

    Args:
        but: names of weights whose maps stay as they are.
    """
    grids: dict[str, Codes] = {}
    for name, module in linear_maps(network):
        if not isinstance(module, Reads) or name in but:
            continue
        grid = _grid_read(module)
        if grid is not None:
            grids[name] = grid
            # Signs are no nearest multiples of their scale, so they are taken first.
            if module.input_quantizer.format.is_uniform:
                module.input_quantizer = nn.Identity()
    return grids


def with_integers(maps: Maps, *, rows_too: bool = False) -> nn.Module:
    """The network with torchao's tensors of integers for weights.

    Args:
        rows_too: whether rows of what a map reads are rounded to 8 bits of their own range as well.
    """
    ao = torchao("torchao.quantization")
    workflows = torchao("torchao.quantization.quantize_.workflows")
    kind = workflows.QuantizeTensorToInt8Kwargs(granularity=ao.PerRow()) if rows_too else None
    network = copy.deepcopy(maps.network)
    for name, module in linear_maps(network):
        weight = ao.Int8Tensor.from_hp(
            module.weight.detach(),
            ao.PerRow(),
            scale=maps.codes[name].scale,
            act_quant_kwargs=kind,
        )
        module.weight = nn.Parameter(weight, requires_grad=False)
    return network


def converted(program: ExportedProgram) -> list[str]:
    """The names of the weights that a program reads as torchao's integers."""
    names = program.graph_signature.inputs_to_parameters
    return [
        names[node.args[0].name]
        for node in program.graph.nodes
        if "access_subclass_inner_tensor" in str(node.target) and node.args[1] == "qdata"
    ]


def no_maps(network: nn.Module) -> str:
    """What to say of a network of which nothing would run in eight bits."""
    kinds = Counter(type(m).__name__ for m in network.modules() if [*m.parameters(recurse=False)])
    found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none"
    return (
        "nothing of this network would run in eight bits: its exporter converts linear maps that "
        f"are called, and found none among the modules with weights ({found}); export it with pt2 "
        "or aoti"
    )


def codes_of(weight: Tensor) -> Codes:
    """A weight [out, in] as 8-bit integers with a scale for each output."""
    scale = scales(weight).unsqueeze(1)
    values = (weight / scale).round().clamp(LOW, HIGH).int()
    return Codes(values, scale, torch.zeros_like(scale, dtype=torch.int32), LOW, HIGH)


def scales(weight: Tensor) -> Tensor:
    """[out], of a weight [out, in]: 1 where all of a row is 0."""
    most = weight.abs().amax(1, keepdim=True)
    steps = torch.full_like(most, HIGH)
    parts = weight / torch.where(most > 0, most, torch.ones_like(most))
    for step in range(HIGH, 0, -1):
        multiples = parts * step
        lies = ((multiples - multiples.round()).abs() < _ON_GRID).all(1, keepdim=True)
        steps[lies] = step
    return torch.where(most > 0, most / steps, torch.ones_like(most)).squeeze(1)


def torchao(module: str) -> ModuleType:
    """A module of torchao, which is not installed with this program.

    Raises:
        ExportError: it is not there.
    """
    # It says at its first import which of its kernels for other devices it has not loaded.
    try:
        with quiet():
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ExportError(_MISSING) from error
