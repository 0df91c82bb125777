"""From a folder to a server that answers, and to its end."""

import gc
import ipaddress
import os
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import uvicorn

from evaluators.latency.allocator import kept_memory
from nas.export.load import Contents, read_contents
from nas.hosts import Hosts
from nas.serving.app import Service, make_app
from nas.serving.batching import Forwards
from nas.serving.elsewhere import digest_of
from nas.serving.limits import Held, Limits
from nas.serving.program import Program
from nas.serving.protocol import Bounded
from search_spaces import UsageError


class ServingError(UsageError):
    """A server that cannot begin: its port is taken, its host is not of this machine."""


@dataclass(frozen=True)
class Place:
    """Where a server listens, and how it runs.

    Attributes:
        port: 0 for one that is free.
        threads: of torch, for one forward.
        most_joined: graphs in one forward of a graph task.
        wait_s: how long a graph waits for others to be joined with.
        allowed_hosts: by which names it may be asked, besides its own.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    threads: int = 1
    most_joined: int = 256
    wait_s: float = 0.0
    allowed_hosts: tuple[str, ...] = ()


def serve(
    folder: Path,
    place: Place,
    limits: Limits,
    *,
    exporter: str | None = None,
    ready: Callable[[Mapping[str, Any]], None],
    log: Callable[[str], None] | None,
    say: Callable[[str], None],
) -> None:
    """Answer until Ctrl-C or SIGTERM, at any time; what has been asked by then is answered.

    Args:
        folder: of the bundle.
        exporter: see `load_bundle`.
        ready: is told where the server is, once it answers.
        log: is told of each request, in a line.
        say: is told what is unusual.

    Raises:
        UsageError: the bundle cannot be read, or the server cannot begin.
        KeyboardInterrupt: a second signal came before everything was answered.
    """
    # Where memory ends, Rust's libraries would need more of it to say where, and hang.
    os.environ["RUST_BACKTRACE"] = "0"
    server: Connected | None = None
    with ExitStack() as open_:
        try:
            contents = read_contents(folder, exporter)
            program = Program(
                folder,
                exporter,
                contents.manifest,
                threads=place.threads,
                seconds=limits.forward_seconds,
                say=say,
            )
            open_.enter_context(closing(program))
            listening = open_.enter_context(_listening(place))
            open_.enter_context(kept_memory())
            forwards = _forwards(program, contents, place, limits, say)
            told = _where(listening, say)
            service = Service(
                contents,
                forwards,
                lambda: program.away,
                limits,
                digest_of(contents.manifest),
                Held(limits.held_bytes),
            )
            app = make_app(service, told["url"], log, Hosts(place.host, place.allowed_hosts))
            server = Connected(config(app, limits), program, told=lambda: ready(told))
            torch.set_num_threads(1)  # of those that read bodies; the program has its own
            gc.freeze()  # torch's many objects stay: no collection need walk through them
            server.run(sockets=[listening])
        except KeyboardInterrupt:
            if server is not None and server.force_exit:
                raise


def _forwards(
    program: Program, contents: Contents, place: Place, limits: Limits, say: Callable[[str], None]
) -> Forwards:
    """Start the program, and join graphs where they may be."""
    together = program.start()
    if contents.manifest.contract.is_graph_task and not together:
        say("graphs change one another in this program: each is computed alone")
    return Forwards(
        program.run,
        together=together,
        most_graphs=place.most_joined,
        most_bytes=limits.request_bytes,
        wait_s=place.wait_s,
    )


def _where(listening: socket.socket, say: Callable[[str], None]) -> dict[str, Any]:
    """Where it listens, with a warning if others reach it."""
    host, port = listening.getsockname()[:2]
    if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        say(
            f"warning: {host} is reached from other machines, and there is no authentication "
            "and no encryption: see docs/serving.md"
        )
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return {"url": url, "host": host, "port": port}


class Connected(uvicorn.Server):
    """A server with a program, which tells when it answers."""

    def __init__(
        self, config: uvicorn.Config, program: Program, *, told: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._program = program
        self._told = told

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self._program.connect()
        await super().startup(sockets=sockets)
        if self.started:
            self._told()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets=sockets)
        self._program.disconnect()


def config(app: Any, limits: Limits) -> uvicorn.Config:
    """How HTTP is spoken."""
    return uvicorn.Config(
        app,
        http=Bounded,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=max(1, round(limits.seconds)),
        # What is being sent may take its time, and then its forward.
        timeout_graceful_shutdown=max(1, round(limits.seconds + limits.forward_seconds)),
    )


def _listening(place: Place) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no name"
        raise ServingError(
            f'--host: there is no "{place.host[:80]}" here: {reason}; 127.0.0.1 is this machine '
            "alone, 0.0.0.0 is all of its addresses"
        ) from error
    try:
        if sys.platform != "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise ServingError(
            f"{place.host}, port {place.port}: {error.strerror}; name another one by --port, "
            "or --port 0 for one that is free"
        ) from error
    return listening
