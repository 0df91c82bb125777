"""From a database to a page that answers, and to its end."""

import ipaddress
import socket
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from nas.dashboard.app import make_app, url_of
from nas.hosts import Hosts
from nas.store import Store
from search_spaces import UsageError


class DashboardError(UsageError):
    """A server that cannot begin: its port is taken, its host is not of this machine."""


@dataclass(frozen=True)
class Place:
    """Where the dashboard listens; port 0 for one that is free."""

    host: str = "127.0.0.1"
    port: int = 8080
    allowed_hosts: tuple[str, ...] = ()


def serve(
    storage: str,
    name: str | None,
    place: Place,
    *,
    ready: Callable[[Mapping[str, Any]], None],
    say: Callable[[str], None],
) -> None:
    """Answer until Ctrl-C or SIGTERM, which end it as they should.

    Args:
        storage: URL of the database.
        name: of the study whose page is named; None for the index.
        ready: is told where it is, once it answers.
        say: is told what is unusual.

    Raises:
        UsageError: no such study or database; or the server cannot begin.
    """
    store = Store.open_existing(storage)
    if name is not None:
        store.status(name)
    app = make_app(store, Hosts(place.host, place.allowed_hosts))
    with _listening(place) as server:
        server.set_app(app)
        host, port = server.server_address[:2]
        address = str(host)
        if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
            say(
                f"warning: {address} is reached from other machines, and there is no "
                "authentication and no encryption: see docs/dashboard.md"
            )
        base = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
        # It listens already: whoever comes now waits a moment, and is answered.
        ready({"url": url_of(store, base, name), "host": address, "port": port})
        with warnings.catch_warnings():
            # Of parameters, while a page is made: who reads that page does not see stderr.
            warnings.filterwarnings("ignore", module=r"optuna(_dashboard)?\b")
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                return


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    # Two dashboards on one port would answer in turns.
    allow_reuse_port = False

    def server_bind(self) -> None:
        # Without looking up the machine's name, which may take seconds.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "localhost", self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that has gone is no error of anybody."""


class _Handler(WSGIRequestHandler):
    # Of a connection on which nothing comes.
    timeout = 60

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (of the base)
        """A line for each of a page's requests, every few seconds, would tell nobody anything."""


def _listening(place: Place) -> _Server:
    try:
        family, *_, address = socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no name"
        raise DashboardError(
            f'--host: there is no "{place.host[:80]}" here: {reason}; 127.0.0.1 is this machine '
            "alone, 0.0.0.0 is all of its addresses"
        ) from error
    made = type("_Here", (_Server,), {"address_family": family, "allow_reuse_address": True})
    try:
        server: _Server = made(address, _Handler)
    except OSError as error:
        raise DashboardError(
            f"{place.host}, port {place.port}: {error.strerror}; name another one by --port, "
            "or --port 0 for one that is free"
        ) from error
    return server
