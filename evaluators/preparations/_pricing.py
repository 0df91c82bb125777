"""What architectures cost, MACs or milliseconds, by a linear function of their modules' work.

A module that reads r channels and writes w does work in proportion to r w, w^2, r, w and 1, each at
a price of its kind: its operator with its options, a linear map, a normalization. MACs are of this
form, so a few examples give them exactly; a latency is so in part, and `error` says how far.
Prices are never negative. Where bits are decided (`search_spaces.extensions.quantization`), work
has prices by its bits besides: bit operations are of that form.

Limits: spaces of networks whose modules are known (`SearchSpace.elastic`).
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from search_spaces import Architecture, PluginError, SearchSpace, SpaceError, Task
from search_spaces.elastic import Place, group_of
from search_spaces.quantization.deciding import named, precision
from search_spaces.quantization.formats import FLOAT

Floats: TypeAlias = NDArray[np.float64]
# Of a kind of module, and of one of its amounts of work.
_Work: TypeAlias = dict[tuple[Hashable, ...], float]
# By what work is multiplied, by what that is called.
_Bits: TypeAlias = Mapping[tuple[str, ...], float]
_WHOLE: _Bits = {(): 1.0}
# One example in so many is held out to see how well the others foretell it.
_HELD_OUT = 5
# Beyond a trace of ridge, several prices that explain the same share it.
_RIDGE = 1e-9


@dataclass(frozen=True, eq=False)
class Pricing:
    """The cost of any architecture of a space.

    Attributes:
        space, task: of the architectures.
        prices: of a unit of each kind of work.
        error: the mean relative error on examples that were held out; 0 where too few are known.
    """

    space: SearchSpace
    task: Task
    prices: Mapping[tuple[Hashable, ...], float]
    error: float

    @classmethod
    def fitted(
        cls,
        space: SearchSpace,
        task: Task,
        architectures: Sequence[Architecture],
        costs: Sequence[float],
    ) -> "Pricing":
        """Learn prices from examples, by the squares of relative errors.

        Raises:
            SpaceError: the modules of the space's networks are not known.
            PluginError: no examples, or a cost that is not above 0.
        """
        if not 0 < len(architectures) == len(costs) or min(costs) <= 0:
            raise PluginError(
                "examples: expected some, each with a cost above 0, got "
                f"{len(architectures)} with {len(costs)} costs"
            )
        work = [work_of(space, architecture, task) for architecture in architectures]
        value = np.array(costs, dtype=np.float64)
        prices = _prices(work, value)
        return cls(space, task, prices, _error(work, value) if len(work) >= _HELD_OUT else 0.0)

    def cost(self, architecture: Architecture) -> float:
        """Of one architecture."""
        return _priced(work_of(self.space, architecture, self.task), self.prices)


def work_of(space: SearchSpace, architecture: Architecture, task: Task) -> _Work:
    """What the modules of a network do, by kind.

    Raises:
        SpaceError: they are not known.
    """
    if space.elastic is None:
        raise SpaceError(
            f'{space.decisions[0].name}: what networks of the space "{space.name}" cost is not '
            'known module by module; use name = "gnn"'
        )
    found: _Work = {("network",): 1.0}
    places = space.elastic(space, architecture, task)
    for kind, reads, writes, of_bits in _modules(places, architecture, task):
        amounts = {"both": reads * writes, "square": writes**2, "reads": reads, "writes": writes}
        found[kind] = found.get(kind, 0.0) + 1.0
        for what, amount in amounts.items():
            for how, bits in of_bits.items():
                key = (*kind, what, *how)
                found[key] = found.get(key, 0.0) + amount * bits
    return found


def _modules(
    places: Sequence[Place], architecture: Architecture, task: Task
) -> Iterator[tuple[tuple[Hashable, ...], float, float, _Bits]]:
    """The kind of each, how much it reads and writes, and the bits of that; with the read-out of a
    graph task.
    """
    has_read_out = not task.is_graph_task
    for place in places:
        if not place.path:  # of other widths; this network has no such map
            continue
        reads = float(sum(channels.width for channels in place.reads))
        of_graphs = task.is_graph_task and place.bank.startswith(("post", "output"))
        if of_graphs and not has_read_out:
            has_read_out = True
            yield ("read_out", architecture.choices["readout"]), reads, 0.0, _WHOLE
        kind = (place.build.__name__, *place.arguments, of_graphs)
        yield kind, reads, float(place.writes.width), _bits(architecture, place)


def _bits(architecture: Architecture, place: Place) -> _Bits:
    """By what work is multiplied, beside being counted: where bits are decided, by those of what is
    multiplied or summed, each as a share of 32.
    """
    if not any(name.startswith(named("")) for name in architecture.choices):
        return _WHOLE
    formats = precision(architecture.choices, group_of(place.bank))
    activation = formats.activation.bits / FLOAT.bits
    return {
        **_WHOLE,
        ("products",): formats.weight.bits / FLOAT.bits * activation,
        ("activations",): activation,
        ("messages",): formats.message.bits / FLOAT.bits,
    }


def _error(work: Sequence[_Work], costs: Floats) -> float:
    """The mean relative one of what is foretold of one example in so many from the others."""
    held = np.arange(len(work)) % _HELD_OUT == _HELD_OUT - 1
    prices = _prices([w for w, out in zip(work, held, strict=True) if not out], costs[~held])
    left = [w for w, out in zip(work, held, strict=True) if out]
    errors = [abs(_priced(w, prices) / v - 1) for w, v in zip(left, costs[held], strict=True)]
    return float(np.mean(errors))


def _priced(work: _Work, prices: Mapping[tuple[Hashable, ...], float]) -> float:
    return sum(amount * prices.get(key, 0.0) for key, amount in work.items())


def _prices(work: Sequence[_Work], costs: Floats) -> dict[tuple[Hashable, ...], float]:
    keys = list(dict.fromkeys(key for one in work for key in one))
    place = {key: i for i, key in enumerate(keys)}
    matrix = np.zeros((len(work), len(keys)))
    for row, one in enumerate(work):
        for key, amount in one.items():
            matrix[row, place[key]] = amount / costs[row]
    norms = np.maximum(np.sqrt((matrix**2).mean(axis=0)), np.finfo(np.float64).tiny)
    ridge = _RIDGE * np.sqrt(len(work)) * np.eye(len(keys))
    wanted = np.concatenate([np.ones(len(work)), np.zeros(len(keys))])
    solved, _ = nnls(np.vstack([matrix / norms, ridge]), wanted, maxiter=100 * len(keys))
    return dict(zip(keys, (solved / norms).tolist(), strict=True))
