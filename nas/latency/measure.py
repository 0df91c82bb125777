"""One network measured on this device: a trial's, or a bundle's."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from evaluators._faults import network_fault
from evaluators.facts import CandidateError
from evaluators.latency.device import this_device
from evaluators.latency.graphs import inputs
from evaluators.latency.measuring import measure
from evaluators.latency.memory import held_bytes, measured_peak_memory_bytes
from evaluators.latency.runtimes import runnable
from evaluators.latency.samples import task_of
from evaluators.latency.values import Device, LatencyError, Runtime, Timing, Workload, random_skew
from nas.binding import refuse_change
from nas.record import TrialRecord
from nas.setting_up import set_up
from nas.setup import Setup
from nas.spec import StudySpec
from nas.store import Store
from search_spaces import SearchSpace
from search_spaces.sparsity.leaving import some_left

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Sizes:
    """The size of the graph as far as it is given; the rest is that of the network's own graph.

    Edges that are not given follow the nodes, so that their mean degree stays.
    """

    nodes: int | None = None
    edges: int | None = None
    skew: float | None = None
    graphs: int | None = None

    @property
    def is_given(self) -> bool:
        return any(value is not None for value in (self.nodes, self.edges, self.skew, self.graphs))

    def workload(self, own: Workload) -> Workload:
        """The workload, with what is not given as in `own`.

        Raises:
            LatencyError: it has no edges, or a size below its least.
        """
        nodes = own.nodes if self.nodes is None else self.nodes
        edges = round(own.edges * nodes / own.nodes) if self.edges is None else self.edges
        skew = own.skew if self.skew is None else self.skew
        graphs = own.graphs if self.graphs is None else self.graphs
        if not edges:
            raise LatencyError(
                "workload: edges: expected 1 or more, got 0: without edges no message is passed, "
                "and the time says nothing; give --edges"
            )
        return Workload(nodes, edges, skew, graphs)


@dataclass(frozen=True)
class Manner:
    """How to measure.

    Attributes:
        runtimes: measured beside each other.
        threads: that the network may use.
        kind: cpu or cuda.
        rounds: how many are wanted.
        say: told in lines what takes time.
        report: told the rounds so far and those that are wanted.
    """

    runtimes: tuple[Runtime, ...] = ("eager",)
    threads: int = 1
    kind: Literal["cpu", "cuda"] = "cpu"
    rounds: int = 9
    say: Callable[[str], None] = lambda _line: None
    report: Callable[[int, int], None] = lambda _done, _wanted: None


@dataclass(frozen=True)
class Measured:
    """A timing and what it is of."""

    runtime: Runtime
    timing: Timing
    device: Device
    workload: Workload

    @property
    def warning(self) -> str:
        """What the noise of the machine did to it; empty where there was none."""
        timing = self.timing
        if not timing.noisy:
            return ""
        return (
            f"{self.runtime}: this machine was too busy or unsteady to measure well: "
            f"{timing.load:.1f} processes a core, spread {timing.spread:.0%}, the reference slower "
            f"by {timing.drift:.0%}; stop what else runs here and measure again"
        )

    def to_json(self) -> dict[str, Any]:
        """One row."""
        return {
            "runtime": self.runtime,
            **self.timing.to_json(),
            "workload": asdict(self.workload),
            "device": asdict(self.device),
        }


_OWN, _USUAL = Sizes(), Manner()


def measure_trial(
    name: str,
    trial: int,
    *,
    storage: str,
    data_root: Path,
    sizes: Sizes = _OWN,
    manner: Manner = _USUAL,
    space: SearchSpace | None = None,
) -> list[Measured]:
    """Time the network of a trial's architecture, a row for each runtime.

    It is not trained: its weights take the same time whatever they are. On the graph of a node task
    itself, or, where sizes are given or graphs are classified, on one made up like it. With an edge
    ticket as many of the graph's edges are left as it leaves; edges that are given are taken as
    those that are left.

    Raises:
        UsageError: no such study or trial, or it cannot be measured as asked.
    """
    store = Store.open_existing(storage)
    record = store.trial(name, trial)
    device = this_device(threads=manner.threads, kind=manner.kind)
    setup = set_up(StudySpec.from_json(store.spec(name)), data_root, space, with_latency=False)
    with store.reading() as connection:
        refuse_change(store.row(connection, name), setup)
    network, edges = _leaving(setup, record)
    own = Workload.of(setup.task, edges)
    if edges is not None and not setup.task.is_graph_task:
        own = replace(own, edges=edges.size(1))
    workload = sizes.workload(own)
    if setup.dataset is None or edges is None or setup.task.is_graph_task or sizes.is_given:
        graph = inputs(setup.task, workload)
    else:
        graph = setup.dataset.x, edges
    return _measured(network, graph, workload, device, manner)


def measure_bundle(folder: Path, *, sizes: Sizes = _OWN, manner: Manner = _USUAL) -> list[Measured]:
    """Time the program of a bundle, its preparation of features with it, a row for each runtime.

    On a made-up graph; where no size is given, as large as that which the bundle was compared on
    when it was written. The mean graph where graphs are classified.

    Raises:
        UsageError: no bundle, or it cannot be measured as asked.
    """
    from nas.export.load import load_bundle

    bundle = load_bundle(folder)
    device = this_device(threads=manner.threads, kind=manner.kind)
    contract, own = bundle.manifest.contract, bundle.manifest.programs[0].parity.graphs[0]
    graphs = own.get("B", 1)
    nodes = max(1, round(own["N"] / graphs))
    edges = round(own["E"] / graphs)
    workload = sizes.workload(Workload(nodes, edges, random_skew(edges / nodes)))
    task = task_of(contract.kind, contract.n_features, contract.n_classes, workload)
    return _measured(_as_module(bundle.program), inputs(task, workload), workload, device, manner)


def _as_module(program: Callable[..., "Tensor"]) -> "nn.Module":
    """A compiled program, or one of another runtime, has no weights that torch could move."""
    if isinstance(program, torch.nn.Module):
        return program
    module = torch.nn.Module()
    module.forward = lambda *inputs: program(*inputs)
    return module


def _leaving(setup: Setup, record: TrialRecord) -> "tuple[nn.Module, Tensor | None]":
    """The network as it leaves, and the edges of its graph, where there is a dataset."""
    if record.architecture is None:
        raise LatencyError(
            f'trial {record.number} of study "{setup.spec.study.name}" has no architecture yet; '
            f"see: nas trials {setup.spec.study.name}"
        )
    try:
        with network_fault("building the network"), torch.random.fork_rng(devices=[]):
            built = setup.space.network(record.architecture, setup.task)
            built = setup.space.counted(built, record.architecture).eval()
            edges = None
            if setup.dataset is not None:
                edges = some_left(built, setup.dataset.edge_index)
            return setup.space.deployed(built, record.architecture), edges
    except CandidateError as error:
        raise LatencyError(f"trial {record.number}: {error}") from error


def _measured(
    network: "nn.Module",
    graph: "Sequence[Tensor]",
    workload: Workload,
    device: Device,
    manner: Manner,
) -> list[Measured]:
    network = network.to(device.kind)
    there = tuple(tensor.to(device.kind) for tensor in graph)
    runs: list[Callable[[], object]] = []
    for runtime in manner.runtimes:
        if runtime == "compiled":
            manner.say("compiling the network, some ten seconds to a minute")
        runs.append(runnable(network, there, runtime, threads=device.threads))
    try:
        with network_fault("running the network"):
            timings = measure(
                runs,
                threads=device.threads,
                kind=device.kind,
                rounds=manner.rounds,
                report=manner.report,
            )
    except CandidateError as error:
        raise LatencyError(f"{error}; give a smaller graph or another network") from error
    held = held_bytes(network, there)
    memory = [measured_peak_memory_bytes(run, held=held, kind=device.kind) for run in runs]
    return [
        Measured(runtime, replace(timing, peak_memory_bytes=peak), device, workload)
        for runtime, timing, peak in zip(manner.runtimes, timings, memory, strict=True)
    ]
