"""The program of a bundle, as the server sees it: a process that is started, asked, and ended."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from nas.export._manifest import Manifest
from nas.serving.elsewhere import digest_of, without_signals
from nas.serving.graphs import Graph
from nas.serving.limits import FORWARD_S, OverdueError, RequestError
from nas.serving.process import Process
from nas.serving.slots import Sizes, Slot

# One graph is computed while the next is already there.
SLOTS = 2
# How long a request waits for a process that is started again.
_STARTING_S = 60.0
# Between two tries.
_MOST_PAUSE_S = 30.0


class ProgramError(Exception):
    """A program that fails on a graph that its contract allows."""


class _NotBegunError(Exception):
    """A graph that waited behind one at which the process died."""


class Program:
    """Runs a bundle's program in a process of its own, which is started again if it dies or hangs.

    Args:
        folder, exporter: see `load_bundle`.
        manifest: of the bundle; the program of another one is refused.
        threads: of torch.
        seconds: for one forward; a process that takes longer is ended.
        say: is told when the process dies, and how starting it again goes.
    """

    def __init__(
        self,
        folder: Path,
        exporter: str | None,
        manifest: Manifest,
        *,
        threads: int = 1,
        seconds: float = FORWARD_S,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._line = folder, exporter, digest_of(manifest), threads
        self._contract = manifest.contract
        self._seconds = seconds
        self._say = say
        self._given_up = 0.0  # when nobody waits any more for a process that is away
        self._slots = [Slot() for _ in range(SLOTS)]
        self._free: asyncio.Queue[int] = asyncio.Queue()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._connection: socket.socket | None = None
        self._process: Process | None = None
        self._begun = 0.0  # when it began with the graph that it computes
        self._look: asyncio.TimerHandle | None = None
        self._overdue: OverdueError | None = None
        self._reason = "the program has not been opened yet"
        self._transport: asyncio.WriteTransport | None = None
        self._up = asyncio.Event()
        self._again: asyncio.Task[None] | None = None
        self._is_closed = False
        for index in range(SLOTS):
            self._free.put_nowait(index)

    @property
    def is_up(self) -> bool:
        """Whether it answers now."""
        return self._up.is_set()

    @property
    def away(self) -> str | None:
        """Why it cannot be asked now; None where it can."""
        return None if self.is_up else self._reason

    def start(self) -> bool:
        """Open the program and try it; return whether graphs may be joined.

        Raises:
            BundleError: it cannot be opened, is another one, or its process ends meanwhile or
                takes too long.
            OSError: the system has no process or connection for it.
        """
        paths = [slot.path for slot in self._slots]
        with without_signals():
            self._process = process = Process(*self._line, paths)
            self._connection = process.connection
        if self._is_closed:  # meanwhile
            process.kill()
        return process.open()

    async def connect(self) -> None:
        """Begin to be asked, in the event loop that is running."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: _Lines(self), sock=self._connection)
        self._transport = transport
        self._up.set()
        self._watch()

    async def run(self, graph: Graph) -> Tensor:
        """The logits of a graph that `checked` made; of several that were joined.

        Raises:
            RequestError: they are not finite, take too long, or there is no memory.
            ProgramError: the program failed, or died.
        """
        index = await self._free.get()
        try:
            while True:
                await self._is_there()
                try:
                    return await self._computed(index, graph)
                except _NotBegunError:  # another graph was at fault
                    continue
        except MemoryError as error:
            raise no_memory() from error
        finally:
            self._slots[index].give_back()
            self._free.put_nowait(index)

    async def _computed(self, index: int, graph: Graph) -> Tensor:
        sizes = Sizes.of(graph)
        tensors = self._slots[index].tensors(sizes, self._contract)
        tensors["x"].copy_(graph.x)
        tensors["edge_index"].copy_(graph.edge_index)
        if graph.graph_ids is not None:
            tensors["graph_ids"].copy_(graph.graph_ids)
        _check(await self._asked(index, sizes))
        return tensors["logits"].clone()

    async def _is_there(self) -> None:
        if self.is_up:
            return
        try:
            async with asyncio.timeout_at(self._given_up):
                await self._up.wait()
        except TimeoutError as error:
            raise RequestError(
                503, "the program's process has died and is not back yet; try again"
            ) from error

    async def _asked(self, index: int, sizes: Sizes) -> dict[str, Any]:
        assert self._transport is not None  # noqa: S101
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        if not self._answers:
            self._begun = loop.time()
        self._answers[index] = answer
        line = {"slot": index, "sizes": [sizes.nodes, sizes.edges, sizes.graphs]}
        self._transport.write(json.dumps(line).encode() + b"\n")
        said: dict[str, Any] = await answer
        return said

    def answered(self, said: dict[str, Any]) -> None:
        """A line has come."""
        answer = self._answers.pop(said["slot"])
        self._begun = asyncio.get_running_loop().time()
        if not answer.done():
            answer.set_result(said)

    def _watch(self) -> None:
        """End the process at a graph that takes too long; look again when one may have."""
        loop = asyncio.get_running_loop()
        left = self._seconds + (self._begun - loop.time() if self._answers else 0.0)
        if left > 0:
            self._look = loop.call_later(left, self._watch)
            return
        assert self._transport is not None  # noqa: S101
        self._overdue = OverdueError(self._seconds)
        if self._process is not None:
            self._process.kill()
        self._transport.abort()  # whoever else has the connection open

    def lost(self) -> None:
        """The process is gone: what it computed fails, what waited for it is asked again."""
        self._up.clear()
        if self._look is not None:
            self._look.cancel()
        if self._is_closed:
            return
        loop = asyncio.get_running_loop()
        self._given_up = loop.time() + _STARTING_S
        self._reason = "the program's connection ended"
        if self._process is not None:
            self._reason = self._process.ended()
        error: Exception = ProgramError(self._reason)
        if self._overdue is not None:
            error, self._overdue = self._overdue, None
            self._reason = f"the program took longer than {self._seconds:g} seconds and was ended"
        self._say(f"{self._reason}; it is started again")
        # Graphs are computed in the order in which they were asked.
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(error)
            error = _NotBegunError()
        self._answers.clear()
        self._again = loop.create_task(self._restart())

    async def _restart(self) -> None:
        pause = 1.0
        while not self._is_closed:
            try:
                await asyncio.to_thread(self.start)
                await self.connect()
            except Exception as error:  # whatever it is may be over later, as a lack of memory
                if self._is_closed:
                    return
                self._reason = "the program has ended and cannot be started again; stderr says why"
                self._say(f"the program cannot be started again: {error}; next try in {pause:g} s")
                await asyncio.sleep(pause)
                pause = min(2 * pause, _MOST_PAUSE_S)
            else:
                self._say("the program is back")
                return

    def disconnect(self) -> None:
        """Ask no more, in the event loop that was connected."""
        self._is_closed = True
        if self._transport is not None:
            self._transport.close()
        if self._process is not None and not self._process.is_open:  # a thread waits for it
            self._process.kill()

    def close(self) -> None:
        """End the process, and give the memory back."""
        self._is_closed = True
        if self._connection is not None:
            with contextlib.suppress(OSError):  # the loop has closed it, or the other side has
                self._connection.shutdown(socket.SHUT_RDWR)
            self._connection.close()
        if self._process is not None:
            self._process.close()
        for slot in self._slots:
            slot.close()


class _Lines(asyncio.Protocol):
    """Lines of JSON that come from the process."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._program.answered(json.loads(line))

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._program.lost()


def _check(said: dict[str, Any]) -> None:
    if "memory" in said:
        raise no_memory()
    if "failed" in said:
        raise ProgramError(said["failed"])
    if "infinite" in said:
        raise RequestError(
            422,
            "the network's outputs are not finite for this input: its features are too large; "
            "give raw features like those of training",
        )


def no_memory() -> RequestError:
    """What is said where memory is short."""
    return RequestError(
        503, "there is not enough memory for this graph now; try again, or a smaller one"
    )
