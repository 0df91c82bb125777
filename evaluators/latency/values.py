"""The values of latency: where, on which graph, how long and how sure."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from search_spaces import Task, UsageError

if TYPE_CHECKING:
    from torch import Tensor

# eager: PyTorch as it runs in Python; compiled: the exported program, by AOTInductor.
Runtime: TypeAlias = Literal["eager", "compiled"]
RUNTIMES: tuple[Runtime, ...] = ("eager", "compiled")


class LatencyError(UsageError):
    """A latency that cannot be measured or predicted as asked."""


class ProfileError(LatencyError):
    """A profile that cannot be read, or does not fit: another device, runtime or version."""


class UnknownOperatorError(LatencyError):
    """A network does something that the profile has never timed: no number is made up for it."""


@dataclass(frozen=True)
class Device:
    """Where networks are timed.

    Attributes:
        name: as people call it; a profile is found under it.
        machine: in words, for people: processor, cores, caches, or the GPU.
        fingerprint: a hash of what decides how fast it is; equal on equal machines.
        kind: cpu or cuda.
        threads: that a network may use; 1 on a GPU.
    """

    name: str
    machine: str
    fingerprint: str
    kind: Literal["cpu", "cuda"] = "cpu"
    threads: int = 1


@dataclass(frozen=True)
class Workload:
    """The size of the graph that a network runs on.

    Attributes:
        nodes: `N` of one run: of the whole graph, or of all graphs of a batch.
        edges: `E`, directed.
        skew: Gini coefficient of the in-degrees, in [0, 1): 0 where all are equal.
        graphs: `B`; 1 for a node task.

    Raises:
        LatencyError: a size below its least, or a skew outside [0, 1).
    """

    nodes: int
    edges: int
    skew: float = 0.0
    graphs: int = 1

    def __post_init__(self) -> None:
        for name, least in (("nodes", 1), ("edges", 0), ("graphs", 1)):
            if getattr(self, name) < least:
                raise LatencyError(
                    f"workload: {name}: expected {least} or more, got {getattr(self, name)}"
                )
        if not 0 <= self.skew < 1:
            raise LatencyError(f"workload: skew: expected 0 or more, below 1, got {self.skew}")

    @classmethod
    def of(cls, task: Task, edge_index: "Tensor | None" = None) -> "Workload":
        """The task's own graph; for a graph task its mean graph, one at a time.

        Args:
            edge_index: [2, E], for the skew; without it, as of a random graph.
        """
        nodes = max(1, round(task.n_nodes / task.n_graphs))
        edges = round(task.n_edges / task.n_graphs)
        if edge_index is None:
            return cls(nodes, edges, random_skew(edges / nodes))
        return cls(nodes, edges, gini(edge_index, task.n_nodes))


def random_skew(degree: float) -> float:
    """The skew of a graph whose edges end anywhere: of Poisson in-degrees with this mean.

    About `1 / sqrt(pi * degree)` for large ones, and nearly 1 where most nodes have none.
    """
    if degree <= 0:
        return 0.0
    return min(0.99, 1 / math.sqrt(1 + math.pi * degree))


def gini(edge_index: "Tensor", nodes: int) -> float:
    """Gini coefficient of the in-degrees of a graph [2, E]; 0 without edges."""
    degrees = edge_index[1].bincount(minlength=nodes).double().sort().values
    total = float(degrees.sum())
    if not total:
        return 0.0
    ranks = 2 * degrees.new_tensor(range(1, len(degrees) + 1)) - len(degrees) - 1
    return min(0.99, max(0.0, float((ranks * degrees).sum()) / (len(degrees) * total)))


@dataclass(frozen=True)
class Interval:
    """A prediction with its spread.

    Attributes:
        mean: the prediction: the median of a distribution that is normal in the logarithm.
        low, high: where 90 % of measurements are expected.
        beyond: in which respects it goes beyond what was profiled ("nodes 2,000,000 > 50,000");
            empty where it does not.
    """

    mean: float
    low: float
    high: float
    beyond: tuple[str, ...] = ()


@dataclass(frozen=True)
class Timing:
    """One network timed on one device and workload.

    Attributes:
        latency_ms: the figure: the lower quartile over rounds, of CPU time where one thread runs
            (others on the machine do not count then), of wall time where several do, of events on
            a GPU.
        cpu_ms, cpu_median_ms, wall_ms, wall_median_ms: lower quartiles and medians of both clocks.
        spread: interquartile range over the median, of the clock that gives the figure.
        rounds: how many were kept.
        load: mean number of processes that wanted to run meanwhile, over the cores.
        drift: by how much the reference kernel was slower or faster than at its best, relative.
        noisy: whether drift or spread stayed above what is allowed after all repetitions.
        peak_memory_bytes: of tensors alive at a time, weights and inputs included.
        energy_mj: of one run, millijoules; None where the device reports none.
    """

    latency_ms: float
    cpu_ms: float
    cpu_median_ms: float
    wall_ms: float
    wall_median_ms: float
    spread: float
    rounds: int
    load: float
    drift: float
    noisy: bool
    peak_memory_bytes: int | None = None
    energy_mj: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}
