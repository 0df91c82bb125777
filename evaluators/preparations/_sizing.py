"""How many bytes an architecture's network takes, and how many with other formats.

A network is measured module by module, each alone and once: on torch's meta device, as it is
stored (`search_spaces.quantization.storage`). Bytes add up over modules, and over the formats that
are decided one by one, so that what is expected of formats that are not decided yet is known
exactly: see `Row`.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import torch
from torch import Tensor, nn

from search_spaces import Architecture, SearchSpace, SpaceError, Task
from search_spaces.elastic import group_of, normalization_module
from search_spaces.message_passing import ACTIVATIONS
from search_spaces.quantization.deciding import named, options, precision
from search_spaces.quantization.layers import Precision, quantize
from search_spaces.quantization.quantizers import Options
from search_spaces.quantization.storage import stored_bytes
from search_spaces.relaxation import learned

_BITS = "_bits"
# What makes a module, with which arguments, and how much it reads and writes.
_Module: TypeAlias = tuple[Callable[..., nn.Module], tuple[Hashable, ...], int, int]


@dataclass(frozen=True, eq=False)
class Row:
    """The bytes of a network.

    Attributes:
        value: as it is.
        other: {decision about bits: [choices] by how many more its network would take with each}.
    """

    value: float
    other: Mapping[str, Tensor]

    def expected(self, probabilities: Mapping[str, Tensor]) -> Tensor:
        """[] with formats that are drawn, independently."""
        changes = [(probabilities[name] @ change) for name, change in self.other.items()]
        return self.value + sum(changes, torch.zeros(()))


class Sizes:
    """Of the networks of a space whose modules are known.

    Args:
        space: `gnn`, extended or not.
        task: of the networks.
    """

    def __init__(self, space: SearchSpace, task: Task) -> None:
        self._space, self._task = space, task
        self._free = [d for d in learned(space) if is_of_bits(d.name)]
        self._rows: dict[str, Row] = {}

    def row(self, architecture: Architecture) -> Row:
        """Of one architecture."""
        if architecture.key not in self._rows:
            self._rows[architecture.key] = self._row(architecture)
        return self._rows[architecture.key]

    def _row(self, architecture: Architecture) -> Row:
        choices, how = architecture.choices, options(architecture.choices)
        made: dict[str, list[_Module]] = {}
        for group, module in _modules(self._space, architecture, self._task):
            made.setdefault(group, []).append(module)
        modules = {group: tuple(found) for group, found in made.items()}
        sizes = {g: _bytes(found, precision(choices, g), how) for g, found in modules.items()}
        other = {}
        for decision in self._free:
            if decision.name not in choices:
                continue
            of = decision.name.split(".")[1:-1]
            changed = [group for group in modules if not of or group == of[0]]
            before = sum(sizes[group] for group in changed)
            other[decision.name] = torch.tensor(
                [
                    float(
                        sum(_bytes(modules[g], precision(with_, g), how) for g in changed) - before
                    )
                    for with_ in ({**choices, decision.name: choice} for choice in decision.choices)
                ]
            )
        return Row(float(sum(sizes.values())), other)


def is_of_bits(name: str) -> bool:
    """Whether a decision is about a format."""
    return name.startswith(named("")) and name.endswith(_BITS)


def _modules(
    space: SearchSpace, architecture: Architecture, task: Task
) -> Iterator[tuple[str, _Module]]:
    """What is stored of a network, with its group: all but what has no state."""
    if space.elastic is None:
        raise SpaceError(
            f'{space.decisions[0].name}: what networks of the space "{space.name}" are made of is '
            'not known; use name = "gnn"'
        )
    for place in space.elastic(space, architecture, task):
        group = group_of(place.bank)
        if place.path:
            reads = sum(channels.width for channels in place.reads)
            yield group, (place.build, place.arguments, reads, place.writes.width)
        if group in ("pre", "post"):
            yield group, (_activation, ("relu",), 0, 0)
        elif place.build is normalization_module:
            name = architecture.choices[f"{group}.activation"]
            yield group, (_activation, (name,), 0, 0)


def _activation(_reads: int, _writes: int, name: str) -> nn.Module:
    return ACTIVATIONS[name]()


@lru_cache(maxsize=65_536)
def _bytes(modules: tuple[_Module, ...], formats: Precision, how: Options) -> int:
    """Of modules together."""
    return sum(_stored(module, formats, how) for module in modules)


@lru_cache(maxsize=65_536)
def _stored(module: _Module, formats: Precision, how: Options) -> int:
    build, arguments, reads, writes = module
    with torch.device("meta"):
        return stored_bytes(quantize(build(reads, writes, *arguments), formats, how))
