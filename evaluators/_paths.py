"""Which way a run is trained: by the engine where it can be, else by the usual loop."""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import torch

from evaluators import _stock
from evaluators._batches import Batches
from evaluators._memory import available_bytes
from evaluators._runs import Run
from evaluators.engine.cohort import Candidate
from evaluators.engine.groups import train as train_in_cohorts
from evaluators.engine.matrices import bytes_needed
from evaluators.engine.program import Program
from evaluators.engine.reading import read
from evaluators.engine.tracing import UnreadableError
from search_spaces import PluginError

Precision: TypeAlias = Literal["float32", "float64", "bfloat16"]
DeviceName: TypeAlias = Literal["auto", "cpu", "cuda"]
# What every run of a graph task is told; no warning, since there is nothing to choose.
_GRAPHS = "whole graphs are classified, in batches"


@dataclass(frozen=True)
class Means:
    """With what runs are trained: the evaluator's options of these names.

    Raises:
        PluginError: a GPU is asked for, and torch sees none.
    """

    precision: Precision = "float32"
    device: DeviceName = "auto"
    share_input_dropout: bool = False

    def __post_init__(self) -> None:
        if self.device == "cuda" and not torch.cuda.is_available():
            raise PluginError(
                'device: expected a GPU for "cuda", torch sees none here; use "auto", or install '
                "a torch with CUDA"
            )

    @property
    def on(self) -> torch.device:
        """The device itself."""
        has_gpu = self.device != "cpu" and torch.cuda.is_available()
        return torch.device("cuda" if has_gpu else "cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and sums."""
        return torch.float64 if self.precision == "float64" else torch.float32


def train(runs: Sequence[Run], batches: Batches, means: Means) -> None:
    """Train runs until they are done, or to be stopped; the notes of each say how."""
    waiting = []
    programs: dict[int, Program] = {}
    for run in runs:
        if not (run.goes_on or run.is_done):
            continue
        if means.precision == "bfloat16" and means.on.type != "cuda":
            run.warn("bfloat16 is for GPUs: on this CPU networks are trained in float32")
        try:
            # Runs of one candidate have networks of one architecture.
            program = programs.get(id(run.allowance)) or _program(run, batches)
        except UnreadableError as error:
            reason = str(error)
        except Exception as error:
            reason = _fault(error)
        else:
            programs[id(run.allowance)] = program
            waiting.append(Candidate(run, program))
            continue
        _train_stock(run, batches, means, reason)
    if waiting:
        graph = batches.graph(means.dtype, means.on)
        faults = train_in_cohorts(
            graph,
            waiting,
            share_input_dropout=means.share_input_dropout,
            in_bfloat16=means.precision == "bfloat16" and means.on.type == "cuda",
        )
        untrained = [(run, _fault(fault)) for run, fault in faults]
        del faults  # their tracebacks hold the tensors of a cohort
        for run, reason in untrained:
            _train_stock(run, batches, means, reason)


def _fault(error: Exception) -> str:
    """What to say of an error of the engine's own: it costs nobody a trial, and is not hidden."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}, line {place.lineno}"
    message = (str(error).splitlines() or [""])[0].replace(";", ",")
    return f"the engine failed, please report it: {type(error).__name__}: {message} ({where})"


def _train_stock(run: Run, batches: Batches, means: Means, reason: str) -> None:
    run.notes |= {"path": "stock", "reason": reason, "device": "cpu", "precision": "float32"}
    if not batches.by_graph:
        run.warn(f"trained by PyTorch Geometric's own layers, right but slower: {reason}")
    if means.precision == "float64":
        run.warn("float64 is not for these layers: they are trained in float32")
    if means.on.type != "cpu" and means.device != "auto":
        run.warn("these layers are trained on the CPU")
    run.network.float()
    _stock.train(run, batches)


def _program(run: Run, batches: Batches) -> Program:
    """The program of a run's network.

    Raises:
        UnreadableError: the engine cannot train it.
    """
    if batches.by_graph:
        raise UnreadableError(_GRAPHS)
    dataset = batches.dataset
    needed = bytes_needed(dataset.x.size(0), dataset.edge_index.size(1), dataset.x.size(1))
    if not (dataset.matrices or batches.has_graph) and needed > available_bytes():
        raise UnreadableError(
            f"the graph's sparse matrices would take {needed / 2**30:.1f} GiB, and "
            f"{available_bytes() / 2**30:.1f} GiB of memory are free"
        )
    program = read(run.network, dataset.x.size(1))
    if program.outputs != dataset.n_classes:  # the usual loop says what is wrong with that
        raise UnreadableError(f"it gives {program.outputs} scores for {dataset.n_classes} classes")
    return program
