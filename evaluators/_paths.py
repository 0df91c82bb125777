"""Which way a run is trained: by the engine where it can be, else by the usual loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

from evaluators import _stock
from evaluators._batches import Batches
from evaluators._runs import Run

Precision: TypeAlias = Literal["float32", "float64", "bfloat16"]
DeviceName: TypeAlias = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Engine:
    """How runs are trained: the evaluator's options of these names."""

    precision: Precision = "float32"
    device: DeviceName = "auto"
    share_input_dropout: bool = False


def train(runs: Sequence[Run], batches: Batches, engine: Engine) -> None:
    """Train runs until they are done; the notes of each say how."""
    from evaluators.engine.cohort import Candidate
    from evaluators.engine.groups import train as train_in_cohorts
    from evaluators.engine.program import UnreadableError, read

    candidates = []
    for run in runs:
        try:
            if batches.by_graph:
                raise UnreadableError("whole graphs are classified")
            program = read(run.network, batches.dataset.x.size(1))
        except UnreadableError as error:
            run.notes |= {"path": "stock", "reason": str(error)}
            _stock.train(run, batches)
            continue
        candidates.append(Candidate(run, program))
    if candidates:
        graph = batches.graph(torch.float32, torch.device("cpu"))
        train_in_cohorts(graph, candidates, share_input_dropout=engine.share_input_dropout)
