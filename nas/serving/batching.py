"""Who is answered by the next forward: one graph, or all graphs of a graph task that wait for it.

A graph of a node task is always alone: a program may normalize over all nodes, and nothing in a
bundle says that it does not. Graphs of a graph task are joined where the program gives the same for
graphs that were made up, apart and together.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from torch import Tensor

from nas.serving.graphs import Graph, joined, parted
from nas.serving.limits import OverdueError
from nas.serving.program import SLOTS

Job: TypeAlias = "tuple[Graph, asyncio.Future[Tensor]]"


class Forwards:
    """Runs a program for whoever asks, in the order in which they ask.

    Args:
        run: gives the logits of a graph, or of several that were joined.
        together: whether graphs may be joined.
        most_graphs, most_bytes: of what is joined.
        wait_s: how long the first one waits for others; 0 takes those that came while the last
            forward ran.
        ahead: forwards that have been asked of the program at once.
    """

    def __init__(
        self,
        run: Callable[[Graph], Awaitable[Tensor]],
        *,
        together: bool,
        most_graphs: int,
        most_bytes: int,
        wait_s: float = 0.0,
        ahead: int = SLOTS,
    ) -> None:
        self._run = run
        self._most_graphs = most_graphs if together else 1
        self._most_bytes = most_bytes
        self._wait_s = wait_s if together else 0.0
        self._ahead = ahead
        self._waiting: deque[Job] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._late: asyncio.TimerHandle | None = None

    async def ask(self, graph: Graph) -> Tensor:
        """The logits of a graph, when they are there; of a graph that `checked` made.

        Raises:
            RequestError, ProgramError: see `Program.run`.
        """
        answer: asyncio.Future[Tensor] = asyncio.get_running_loop().create_future()
        self._waiting.append((graph, answer))
        self._begin(waits=self._wait_s > 0)
        return await answer

    def _begin(self, *, waits: bool) -> None:
        """As many forwards as may run; none for graphs that still wait for others."""
        while self._waiting and len(self._running) < self._ahead:
            if waits and sum(graph.graphs for graph, _ in self._waiting) < self._most_graphs:
                if self._late is None:
                    loop = asyncio.get_running_loop()
                    self._late = loop.call_later(self._wait_s, self._waited)
                return
            task = asyncio.create_task(self._answer(self._gathered()))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _waited(self) -> None:
        self._late = None
        self._begin(waits=False)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        # Those that wait have done so while it ran.
        self._begin(waits=self._late is not None)

    def _gathered(self) -> list[Job]:
        """The next ones, as many as may be joined."""
        jobs: list[Job] = []
        graphs = n_bytes = 0
        while self._waiting:
            graph, answer = self._waiting[0]
            graphs += graph.graphs
            n_bytes += graph.n_bytes
            if jobs and (graphs > self._most_graphs or n_bytes > self._most_bytes):
                break
            self._waiting.popleft()
            if not answer.done():  # whoever asked may be gone
                jobs.append((graph, answer))
        return jobs

    async def _answer(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        graphs = [graph for graph, _ in jobs]
        try:
            parts = parted(await self._run(joined(graphs)), graphs)
        except Exception as error:  # whatever it is, whoever asked is told
            if len(jobs) == 1 or isinstance(error, OverdueError):  # all have waited long
                for _, result in jobs:
                    _settle(result, error)
            else:  # the others need not fail with one
                for job in jobs:
                    await self._answer([job])
            return
        for (_, answer), logits in zip(jobs, parts, strict=True):
            _settle(answer, logits)


def _settle(answer: "asyncio.Future[Tensor]", what: Tensor | Exception) -> None:
    if answer.done():
        return
    if isinstance(what, Exception):
        answer.set_exception(what)
    else:
        answer.set_result(what)
