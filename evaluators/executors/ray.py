"""Evaluates in actors of a Ray cluster: of this machine, or of many without a shared disk.

Each actor is a worker as those of `processes` are, and gives the same numbers. Datasets are in the
object store once, and once on the disk of each node; checkpoints travel with the jobs and back. A
batch over its time has its actor killed; a batch whose actor died is tried once more, and then its
jobs one by one. Lost nodes, actors that die while they are idle or start, and faults of the disk
are tried again, at most three times. Linux and macOS. See docs/cluster.md.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from annotated_types import Ge, Gt

from evaluators.executors import _ray
from evaluators.executors._pool import Pool
from evaluators.executors._ray_actors import Actors, Wishes
from evaluators.values import Executor


def build(
    *,
    workers: Annotated[int, Ge(1)] = 1,
    num_cpus: Annotated[float, Gt(0)] = 1.0,
    num_gpus: Annotated[float, Ge(0)] = 0.0,
    memory_gb: Annotated[float, Gt(0)] | None = None,
    address: str = "",
    timeout_seconds: Annotated[float, Gt(0)] | None = None,
) -> Executor:
    """The executor. It connects when it is given the first batch.

    Args:
        workers: how many actors.
        num_cpus: that each of them reserves; less than 1 for several on one core. Each uses one
            thread whatever this says.
        num_gpus: that each of them reserves; less than 1 for several on one GPU, which share its
            memory and its time without any bound between them.
        memory_gb: GiB that each of them reserves. Ray places by it, and does not enforce it.
        address: "" starts a cluster of this machine for this study; "auto" is the one that runs
            here or is named in RAY_ADDRESS; or "host:port" or "ray://host:port".
        timeout_seconds: a bound on each candidate: checked by the evaluator first; the actor of a
            batch that has not ended one second and a tenth later is killed.
    """
    wishes = Wishes(address, workers, num_cpus, num_gpus, memory_gb)
    return Pool(Actors(wishes), workers, timeout_seconds)


def refuse(
    objectives: Mapping[str, str], halving: bool, prepares: bool, options: Mapping[str, Any]
) -> None:
    """Raise a `UsageError` where this machine has no room for so many workers.

    Args:
        objectives, halving, prepares: of the study; any will do.
        options: of this executor.
    """
    del objectives, halving, prepares
    _ray.refuse(options)
