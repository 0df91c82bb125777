"""The work of an architecture on a workload: put together from parts that were traced before.

A space that tells the parts of its networks (`search_spaces.parts`) has few of them. Each is traced
once for a size of graph; of parts that differ in their width alone two are, and from these the
others are computed. Networks of other spaces are traced whole. Sparse ones are traced as small as
they will be, and with an edge ticket on as many edges as it will leave; a rule for edges, which is
run with the network, is taken to leave all.
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import torch
from torch import nn

from evaluators._faults import CandidateError, network_fault
from evaluators.latency.shapes import network_inputs, part_inputs, without_values
from evaluators.latency.tracing import Recording, Trace, Work, record, total, trace
from evaluators.latency.values import Workload
from search_spaces import Architecture, SearchSpace, Task
from search_spaces.parts import Part
from search_spaces.sparsity.leaving import edges_left
from search_spaces.sparsity.making import made_dense

__all__ = ["CandidateError", "trace_of", "work_of"]

_Seen: TypeAlias = tuple[Work, frozenset[str]]
# How many are remembered, of about 1 kB each, and of parts by width about 5 kB.
_PARTS, _FAMILIES, _NETWORKS = 2**15, 2**12, 2**13


def work_of(space: SearchSpace, architecture: Architecture, task: Task, load: Workload) -> Trace:
    """What a network does; about 0.1 ms where its parts are known, without `peak_bytes`.

    Raises:
        CandidateError: the network, or a part of it, cannot be built or run.
    """
    if space.parts is None:
        return trace_of(space, architecture, task, load)
    with network_fault("taking the network apart"):
        parts = space.parts(architecture, task)
    same = _same(load)
    seen = [_seen_of_part(part, same) for part in parts]
    unknown = frozenset[str]().union(*(names for _, names in seen))
    work = np.sum([work for work, _ in seen], axis=0)
    rows = load.graphs if task.is_graph_task else load.nodes
    return Trace(work, unknown, None, 4 * rows * task.n_classes)


def trace_of(space: SearchSpace, architecture: Architecture, task: Task, load: Workload) -> Trace:
    """The trace of a whole network, so with `peak_bytes`: milliseconds, remembered.

    Raises:
        CandidateError: the network cannot be built or run; its `failure` says why.
    """
    key = architecture.structure_key
    return _trace_of(_Network(space.digest, key, task, _same(load), space, architecture))


def _same(load: Workload) -> Workload:
    """The same for all workloads on which a network does the same: the skew changes nothing."""
    return replace(load, skew=0.0) if load.skew else load


@dataclass(frozen=True)
class _Network:
    """A network to trace; equal for those that do the same."""

    digest: str
    structure_key: str
    task: Task
    load: Workload
    space: SearchSpace = field(compare=False)
    architecture: Architecture = field(compare=False)


@lru_cache(_NETWORKS)
def _trace_of(asked: _Network) -> Trace:
    def run(device: torch.device) -> Trace:
        # Moved too: some constructors ignore the default device.
        network = asked.space.network(asked.architecture, asked.task)
        network = asked.space.counted(network, asked.architecture).to(device).eval()
        edges = edges_left(network, asked.load.edges)
        inputs = network_inputs(asked.task, replace(asked.load, edges=edges))
        network = made_dense(network)
        return trace(lambda: network(*inputs))

    return without_values(run, "tracing the network")


@lru_cache(_PARTS)
def _seen_of_part(part: Part, load: Workload) -> _Seen:
    if not part.even:
        one = _record(part, load)
        return total(one.operations), one.unknown
    (width,) = part.widths
    known = _known_widths(replace(part, widths=()), load)
    if len(known) < 2:
        known[width] = _record(part, load)
        return total(known[width].operations), known[width].unknown
    (low, first), (high, second) = list(known.items())[:2]
    slope = (second.operations - first.operations) / (high - low)
    return total(first.operations + (width - low) * slope), first.unknown


@lru_cache(_FAMILIES)
def _known_widths(family: Part, load: Workload) -> dict[int, Recording]:  # noqa: ARG001 - the key
    """The parts that were traced, by width, of those that differ in their width alone."""
    return {}


def _record(part: Part, load: Workload) -> Recording:
    def run(device: torch.device) -> Recording:
        piece = part.piece()
        if isinstance(piece, nn.Module):
            piece = piece.to(device).eval()
        inputs = part_inputs(part, load)
        return record(lambda: piece(*inputs))

    return without_values(run, "tracing a part of the network")
