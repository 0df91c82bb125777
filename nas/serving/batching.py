"""The thread that runs the program: one forward at a time, of all graphs that wait for it.

A graph of a node task is always alone: a program may normalize over all nodes, and nothing in a
bundle says that it does not. Graphs of a graph task are joined where the program gives the same for
graphs that were made up, apart and together.
"""

import time
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeAlias

import torch
from torch import Tensor

from nas.export._base import Contract, Runnable
from nas.export._sample import made_up
from nas.serving.graphs import Graph, joined, parted
from nas.serving.limits import RequestError

Answer: TypeAlias = "Future[Tensor]"
Job: TypeAlias = tuple[Graph, Answer]
# (nodes, edges, graphs) of what a program is tried with before it is used.
_TRIED = ((7, 12, 2), (1, 0, 1), (40, 160, 3))
_SAME = 1e-5


class ProgramError(Exception):
    """A program that fails on a graph that its contract allows."""


def joins(program: Runnable, contract: Contract) -> bool:
    """Whether graphs may be joined: a graph task whose graphs do not change one another.

    Made-up graphs are given apart and together, and must agree to 1e-5 of the largest output, or
    of 1 where that is less. For a node task the program is run too, so that it is warm.
    """
    graphs = [_made_up(contract, size) for size in _TRIED]
    with torch.inference_mode():
        apart = [program(*graph.inputs) for graph in graphs]
        if not contract.is_graph_task:
            return False
        together = program(*joined(graphs).inputs)
    expected = torch.cat(apart)
    allowed = _SAME * max(1.0, float(expected.abs().max()))
    return together.shape == expected.shape and bool(((together - expected).abs() <= allowed).all())


def _made_up(contract: Contract, size: tuple[int, int, int]) -> Graph:
    x, edge_index, *rest = made_up(contract, size)
    return Graph(x, edge_index, rest[0] if rest else None, size[2] if rest else 1)


class Forwards:
    """Runs a program for whoever asks, in the order in which they ask.

    Args:
        program: of a bundle.
        together: whether graphs may be joined.
        most_graphs, most_bytes: of what is joined.
        wait_s: how long the first one waits for others; 0 takes those that came while the last
            forward ran.
        threads: of torch.
    """

    def __init__(
        self,
        program: Runnable,
        *,
        together: bool,
        most_graphs: int,
        most_bytes: int,
        wait_s: float = 0.0,
        threads: int = 1,
    ) -> None:
        self._program = program
        self._most_graphs = most_graphs if together else 1
        self._most_bytes = most_bytes
        self._wait_s = wait_s if together else 0.0
        self._threads = threads
        self._waiting: SimpleQueue[Job | None] = SimpleQueue()
        self._held: Job | None = None
        self._thread = Thread(target=self._run, name="forwards")

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer what has been asked, and end."""
        self._waiting.put(None)
        self._thread.join()

    def ask(self, graph: Graph) -> Answer:
        """The logits of a graph, when they are there; of a graph that `checked` made."""
        answer: Answer = Future()
        self._waiting.put((graph, answer))
        return answer

    def _run(self) -> None:
        torch.set_num_threads(self._threads)  # of this thread: OpenMP counts them for each
        while (first := self._held or self._waiting.get()) is not None:
            self._held = None
            jobs, more = self._gathered(first)
            self._answer([job for job in jobs if job[1].set_running_or_notify_cancel()])
            if not more:
                return

    def _gathered(self, first: Job) -> tuple[list[Job], bool]:
        """Who is answered by the next forward, and whether there may be another one."""
        jobs, graphs, n_bytes = [first], first[0].graphs, first[0].n_bytes
        until = time.monotonic() + self._wait_s
        while graphs < self._most_graphs:
            try:
                left = until - time.monotonic()
                job = self._waiting.get(timeout=left) if left > 0 else self._waiting.get_nowait()
            except Empty:
                break
            if job is None:
                return jobs, False
            graphs += job[0].graphs
            n_bytes += job[0].n_bytes
            if graphs > self._most_graphs or n_bytes > self._most_bytes:
                self._held = job
                break
            jobs.append(job)
        return jobs, True

    def _answer(self, jobs: list[Job]) -> None:
        graphs = [graph for graph, _ in jobs]
        try:
            with torch.inference_mode():
                parts = parted(self._program(*joined(graphs).inputs), graphs) if jobs else ()
        except Exception as error:  # a fault boundary: the program is someone's
            if len(jobs) == 1:
                jobs[0][1].set_exception(_failed(error))
            else:  # the others need not fail with one
                for job in jobs:
                    self._answer([job])
            return
        for (_, answer), logits in zip(jobs, parts, strict=True):
            if bool(logits.isfinite().all()):
                answer.set_result(logits)
            else:
                answer.set_exception(_not_finite())


def _not_finite() -> RequestError:
    return RequestError(
        422,
        "the network's outputs are not finite for this input: its features are too large; give "
        "raw features like those of training",
    )


def _failed(error: Exception) -> Exception:
    reason = str(error).strip().partition("\n")[0][:200]
    if isinstance(error, MemoryError) or "memory" in reason.lower():
        return RequestError(
            503, "there is not enough memory for this graph now; try again, or a smaller one"
        )
    return ProgramError(f"{type(error).__name__}: {reason}")
